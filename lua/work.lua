-- Returns what idle dispatchers wait for.
--
-- KEYS[1] root of the namespace
-- Returns {'work', number of waiting tasks, number of restricted tasks, time of the last restriction or ''}
local waiting = 0
for lane = 0, 2 do
  waiting = waiting + redis.call('ZCARD', wait_key(lane))
end
local newest = redis.call('ZRANGE', root .. 'narrowed', 0, 0, 'REV', 'WITHSCORES')
return { 'work', tostring(waiting), tostring(redis.call('ZCARD', root .. 'narrowed')), newest[2] or '' }

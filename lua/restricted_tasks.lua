-- Returns live tasks that are restricted to other instances than this one, ordered by the time of the restriction.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] since    Unix ms, included
-- ARGV[3] limit    tasks examined
-- Returns {'restricted', number examined, time of the last or '', id, time, …}
local instance, since, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

local found = redis.call('ZRANGEBYSCORE', root .. 'narrowed', since, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
local reply = { 'restricted', tostring(#found / 2), found[#found] or '' }
for i = 1, #found, 2 do
  local task = read_task(found[i], { 'state', 'only' })
  if task and not TERMINAL[task.state] and task.only and not string.find(task.only, ',' .. instance .. ',', 1, true) then
    reply[#reply + 1], reply[#reply + 2] = found[i], found[i + 1]
  end
end
return reply

-- Fails tasks that did not start by their startBy. An instance that has one is notified as for a cancel.
--
-- KEYS[1] root    of the namespace
-- ARGV[1] limit   tasks of one call
-- ARGV[2] failure JSON object
-- ARGV[3] keep_ms retention of ended tasks
-- Returns {'expired', number examined, number ended, next_due_ms or ''}
local limit, failure, keep_ms = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])

local now, ended = now_ms(), 0
local due = redis.call('ZRANGEBYSCORE', root .. 'start-by', '-inf', now, 'LIMIT', 0, limit)
for _, id in ipairs(due) do
  redis.call('ZREM', root .. 'start-by', id)
  local task = read_task(id)
  if task and STATUS[task.state] == 'pending' then
    if task.state == 'claimed' then
      redis.call('SADD', cancelled_key(task.instance), id)
    end
    end_task(task, 'failed', 'start_timeout', '"kind":"failed","failure":' .. failure, { 'failure', failure }, keep_ms, now)
    ended = ended + 1
  end
end
local following = redis.call('ZRANGE', root .. 'start-by', 0, 0, 'WITHSCORES')
return { 'expired', tostring(#due), tostring(ended), following[2] or '' }

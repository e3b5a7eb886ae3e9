-- Cancels a task; final at once. An instance that has it is notified, and keeps the slot until it has stopped.
--
-- KEYS[1] root    of the namespace
-- ARGV[1] id      of the task
-- ARGV[2] keep_ms retention of ended tasks
-- Returns {'cancelled', hash} | {'cancelled_before', hash} | {'ended', hash} | {'not_found'}
local id, keep_ms = ARGV[1], tonumber(ARGV[2])

local task = read_task(id)
if not task then
  return { 'not_found' }
end
if TERMINAL[task.state] then
  return { task.state == 'cancelled' and 'cancelled_before' or 'ended', redis.call('HGETALL', task_key(id)) }
end
cancel_task(task, keep_ms, now_ms())
return { 'cancelled', redis.call('HGETALL', task_key(id)) }

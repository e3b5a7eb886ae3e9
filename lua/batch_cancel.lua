-- Cancels some of a batch's tasks, the last first, so that waiting tasks are cancelled before a slot becomes free for
-- them.
--
-- KEYS[1] root    of the namespace
-- ARGV[1] id      of any task of the batch
-- ARGV[2] keep_ms retention of ended tasks
-- ARGV[3] limit   tasks of one call
-- Returns {'cancelled', number, more 0|1}
local id, keep_ms, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local count, now = 0, now_ms()
for _, member in ipairs(redis.call('ZRANGE', batch_key(id), 0, -1, 'REV')) do
  local state = redis.call('HGET', task_key(member), 'state')
  local task = state and not TERMINAL[state] and read_task(member)
  if task then
    if count == limit then
      return { 'cancelled', tostring(count), '1' }
    end
    cancel_task(task, keep_ms, now)
    count = count + 1
  end
end
return { 'cancelled', tostring(count), '0' }

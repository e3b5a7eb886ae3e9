-- Records the progress of attempts, each accepted or refused independently of the others. Also records the start of an
-- attempt if that was not recorded before.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] fields   number of arguments of each attempt: 6
-- then for each attempt: instance, token of its lease, id of the task, attempt, progress (JSON object, not empty), time
--   since the start of its run, ms
-- Returns {'written', reply, …}, a reply for each attempt, in order:
--   {'done'} | {'ended', state} | {'not_this_attempt'} | {'fenced'} | {'error', text}
local fields = tonumber(ARGV[1])
local now = tostring(now_ms())

local function record(instance, token, id, attempt, progress, ran_ms)
  local task, refusal = own_task(instance, token, id, attempt)
  if refusal then
    return refusal
  end
  local version = record_start(task, now, ran_ms) + 1
  redis.call('HSET', task_key(id), 'progress', progress, 'updated', now, 'version', version)
  publish_task(task, version, '"kind":"progress",' .. string.sub(progress, 2, -2))
  return { 'done' }
end

local replies = { 'written' }
for first = 2, #ARGV, fields do
  replies[#replies + 1] = independently(record, unpack(ARGV, first, first + 5))
end
return replies

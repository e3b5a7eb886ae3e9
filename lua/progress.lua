-- Records the progress of an attempt. Also records its start if that was not recorded before.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- ARGV[4] attempt
-- ARGV[5] progress JSON object, not empty
-- Returns {'done'} | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt, progress = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local task, refusal = own_task(instance, token, id, attempt)
if refusal then
  return refusal
end
local now = now_ms()
record_start(task, now)
redis.call('HSET', task_key(id), 'progress', progress, 'updated', now)
local version = redis.call('HINCRBY', task_key(id), 'version', 1)
publish_task(task, version, '"kind":"progress",' .. string.sub(progress, 2, -2))
return { 'done' }

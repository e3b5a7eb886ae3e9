-- Records that the run of an attempt started.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- ARGV[4] attempt
-- Returns {'done'} | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local task, refusal = own_task(instance, token, id, attempt)
if refusal then
  return refusal
end
record_start(task, now_ms())
return { 'done' }

-- Execution of an attempt began.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- ARGV[4] attempt
-- Returns {'done'} | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if is_fenced(instance, token) then
  return { 'fenced' }
end
local task = read_task(id, ATTEMPT_FIELDS)
if not is_of(task, instance, attempt) then
  return { 'not_this_attempt' }
end
if TERMINAL[task.state] then
  return { 'ended', task.state }
end
if not is_active(task) then
  return { 'not_this_attempt' }
end
begin(task, now_ms())
return { 'done' }

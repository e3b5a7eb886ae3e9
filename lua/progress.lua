-- An attempt got further. Begins it when its start was never told.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- ARGV[4] attempt
-- ARGV[5] progress JSON object, not empty
-- Returns {'done'} | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt, progress = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

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
local now = now_ms()
begin(task, now)
redis.call('HSET', task_key(id), 'progress', progress, 'updated', now)
local version = redis.call('HINCRBY', task_key(id), 'version', 1)
publish_task(task, version, '"kind":"progress",' .. string.sub(progress, 2, -2))
return { 'done' }

-- Frees the slot of a task that has ended, no longer exists, or no longer belongs to this instance.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- Returns {'done'} | {'not_this_attempt'} (it is still active here: settle it) | {'fenced'}
local instance, token, id = ARGV[1], ARGV[2], ARGV[3]

if is_fenced(instance, token) then
  return { 'fenced' }
end
local task = read_task(id, ATTEMPT_FIELDS)
if task and is_active(task) and task.instance == instance then
  return { 'not_this_attempt' }
end
if task and task.instance == instance then
  release_ended(task, instance, now_ms())
elseif free_slot(instance, id) then
  publish_instance(instance, now_ms())
end
return { 'done' }

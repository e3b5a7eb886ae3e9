-- Returns a task to its place in the queue without using an attempt. Counts a lost instance; too many fail the task as
-- poison.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- ARGV[4] attempt
-- ARGV[5] lost     1 = the instance died while it ran the task, 0 = not the task's fault
-- ARGV[6] losses_max  number of losses that fails the task
-- ARGV[7] failure  JSON object of that failure
-- ARGV[8] keep_ms  retention of ended tasks
-- ARGV[9] loss     JSON object of a loss, for the history
-- ARGV[10] only    instances that may run it from now on, each between commas: ',a,b,'; '' = as before
-- Returns {'done'} | {'poisoned'} (ended by this call) | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt, is_lost = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local losses_max, failure, keep_ms, loss, only = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]

if is_fenced(instance, token) then
  return { 'fenced' }
end
local task = read_task(id)
if not belongs_to(task, instance, attempt) then
  return { 'not_this_attempt' }
end
local now, settling = now_ms(), token .. ':' .. attempt .. ':poison'
if TERMINAL[task.state] then
  release_ended(task, instance, now)
  if task.settled_by == settling then
    return { 'poisoned' }
  end
  return { 'ended', task.state }
end
if not is_active(task) then
  return { task.last_end == 'given_back' and 'done' or 'not_this_attempt' }
end
local lost = tonumber(task.lost or '0') + (is_lost and 1 or 0)
if is_lost and lost >= losses_max then
  end_task(task, 'failed', 'poison', '"kind":"failed","failure":' .. failure,
    { 'failure', failure, 'lost', lost, 'settled_by', settling }, keep_ms, now)
  free_slot(instance, id)
  publish_instance(instance, now)
  return { 'poisoned' }
end
local fields = { 'lost', lost }
if only ~= '' then
  fields[#fields + 1], fields[#fields + 2] = 'only', only
  -- Filed as new, so that instances that have already examined it examine it again.
  redis.call('ZADD', root .. 'narrowed', now, id)
end
if is_lost then
  fields[#fields + 1], fields[#fields + 2] = 'excluded', (task.excluded or ',') .. instance .. ','
end
give_back(task, instance, is_lost and 'prompt_lost' or 'released', is_lost and loss, fields, now)
return { 'done' }

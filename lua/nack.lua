-- Ends an attempt that may be retried: the task is retried later on another instance while attempts are left, else it
-- fails. Frees the slot. The outputs of an attempt that is retried are dropped.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance avoided by the next attempt
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- ARGV[4] attempt
-- ARGV[5] outcome  the word of a failure kind
-- ARGV[6] outputs  JSON array of the outputs that exist; kept if the task fails
-- ARGV[7] failure  JSON object
-- ARGV[8] delay_ms until the next attempt
-- ARGV[9] keep_ms  retention of ended tasks
-- ARGV[10] prefers instances that the next attempt should wait for: ',a,b,', '' = any
-- Returns {'retrying'} | {'done'} (failed) | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt, outcome = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local outputs, failure, delay_ms, keep_ms, prefers = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]

if is_fenced(instance, token) then
  return { 'fenced' }
end
local settling = token .. ':' .. attempt .. ':' .. outcome
local task = read_task(id)
if not belongs_to(task, instance, attempt) then
  return { 'not_this_attempt' }
end
local now = now_ms()
if TERMINAL[task.state] then
  release_ended(task, instance, now)
  if task.settled_by == settling and task.state == 'failed' then
    return { 'done' }
  end
  return { 'ended', task.state }
end
if not is_active(task) then
  return { task.last_end == 'retry' and 'retrying' or 'not_this_attempt' }
end
if tonumber(attempt) - tonumber(task.uncounted or '0') >= tonumber(task.max_attempts) then
  end_task(task, 'failed', outcome, '"kind":"failed","failure":' .. failure,
    { 'outputs', outputs, 'failure', failure, 'settled_by', settling }, keep_ms, now)
  free_slot(instance, id)
  publish_instance(instance, now)
  return { 'done' }
end
free_slot(instance, id)
move_index(task, STATUS[task.state], 'pending')
redis.call('ZADD', root .. 'delayed', now + delay_ms, id)
drop_all_outputs(id, now)
redis.call('HDEL', task_key(id), 'started', 'progress', 'outputs', 'outputs_told')
redis.call('HSET', task_key(id), 'state', 'delayed', 'retry_at', now + delay_ms, 'updated', now, 'failure', failure,
  'last_end', 'retry', 'attempts', history_with(task, outcome, failure, now),
  'excluded', (task.excluded or ',') .. instance .. ',', 'prefers', preference(prefers, now))
publish_task(task, redis.call('HINCRBY', task_key(id), 'version', 1), '"kind":"pending"')
publish_instance(instance, now)
return { 'retrying' }

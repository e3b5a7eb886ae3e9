-- Ends an attempt whose node failed because of the machine, or for an unknown reason. The task runs elsewhere, and the
-- attempt is not counted; the instance is quarantined. A task that meets such faults on several sound machines is their
-- cause: it fails, and the instances are not blamed.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- ARGV[4] attempt
-- ARGV[5] machine  1 = the machine's fault, 0 = unknown
-- ARGV[6] failure  JSON object of the attempt
-- ARGV[7] poison   JSON object of the failure of a task that is the cause
-- ARGV[8] outputs  JSON array, kept if the task fails
-- ARGV[9] faults_max  faults on sound machines that fail the task
-- ARGV[10] trial_ms  first delay of a trial
-- ARGV[11] keep_ms  retention of ended tasks
-- ARGV[12] prefers  instances that the next attempt should wait for: ',a,b,', '' = any
-- Returns {'done'} | {'poisoned'} (ended by this call) | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt, is_machine = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local failure, poison, outputs, faults_max = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local trial_ms, keep_ms, prefers = tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12]

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
  return task.settled_by == settling and { 'poisoned' } or { 'ended', task.state }
end
if not is_active(task) then
  return { task.last_end == 'given_back' and 'done' or 'not_this_attempt' }
end
local known = redis.call('HMGET', instance_key(instance), 'suspect', 'doubts', 'quarantine')
-- A machine that has failed before without a success since proves nothing against the task.
local faults = tonumber(task.faults or '0') + (is_machine and not known[1] and 1 or 0)
redis.call('HSET', instance_key(instance), 'fault_at', now)
if is_machine then
  redis.call('HSET', instance_key(instance), 'suspect', '1')
  if faults >= faults_max then
    for other in string.gmatch(task.faulted or '', '[^,]+') do
      lift_quarantine(other, id, now)
    end
    end_task(task, 'failed', 'poison', '"kind":"failed","failure":' .. poison,
      { 'outputs', outputs, 'failure', poison, 'settled_by', settling }, keep_ms, now)
    free_slot(instance, id)
    publish_instance(instance, now)
    return { 'poisoned' }
  end
end
local doubts = tonumber(known[2] or '0') + (is_machine and 0 or 1)
redis.call('HSET', instance_key(instance), 'doubts', doubts)
if is_machine or doubts >= DOUBTS_MAX or known[3] then
  quarantine(instance, task, failure, trial_ms, now)
end
local fields = { 'prefers', preference(prefers, now), 'faults', faults, 'excluded', (task.excluded or ',') .. instance .. ',' }
if is_machine then
  fields[#fields + 1], fields[#fields + 2] = 'faulted', (task.faulted or '') .. instance .. ','
else
  fields[#fields + 1], fields[#fields + 2] = 'doubt', instance
end
give_back(task, instance, is_machine and 'machine_fault' or 'node_error', failure, fields, now)
return { 'done' }

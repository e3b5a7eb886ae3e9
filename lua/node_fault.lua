-- Ends an attempt whose node failed because of the machine, or for an unknown reason. The task runs elsewhere, and the
-- attempt is not counted; the instance is quarantined. A task that is the cause (the rules: lib/fault_verdict.lua) fails,
-- and the instances are not blamed.
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
-- ARGV[13] excused_max  faults that do not count, after which one more fails the task
-- ARGV[14] exhausted  JSON object of that failure
-- Returns {'done'} | {'failed'} (ended by this call) | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt, is_machine = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local failure, poison, outputs, faults_max = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local trial_ms, keep_ms, prefers = tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12]
local excused_max, exhausted = tonumber(ARGV[13]), ARGV[14]

if is_fenced(instance, token) then
  return { 'fenced' }
end
local task = read_task(id)
if not belongs_to(task, instance, attempt) then
  return { 'not_this_attempt' }
end
local now, settling = now_ms(), token .. ':' .. attempt .. ':fault'
if TERMINAL[task.state] then
  release_ended(task, instance, now)
  return task.settled_by == settling and { 'failed' } or { 'ended', task.state }
end
if not is_active(task) then
  return { task.last_end == 'given_back' and 'done' or 'not_this_attempt' }
end

local function fail(outcome, final)
  end_task(task, 'failed', outcome, '"kind":"failed","failure":' .. final,
    { 'outputs', outputs, 'failure', final, 'settled_by', settling }, keep_ms, now)
  free_slot(instance, id)
  publish_instance(instance, now)
  return { 'failed' }
end

local known = redis.call('HMGET', instance_key(instance), 'suspect', 'doubts', 'quarantine')
local doubts, is_blamed = tonumber(known[2] or '0') + (is_machine and 0 or 1), false
local fields = { 'prefers', preference(prefers, now), 'excluded', (task.excluded or ',') .. instance .. ',' }
redis.call('HSET', instance_key(instance), 'fault_at', now, 'doubts', doubts)
if is_machine then
  is_blamed = not is_condemned(task)
  local counts = not known[1] or not is_blamed
  local faults = tonumber(task.faults or '0') + (counts and 1 or 0)
  local excused = tonumber(task.excused or '0') + (counts and 0 or 1)
  local is_cause, is_proven = judge(task, instance, faults, faults_max, now)
  redis.call('HSET', instance_key(instance), 'suspect', '1')
  mark_workflow(task, is_cause and is_proven)
  if is_cause then
    for other in string.gmatch(task.faulted or '', '[^,]+') do
      lift_quarantine(other, id, now)
    end
    return fail('poison', poison)
  end
  if is_blamed then
    quarantine(instance, task, failure, trial_ms, now)
  end
  if excused > excused_max then
    return fail('machine_fault', exhausted)
  end
  for _, field in ipairs({ 'faults', faults, 'excused', excused, 'faulted', (task.faulted or '') .. instance .. ',',
    'faulted_at', task.faulted_at or now }) do
    fields[#fields + 1] = field
  end
else
  if doubts >= DOUBTS_MAX or known[3] then
    quarantine(instance, task, failure, trial_ms, now)
  end
  fields[#fields + 1], fields[#fields + 2] = 'doubt', instance
end
give_back(task, instance, is_machine and 'machine_fault' or 'node_error', failure, fields, now)
return { 'done' }

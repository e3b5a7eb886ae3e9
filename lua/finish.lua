-- Ends an attempt and its task: completed, or failed without a retry. Frees the slot in every case unless fenced.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- ARGV[4] attempt
-- ARGV[5] state    completed or failed
-- ARGV[6] outcome  of the attempt: completed or the word of a failure kind
-- ARGV[7] outputs  JSON array
-- ARGV[8] failure  JSON object, or ''
-- ARGV[9] keep_ms  retention of ended tasks
-- ARGV[10] warnings   about the outputs, JSON array, or ''
-- ARGV[11] node_times of the run, kept as they are for the next run of the same workflow, or ''
-- then for each file among the outputs that is not registered yet the arguments that lib/register_file.lua lists
-- Returns {'done', {object, …}} (the object of each file) | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local outcome, outputs, failure, keep_ms = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local warnings, node_times = ARGV[10], ARGV[11]

local FIELDS = {
  'state', 'owner', 'lane', 'created', 'attempt', 'instance', 'version', 'claimed', 'started', 'start_by', 'files',
  'attempts', 'settled_by', 'begun', 'only', 'revived', 'workflow_hash', 'flow', 'unlisted', 'held', 'doubt',
  'keys',
}

local known = redis.call('HMGET', instance_key(instance), 'token', 'fault_at')
if known[1] ~= token then
  return { 'fenced' }
end
-- Identifies this ending, so that only a repeated call gets 'done'.
local settling = token .. ':' .. attempt .. ':' .. outcome
local task = read_task(id, FIELDS)
if not belongs_to(task, instance, attempt) then
  return { 'not_this_attempt' }
end
local now = now_ms()
if TERMINAL[task.state] then
  release_ended(task, instance, now)
  if task.settled_by == settling and task.state == state then
    return { 'done', objects_of(12) }
  end
  return { 'ended', task.state }
end
if not is_active(task) then
  return { 'not_this_attempt' }
end
local objects = register_outputs(12, id, now)
local extra = { 'outputs', outputs, 'settled_by', settling }
local change = '"kind":"completed","outputs":' .. outputs
if warnings ~= '' then
  extra[#extra + 1], extra[#extra + 2] = 'output_warnings', warnings
  change = change .. ',"warnings":' .. warnings
end
if state == 'failed' then
  extra[#extra + 1], extra[#extra + 2] = 'failure', failure
  change = '"kind":"failed","failure":' .. failure
elseif task.state == 'claimed' then
  -- Completed without a recorded start: the claim is the best known start time.
  extra[#extra + 1], extra[#extra + 2] = 'started', task.claimed
end
if state == 'completed' and known[2] and tonumber(task.claimed or '0') >= tonumber(known[2]) then
  -- The machine works. A run that was claimed before its fault does not prove it.
  if prove_machine(instance, now) then
    publish_instance(instance, now, true)
  end
elseif outcome == 'node_error' and task.doubt and task.doubt ~= instance then
  drop_doubt(task.doubt, now)
end
if state == 'completed' then
  record_run(task.workflow_hash, instance, math.max(0, now - tonumber(task.started or task.claimed or now)), node_times, now)
end
end_task(task, state, outcome, change, extra, keep_ms, now)
redis.call('HDEL', in_flight_key(instance), id)
return { 'done', objects }

-- Verdict on a machine's fault: which is the cause, the machine or the task? One fault does not say. The rules:
--
-- 1. A fault counts against the task if the machine was sound: no fault since its last success. A broken machine is sound
--    at its first fault only, so it counts once at most. A task with `faults_max` that count is the
--    cause (`poison`).
-- 2. Less is enough if no open instance is left on which it was not tried: two that count; or faults on several instances
--    of which one counts, or one of which has succeeded with another task since. While an untried one is open, the task
--    goes there: two broken machines fail no task that a sound one can run. After `faults_max` instances only sound ones
--    are untried.
-- 3. A cause whose machines have worked since condemns its workflow for an hour, unless a task of it has ever completed:
--    a fault of another task of it counts always, and quarantines no instance. A bad graph that is submitted many
--    times stops no machine.
-- 4. More faults that do not count than `excused_max` fail the task as `machine_fault`: the cause is not known.
-- 5. A cause takes back the quarantines that instances have because of it. They stay suspect until a run succeeds, for it
--    may really have broken them: the next fault there is not the next task's.
-- 6. A machine that has not succeeded since its last fault first gets tasks that no fault speaks against (claim.lua): only
--    a success proves it.
--
-- Fields of the task's hash: `faults` (that count), `excused` (that do not), `faulted` (the instances, `a,b,`),
-- `faulted_at` (the first). `faulty:<workflow hash>`: 0 = a task of it met a fault in the last hour, 1 = condemned.

-- Time for which a workflow is remembered as faulty.
local FAULTY_MS = 3600000

local function faulty_key(task)
  return root .. 'faulty:' .. task.workflow_hash
end

-- Whether faults of the task's workflow count always, and quarantine no instance.
local function is_condemned(task)
  return task.workflow_hash and redis.call('GET', faulty_key(task)) == '1'
    and redis.call('EXISTS', root .. 'speeds-at:' .. task.workflow_hash) == 0
end

-- Records a fault of the task's workflow. `is_cause` condemns it.
local function mark_workflow(task, is_cause)
  if not task.workflow_hash then
    return
  end
  if is_cause then
    redis.call('SET', faulty_key(task), '1', 'PX', FAULTY_MS)
  else
    redis.call('SET', faulty_key(task), '0', 'PX', FAULTY_MS, 'NX')
  end
end

-- Whether the task is the cause of its fault on this instance, and whether one of its machines has worked since its
-- first fault.
local function judge(task, instance, faults, faults_max, now)
  local tried, machines, is_proven = ',', 0, false
  for other in string.gmatch((task.faulted or '') .. instance, '[^,]+') do
    if not string.find(tried, ',' .. other .. ',', 1, true) then
      local proven_at = tonumber(redis.call('HGET', instance_key(other), 'proven_at') or '0')
      tried, machines = tried .. other .. ',', machines + 1
      is_proven = is_proven or proven_at > tonumber(task.faulted_at or now)
    end
  end
  local is_evidence = faults > 1 or machines > 1 and (faults > 0 or is_proven)
  local is_cause = faults >= faults_max or is_evidence and not is_open_elsewhere(instance, now, function(other, is_suspect)
    return string.find(tried, ',' .. other .. ',', 1, true) or is_suspect and machines >= faults_max
      or task.only and not string.find(task.only, ',' .. other .. ',', 1, true)
  end)
  return is_cause, is_proven
end

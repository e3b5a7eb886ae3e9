-- Quarantine of an instance whose machine seems broken: it gets one task at a time, as a trial, after growing delays.
-- Fields of the instance's hash: `quarantine` (JSON: the reason, for people), `quarantined_at`, `trial_at`, `early_at`
-- (from then on a task that no fault speaks against may be the trial), `trials` (its length so far), `ended_at` (the end
-- of the last one), and of the evidence: `fault_at` (the last fault, or the end of a quarantine by a restart or the
-- operator; absent once a run has succeeded), `suspect` (1 = the last fault was the machine's, and no run has succeeded
-- since), `proven_at` (the last success that ended this), `doubts` (runs in a row that failed without a known cause).

-- Longest delay of a trial.
local TRIAL_MS_MAX = 3600000
-- Part of the first delay by which the delays of early trials grow. There are some if no instance is open, for then nothing
-- runs at all. They cost a task one of the faults that do not count, once.
local EARLY_SHARE = 20
-- Maximum number of such parts.
local EARLY_PARTS_MAX = 4
-- Time after the end of a quarantine in which a fault continues it.
local RELAPSE_MS = 600000
-- Runs in a row that fail without a known cause before the instance is quarantined.
local DOUBTS_MAX = 2

-- Whether another instance is in use, enabled and not in quarantine, and not left out.
local function is_open_elsewhere(instance, now, is_left_out)
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', root .. 'leases', now, '+inf')) do
    local closed = redis.call('HMGET', instance_key(other), 'disabled', 'trial_at', 'suspect')
    if other ~= instance and not closed[1] and not closed[2] and not (is_left_out and is_left_out(other, closed[3])) then
      return true
    end
  end
  return false
end

-- Plans early trials on all instances in quarantine: the last one may be the broken one.
local function plan_early_trials(trial_ms, now)
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', root .. 'leases', now, '+inf')) do
    local known = redis.call('HMGET', instance_key(other), 'early_at', 'trials')
    local parts = math.min(tonumber(known[2] or '0') + 1, EARLY_PARTS_MAX)
    local early_at = now + math.ceil(trial_ms / EARLY_SHARE) * parts
    if known[1] and early_at < tonumber(known[1]) then
      redis.call('HSET', instance_key(other), 'early_at', early_at)
    end
  end
end

-- Quarantines an instance because of a task, or lengthens its quarantine after a trial.
local function quarantine(instance, task, reason, trial_ms, now)
  local known = redis.call('HMGET', instance_key(instance), 'quarantined_at', 'trials', 'ended_at')
  local since, trials = tonumber(known[1] or now), tonumber(known[2] or '0')
  if known[1] then
    -- A prompt that waited behind the first faulty one is no trial.
    trials = trials + (tonumber(task.claimed) >= since and 1 or 0)
  else
    trials = known[3] and now - tonumber(known[3]) <= RELAPSE_MS and trials + 1 or 0
  end
  trials = math.min(trials, 20)
  local delay = math.min(trial_ms * 2 ^ trials, TRIAL_MS_MAX)
  local trial_at = now + delay
  local shown = '{"sinceMs":' .. string.format('%.0f', since) .. ',"trialAtMs":' .. string.format('%.0f', trial_at)
    .. ',"trials":' .. trials .. ',"taskId":"' .. task.id .. '","attempt":' .. task.attempt .. ',"failure":' .. reason .. '}'
  redis.call('HSET', instance_key(instance), 'quarantine', shown, 'quarantined_at', since, 'trial_at', trial_at,
    'early_at', trial_at, 'trials', trials)
  if not is_open_elsewhere(instance, now) then
    plan_early_trials(trial_ms, now)
  end
end

-- Ends the quarantine of an instance, and forgets the evidence. Returns true if it was quarantined.
local function end_quarantine(instance, now)
  redis.call('HDEL', instance_key(instance), 'suspect', 'doubts', 'fault_at', 'trial_at', 'early_at', 'quarantined_at')
  if redis.call('HDEL', instance_key(instance), 'quarantine') == 1 then
    redis.call('HSET', instance_key(instance), 'ended_at', now)
    return true
  end
  return false
end

-- A run that was claimed after the last fault has succeeded: the machine works. If it was suspect, that speaks against the
-- tasks on which it failed. Returns true if it was quarantined.
local function prove_machine(instance, now)
  if redis.call('HEXISTS', instance_key(instance), 'suspect') == 1 then
    redis.call('HSET', instance_key(instance), 'proven_at', now)
  end
  return end_quarantine(instance, now)
end

-- Ends the quarantine of an instance whose process was restarted. Its first runs are those of tasks that no fault speaks
-- against.
local function release_restarted(instance, now)
  local was_quarantined = end_quarantine(instance, now)
  redis.call('HDEL', instance_key(instance), 'ended_at', 'trials', 'proven_at')
  redis.call('HSET', instance_key(instance), 'fault_at', now)
  return was_quarantined
end

-- Ends the quarantine of an instance because the operator says so. That proves nothing of its machine: a fault of the next
-- run is not the task's.
local function release_by_operator(instance, now)
  local suspect = redis.call('HGET', instance_key(instance), 'suspect')
  local was_quarantined = end_quarantine(instance, now)
  redis.call('HDEL', instance_key(instance), 'ended_at', 'trials')
  if suspect then
    redis.call('HSET', instance_key(instance), 'suspect', '1', 'fault_at', now)
  end
  return was_quarantined
end

-- Takes back the quarantine that an instance has because of this task alone. Its next fault is not the task's.
local function lift_quarantine(instance, id, now)
  local reason = redis.call('HGET', instance_key(instance), 'quarantine')
  if reason and string.find(reason, '"taskId":"' .. id .. '"', 1, true) then
    redis.call('HDEL', instance_key(instance), 'quarantine', 'quarantined_at', 'trial_at', 'early_at', 'trials')
    publish_instance(instance, now, true)
  end
end

-- Takes back a doubt about an instance: the task failed elsewhere, too.
local function drop_doubt(instance, now)
  local known = redis.call('HMGET', instance_key(instance), 'doubts', 'suspect')
  local doubts = tonumber(known[1] or '0') - 1
  if doubts < 0 then
    return
  end
  if not known[2] and doubts < DOUBTS_MAX and end_quarantine(instance, now) then
    redis.call('HDEL', instance_key(instance), 'ended_at', 'trials')
    publish_instance(instance, now, true)
  end
  redis.call('HSET', instance_key(instance), 'doubts', doubts, 'fault_at', now)
end

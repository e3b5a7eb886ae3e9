-- Quarantine of an instance whose machine seems broken: it gets one task at a time, as a trial, after growing delays.
-- Fields of the instance's hash: `quarantine` (JSON: the reason, for people), `quarantined_at`, `trial_at`, `trials`
-- (its length so far), `ended_at` (the end of the last one), and of the evidence: `fault_at` (the last fault),
-- `suspect` (1 = the last fault was the machine's, and no run has succeeded since), `doubts` (runs in a row that failed
-- without a known cause).

-- Longest delay of a trial.
local TRIAL_MS_MAX = 3600000
-- Time after the end of a quarantine in which a fault continues it.
local RELAPSE_MS = 600000
-- Runs in a row that fail without a known cause before the instance is quarantined.
local DOUBTS_MAX = 2

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
  local trial_at = now + math.min(trial_ms * 2 ^ trials, TRIAL_MS_MAX)
  local shown = '{"sinceMs":' .. string.format('%.0f', since) .. ',"trialAtMs":' .. string.format('%.0f', trial_at)
    .. ',"trials":' .. trials .. ',"taskId":"' .. task.id .. '","attempt":' .. task.attempt .. ',"failure":' .. reason .. '}'
  redis.call('HSET', instance_key(instance), 'quarantine', shown, 'quarantined_at', since, 'trial_at', trial_at,
    'trials', trials)
end

-- Ends the quarantine of an instance, and forgets the evidence. Returns true if it was quarantined.
local function end_quarantine(instance, now)
  redis.call('HDEL', instance_key(instance), 'suspect', 'doubts', 'fault_at', 'trial_at', 'quarantined_at')
  if redis.call('HDEL', instance_key(instance), 'quarantine') == 1 then
    redis.call('HSET', instance_key(instance), 'ended_at', now)
    return true
  end
  return false
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
    redis.call('HDEL', instance_key(instance), 'quarantine', 'quarantined_at', 'trial_at', 'trials')
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

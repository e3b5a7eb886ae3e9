-- Gives one waiting task to an instance that has a free slot.
--
-- KEYS[1] root      of the namespace
-- ARGV[1] instance
-- ARGV[2] token     of its lease
-- ARGV[3] nonce     new for each intent: sent twice, it claims once
-- ARGV[4] slots     tasks the instance may have in flight
-- ARGV[5] window    tasks of a lane examined at a time
-- Returns {'task', id, attempt, payload, facts, attempts_max, owner, waited_ms, node_times or '',
--   keys or ''} | {'nothing'} | {'fenced'}
local instance, token, nonce, slots, window = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

-- Age, for each lane between them, by which the head of a lane overtakes the head of a more urgent lane.
local LANE_AGE_MS = 60000
-- Maximum number of windows of a lane examined while they hold tasks that this instance cannot run.
local WINDOWS_MAX = 8
-- Tasks of a lane examined first: the head nearly always fits.
local FIRST_LOOK = 2
-- Time after which a task that no other instance claimed may go to an instance that it should avoid.
local AVOID_MS = 5000

-- Maximum rank of a task in an early trial.
local EARLY_RANK_MAX = 3

local FIELDS = {
  'state', 'owner', 'lane', 'created', 'attempt', 'instance', 'version', 'claimed', 'start_by', 'max_attempts',
  'uncounted', 'excluded', 'queued', 'begun', 'only', 'revived', 'facts', 'workflow_hash', 'prefers', 'keys', 'faulted', 'doubt',
  'excused',
}

local function claim_reply(task, payload, now)
  -- Attempts that were not counted do not use up the limit.
  local attempts_max = tonumber(task.max_attempts) + tonumber(task.uncounted or '0')
  -- Since it was queued last: earlier attempts ran, they did not wait.
  local waited_ms = math.max(0, (task.claimed or now) - (task.queued or task.created))
  local node_times = task.workflow_hash and redis.call('HGET', root .. 'speeds-at:' .. task.workflow_hash, 'nodes')
  return {
    'task', task.id, task.attempt, payload, task.facts or '{}', tostring(attempts_max), task.owner, tostring(waited_ms),
    node_times or '', task.keys or '',
  }
end

local function can_run(task)
  return not task.only or string.find(task.only, ',' .. instance .. ',', 1, true)
end

local last = redis.call('HMGET', instance_key(instance), 'token', 'nonce', 'last_task', 'last_attempt', 'disabled', 'trial_at',
  'early_at', 'fault_at')
if last[1] ~= token then
  return { 'fenced' }
end
local now = now_ms()

-- Whether the task's startBy has passed. The janitor has not failed it yet.
local function is_overdue(task)
  return task.start_by and not task.begun and tonumber(task.start_by) <= now
end

if last[2] == nonce then
  local task, payload = read_task(last[3], FIELDS), redis.call('GET', payload_key(last[3]))
  if payload and belongs_to(task, instance, last[4]) and is_active(task) then
    return claim_reply(task, payload, now)
  end
  return { 'nothing' }
end
-- In quarantine it runs one task at a time, as a trial, once the delay has passed. If nothing else is open, a task that no
-- fault speaks against may be the trial earlier.
local is_trial = last[6]
local is_early = is_trial and tonumber(is_trial) > now
slots = is_trial and 1 or slots
if redis.call('HLEN', in_flight_key(instance)) >= slots
  or last[5]
  or (is_early and tonumber(last[7] or is_trial) > now)
  or (tonumber(claims_from or '') or 0) > now then
  return { 'nothing' }
end

-- Returns the lanes that may have tasks, in the order in which they are examined.
local function busy_lanes()
  if redis.call('EXISTS', wait_key(0), wait_key(2)) == 0 then
    return { { lane = 1 } }
  end
  local lanes = {}
  for lane = 0, 2 do
    if redis.call('EXISTS', wait_key(lane)) == 1 then
      lanes[#lanes + 1] = { lane = lane }
    end
  end
  for _, candidate in ipairs(lanes) do
    local head = redis.call('ZRANGE', wait_key(candidate.lane), 0, 0)[1]
    -- The age of a revived task counts from its revival: a thousand revived tasks would otherwise go before all urgent
    -- ones.
    local times = redis.call('HMGET', task_key(head), 'created', 'revived_at')
    candidate.rank = candidate.lane * LANE_AGE_MS - (now - tonumber(times[2] or times[1] or '0'))
  end
  table.sort(lanes, function(a, b)
    if a.rank == b.rank then
      return a.lane < b.lane
    end
    return a.rank < b.rank
  end)
  return lanes
end

local function is_excluded(task)
  return string.find(task.excluded or '', ',' .. instance .. ',', 1, true)
end

-- Rank of a task while the machine has not succeeded since its last fault (lib/fault_verdict.lua). Only a success shows
-- whether the machine or its tasks were bad, so the first task of the lowest rank is taken: 0 = of a workflow that has
-- completed before, 1 = not known, 2 = of a workflow that met a fault; 3 more if the task met one elsewhere, 4 if
-- several; 7 = it failed here.
local function suspicion(task)
  if is_excluded(task) then
    return 7
  end
  local workflow, own = task.workflow_hash, (task.faulted or task.doubt) and 3 or 0
  if tonumber(task.excused or '0') > 1 then
    own = 4
  end
  if not workflow then
    return own + 1
  elseif redis.call('EXISTS', root .. 'speeds-at:' .. workflow) == 1 then
    return own
  end
  return own + 1 + redis.call('EXISTS', root .. 'faulty:' .. workflow)
end

-- Whether the task waits for an instance that it prefers: one with more memory, or where it has not failed yet.
local function waits_for_preferred(task)
  local till, preferred = string.match(task.prefers or '', '^(%d+):(.*)$')
  if not till or tonumber(till) <= now or string.find(preferred, ',' .. instance .. ',', 1, true) then
    return false
  end
  for other in string.gmatch(preferred, '[^,]+') do
    local closed = redis.call('HMGET', instance_key(other), 'disabled', 'trial_at')
    if not closed[1] and not closed[2] and tonumber(redis.call('ZSCORE', root .. 'leases', other) or '0') >= now then
      return true
    end
  end
  return false
end

-- Whether another instance should run the task instead. If there is no other leased instance, waiting for one would
-- only delay the task.
local function is_avoided(task)
  return waits_for_preferred(task) or is_excluded(task) and now - tonumber(task.queued) <= AVOID_MS
    and redis.call('ZCOUNT', root .. 'leases', now, '+inf') > 1
end

local stale, found, payload, tag, is_last = {}, nil, nil, nil, nil
local is_unproven, rank_max = last[8] or is_trial, is_early and EARLY_RANK_MAX or 7
-- The first task of the lowest rank above 0.
local fallback
for _, candidate in ipairs(busy_lanes()) do
  local first, size, ineligible, heads = 0, math.min(window, FIRST_LOOK), 0, nil
  repeat
    heads = redis.call('ZRANGE', wait_key(candidate.lane), first, first + size - 1, 'WITHSCORES')
    for i = 1, #heads, 2 do
      local task, rank = read_task(heads[i], FIELDS), 0
      if not task or task.state ~= 'waiting' or task.lane ~= tostring(candidate.lane) then
        stale[#stale + 1] = { id = heads[i], lane = candidate.lane }
      elseif not can_run(task) then
        ineligible = ineligible + 1
      elseif is_overdue(task) or is_avoided(task) then
        -- Left to other instances, or to the janitor.
      else
        rank = is_unproven and suspicion(task) or 0
        payload = rank == 0 and redis.call('GET', payload_key(task.id))
        if rank > 0 then
          -- Beyond a window of suspect tasks there may be others.
          ineligible = ineligible + (rank > 1 and 1 or 0)
          if rank <= rank_max and (not fallback or rank < fallback.rank) then
            fallback = { task = task, tag = tonumber(heads[i + 1]), rank = rank }
          end
        elseif payload then
          found, tag = task, tonumber(heads[i + 1])
          -- Then it may be the last task of its lane.
          is_last = #stale > 0 or (first == 0 and #heads == 2)
          break
        end
      end
    end
    local is_whole_lane = #heads < 2 * size
    first = first + size
    if first % window == 0 then
      is_whole_lane, ineligible = is_whole_lane or ineligible == 0, 0
    end
    size = window - first % window
  until found or is_whole_lane or first >= WINDOWS_MAX * window
  if found then
    break
  end
end

for _, entry in ipairs(stale) do
  leave_lane(entry.id, entry.lane)
end
if not found and fallback then
  found, tag, is_last = fallback.task, fallback.tag, true
  payload = redis.call('GET', payload_key(found.id))
end
if not found or not payload then
  return { 'nothing' }
end
local served = redis.call('HGET', fair_key(found.lane), 'served')
if not served or tag > tonumber(served) then
  redis.call('HSET', fair_key(found.lane), 'served', string.format('%.17g', tag))
end
if is_last then
  leave_lane(found.id, found.lane)
else
  redis.call('ZREM', wait_key(found.lane), found.id)
end
local at, is_first = tostring(now), found.attempt == '0' and not found.revived
found.instance, found.attempt, found.claimed = instance, tostring(tonumber(found.attempt) + 1), at
redis.call('HSET', in_flight_key(instance), found.id, found.attempt)
if not is_first then
  redis.call('HDEL', task_key(found.id), 'started', 'progress', 'failure', 'last_end')
end
redis.call('HSET', task_key(found.id), 'state', 'claimed', 'instance', instance, 'attempt', found.attempt, 'claimed', at,
  'updated', at, 'version', found.version + 1)
redis.call('HSET', instance_key(instance), 'nonce', nonce, 'last_task', found.id, 'last_attempt', found.attempt)
publish_task(found, found.version + 1, '"kind":"claimed"')
return claim_reply(found, payload, now)

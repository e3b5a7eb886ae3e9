-- Gives one waiting task to an instance that has a free slot.
--
-- KEYS[1] root      of the namespace
-- ARGV[1] instance
-- ARGV[2] token     of its lease
-- ARGV[3] nonce     new for each intent: sent twice, it claims once
-- ARGV[4] slots     tasks the instance may have in flight
-- ARGV[5] window    tasks of a lane examined at a time
-- Returns {'task', id, attempt, payload, facts, attempts_max, owner, waited_ms} | {'nothing'} | {'fenced'}
local instance, token, nonce, slots, window = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

-- Age, for each lane between them, by which the head of a lane overtakes the head of a more urgent lane.
local LANE_AGE_MS = 60000
-- Maximum number of windows of a lane examined while they hold tasks that this instance cannot run.
local WINDOWS_MAX = 8
-- Time after which a task that no other instance claimed may go to an instance that it should avoid.
local AVOID_MS = 5000

local function claim_reply(task, payload, attempt)
  -- Attempts that were not counted do not use up the limit.
  local attempts_max = tonumber(task.max_attempts) + tonumber(task.uncounted or '0')
  local fields = redis.call('HMGET', task_key(task.id), 'facts', 'revived_at')
  local waited_ms = math.max(0, (task.claimed or now_ms()) - (fields[2] or task.created))
  return { 'task', task.id, tostring(attempt), payload, fields[1] or '{}', tostring(attempts_max), task.owner, tostring(waited_ms) }
end

local function can_run(task)
  return not task.only or string.find(task.only, ',' .. instance .. ',', 1, true)
end

if is_fenced(instance, token) then
  return { 'fenced' }
end
local now = now_ms()

-- Whether the task's startBy has passed. The janitor has not failed it yet.
local function is_overdue(task)
  return task.start_by and not task.begun and tonumber(task.start_by) <= now
end

local last = redis.call('HMGET', instance_key(instance), 'nonce', 'last_task', 'last_attempt')
if last[1] == nonce then
  local task, payload = read_task(last[2]), redis.call('GET', payload_key(last[2]))
  if payload and belongs_to(task, instance, last[3]) and is_active(task) then
    return claim_reply(task, payload, last[3])
  end
  return { 'nothing' }
end
if redis.call('HLEN', in_flight_key(instance)) >= slots
  or redis.call('SISMEMBER', root .. 'disabled', instance) == 1
  or tonumber(redis.call('HGET', root .. 'meta', 'claims_from') or '0') > now then
  return { 'nothing' }
end

local lanes = {}
for lane = 0, 2 do
  local head = redis.call('ZRANGE', wait_key(lane), 0, 0)[1]
  if head then
    -- The age of a revived task counts from its revival: a thousand revived tasks would otherwise go before all urgent
    -- ones.
    local times = redis.call('HMGET', task_key(head), 'created', 'revived_at')
    local since = tonumber(times[2] or times[1] or '0')
    lanes[#lanes + 1] = { lane = lane, rank = lane * LANE_AGE_MS - (now - since) }
  end
end
table.sort(lanes, function(a, b)
  if a.rank == b.rank then
    return a.lane < b.lane
  end
  return a.rank < b.rank
end)

-- If there is no other leased instance, avoiding this one would only delay the task.
local is_only_instance = redis.call('ZCOUNT', root .. 'leases', now, '+inf') <= 1

local stale, found, payload, tag = {}, nil, nil, nil
for _, candidate in ipairs(lanes) do
  local first, ineligible = 0, nil
  repeat
    local heads = redis.call('ZRANGE', wait_key(candidate.lane), first, first + window - 1, 'WITHSCORES')
    ineligible = 0
    for i = 1, #heads, 2 do
      local task = read_task(heads[i])
      if not task or task.state ~= 'waiting' or task.lane ~= tostring(candidate.lane) then
        stale[#stale + 1] = { id = heads[i], lane = candidate.lane }
      elseif not can_run(task) then
        ineligible = ineligible + 1
      elseif is_overdue(task) then
        -- The janitor fails it.
      elseif not string.find(task.excluded or '', ',' .. instance .. ',', 1, true)
        or is_only_instance or now - tonumber(task.queued) > AVOID_MS then
        payload = redis.call('GET', payload_key(task.id))
        if payload then
          found, tag = task, tonumber(heads[i + 1])
          break
        end
      end
    end
    first = first + window
  until found or ineligible == 0 or #heads < 2 * window or first >= WINDOWS_MAX * window
  if found then
    break
  end
end

for _, entry in ipairs(stale) do
  leave_lane(entry.id, entry.lane)
end
if not found then
  return { 'nothing' }
end
local attempt = tonumber(found.attempt) + 1
local entry = assign_entry(found.id, found.entry, instance)
local served = redis.call('HGET', fair_key(found.lane), 'served')
if not served or tag > tonumber(served) then
  redis.call('HSET', fair_key(found.lane), 'served', string.format('%.17g', tag))
end
leave_lane(found.id, found.lane)
redis.call('HSET', in_flight_key(instance), found.id, attempt)
redis.call('HDEL', task_key(found.id), 'started', 'progress', 'failure', 'last_end')
redis.call('HSET', task_key(found.id), 'state', 'claimed', 'instance', instance, 'attempt', attempt, 'claimed', now,
  'updated', now, 'entry', entry)
redis.call('HSET', instance_key(instance), 'nonce', nonce, 'last_task', found.id, 'last_attempt', attempt)
found.instance, found.attempt, found.claimed = instance, tostring(attempt), now
publish_task(found, redis.call('HINCRBY', task_key(found.id), 'version', 1), '"kind":"claimed"')
publish_instance(instance, now)
return claim_reply(found, payload, attempt)

-- How an attempt, a slot and a task end. Used by every script that ends something.

local ATTEMPTS_KEPT = 20
local MINUTE_RING = 120

-- Frees the slot of a task on an instance; true when there was one.
local function free_slot(instance, id)
  redis.call('SREM', cancelled_key(instance), id)
  return redis.call('HDEL', in_flight_key(instance), id) == 1
end

-- The slot of a task that has ended is no longer needed: the instance has confirmed.
local function confirm_end(task, instance, now)
  redis.call('HDEL', task_key(task.id), 'cancel_pending')
  if free_slot(instance, task.id) then
    publish_instance(instance, now)
  end
end

-- The history with the current attempt added, one JSON object a line, the oldest dropped beyond the limit.
local function history_with(task, outcome, now)
  local lines = {}
  for line in string.gmatch(task.attempts or '', '[^\n]+') do
    lines[#lines + 1] = line
  end
  lines[#lines + 1] = '{"attempt":' .. task.attempt .. ',"instanceId":' .. cjson.encode(task.instance)
    .. ',"startedMs":' .. (task.claimed or now) .. ',"endedMs":' .. now .. ',"outcome":"' .. outcome .. '"}'
  local first = math.max(1, #lines - ATTEMPTS_KEPT + 1)
  return table.concat(lines, '\n', first)
end

-- Counts per second, in a ring of two minutes: what `completed_last_minute` sums.
local function count_completed(now)
  local second = math.floor(now / 1000)
  local slot = tostring(second % MINUTE_RING)
  local at, count = string.match(redis.call('HGET', root .. 'throughput', slot) or '', '^(%d+):(%d+)$')
  count = (at == tostring(second)) and tonumber(count) + 1 or 1
  redis.call('HSET', root .. 'throughput', slot, second .. ':' .. count)
end

-- Ends a task for good. `outcome` is the word of its attempt, `change` the inside of its event, `extra` more fields.
-- A slot it has is left to the caller.
local function end_task(task, state, outcome, change, extra, keep_ms, now)
  if task.state == 'claimed' or task.state == 'running' then
    redis.call('HSET', task_key(task.id), 'attempts', history_with(task, outcome, now))
  end
  leave_ledger(task.entry)
  leave_lane(task.id, task.lane)
  redis.call('ZREM', root .. 'delayed', task.id)
  redis.call('ZREM', root .. 'start-by', task.id)
  move_index(task, STATUS[task.state], state)
  redis.call('ZADD', root .. 'expiry', now + keep_ms, task.id)
  each_file(task, function(file) redis.call('SREM', root .. 'uses:' .. file, task.id) end)
  if state == 'completed' then
    count_completed(now)
  end
  redis.call('HDEL', task_key(task.id), 'entry', 'retry_at')
  redis.call('HSET', task_key(task.id), 'state', state, 'finished', now, 'updated', now, unpack(extra))
  redis.call('HINCRBY', task_key(task.id), 'endings', 1)
  publish_task(task, redis.call('HINCRBY', task_key(task.id), 'version', 1), change)
end

-- Repairs the index entries of a task from its hash, which is the truth. Returns the number of repairs.

local STATUSES = { 'pending', 'running', 'completed', 'failed', 'cancelled' }
local repairs
-- Number of tasks that this call has ended.
local ended_total = 0

local function ensure(key, score, member)
  if not redis.call('ZSCORE', key, member) then
    redis.call('ZADD', key, score, member)
    repairs = repairs + 1
  end
end

local function remove(command, key, member)
  repairs = repairs + redis.call(command, key, member)
end

local function remove_from_lane(lane, id)
  if redis.call('ZSCORE', wait_key(lane), id) then
    leave_lane(id, lane)
    repairs = repairs + 1
  end
end

local function repair_indexes(task)
  for lane = 0, 2 do
    if task.state ~= 'waiting' or tostring(lane) ~= task.lane then
      remove_from_lane(lane, task.id)
    end
  end
  if task.state == 'waiting' then
    ensure(wait_key(task.lane), task.tag, task.id)
  end
  if task.state == 'delayed' then
    ensure(root .. 'delayed', task.retry_at, task.id)
  else
    remove('ZREM', root .. 'delayed', task.id)
  end
  for _, status in ipairs(STATUSES) do
    if task.unlisted or status ~= STATUS[task.state] then
      remove('ZREM', owner_index_key(status, task.owner), task.id)
    end
    if status == STATUS[task.state] then
      ensure(index_key(status), task.created, task.id)
      if not task.unlisted then
        ensure(owner_index_key(status, task.owner), task.created, task.id)
      end
      if task.flow then
        ensure(workflow_index_key(status, task.flow), task.created, task.id)
      end
    else
      remove('ZREM', index_key(status), task.id)
      if task.flow then
        remove('ZREM', workflow_index_key(status, task.flow), task.id)
      end
    end
  end
  if task.state == 'failed' and task.error_type then
    ensure(errors_key(task.error_type), task.created, task.id)
  end
  redis.call('SADD', root .. 'owners', task.owner)
  if task.flow then
    redis.call('SADD', root .. 'flows', task.flow)
  end
  if task.batch then
    ensure(batch_key(task.id), task.created, task.id)
  end
end

local function repair_slot(task)
  if not task.instance then
    return
  end
  local slot = redis.call('HGET', in_flight_key(task.instance), task.id)
  if task.state == 'claimed' or task.state == 'running' then
    -- The lease owner adopts the task at its next renew and finds the prompt.
    if slot ~= task.attempt then
      redis.call('HSET', in_flight_key(task.instance), task.id, task.attempt)
      repairs = repairs + 1
    end
  elseif TERMINAL[task.state] then
    if slot then
      repairs = repairs + redis.call('SADD', cancelled_key(task.instance), task.id)
    else
      repairs = repairs + redis.call('HDEL', task_key(task.id), 'cancel_pending')
      remove('SREM', cancelled_key(task.instance), task.id)
    end
  elseif slot and tonumber(slot) <= tonumber(task.attempt) then
    redis.call('HDEL', in_flight_key(task.instance), task.id)
    repairs = repairs + 1
  end
end

local function repair_times(task, keep_ms, now)
  if TERMINAL[task.state] then
    ensure(root .. 'expiry', tonumber(task.finished or now) + keep_ms, task.id)
    remove('ZREM', root .. 'start-by', task.id)
    remove('ZREM', root .. 'narrowed', task.id)
    each_file(task, function(file) remove('SREM', root .. 'uses:' .. file, task.id) end)
    return
  end
  remove('ZREM', root .. 'expiry', task.id)
  if task.only then
    ensure(root .. 'narrowed', now, task.id)
  else
    remove('ZREM', root .. 'narrowed', task.id)
  end
  each_file(task, function(file) repairs = repairs + redis.call('SADD', root .. 'uses:' .. file, task.id) end)
  if task.start_by and STATUS[task.state] == 'pending' and not task.begun then
    ensure(root .. 'start-by', task.start_by, task.id)
  end
end

-- Removes an id without a hash from all indexes, and its payload.
local function remove_from_indexes(id)
  for lane = 0, 2 do
    remove_from_lane(lane, id)
  end
  for _, name in ipairs({ 'delayed', 'start-by', 'expiry', 'narrowed' }) do
    remove('ZREM', root .. name, id)
  end
  for _, status in ipairs(STATUSES) do
    remove('ZREM', index_key(status), id)
  end
  for _, owner in ipairs(redis.call('SMEMBERS', root .. 'owners')) do
    for _, status in ipairs(STATUSES) do
      remove('ZREM', owner_index_key(status, owner), id)
    end
  end
  for _, workflow in ipairs(redis.call('SMEMBERS', root .. 'flows')) do
    for _, status in ipairs(STATUSES) do
      remove('ZREM', workflow_index_key(status, workflow), id)
    end
  end
  remove('ZREM', batch_key(id), id)
  release_payload(id)
  repairs = repairs + redis.call('DEL', payload_key(id))
end

local function repair(id, failure, keep_ms, now)
  repairs = 0
  local task = read_task(id)
  if not task then
    remove_from_indexes(id)
    return repairs
  end
  if not TERMINAL[task.state] and redis.call('EXISTS', payload_key(id)) == 0 then
    -- The payload is lost, so the task can never run.
    if task.state == 'waiting' or task.state == 'delayed' then
      end_task(task, 'failed', 'storage_failed', '"kind":"failed","failure":' .. failure, { 'failure', failure }, keep_ms, now)
      ended_total = ended_total + 1
      return 1
    end
  end
  repair_indexes(task)
  repair_slot(task)
  repair_times(task, keep_ms, now)
  return repairs
end

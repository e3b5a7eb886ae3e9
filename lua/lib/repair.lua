-- Repairs the index entries of a task from its hash, which is the truth. Returns the number of repairs.

local STATUSES = { 'pending', 'running', 'completed', 'failed', 'cancelled' }
local wrong
-- Number of tasks that this call has ended.
local ended_total = 0

local function expect(key, score, member)
  if not redis.call('ZSCORE', key, member) then
    redis.call('ZADD', key, score, member)
    wrong = wrong + 1
  end
end

local function unexpect(command, key, member)
  wrong = wrong + redis.call(command, key, member)
end

local function unexpect_in_lane(lane, id)
  if redis.call('ZSCORE', wait_key(lane), id) then
    leave_lane(id, lane)
    wrong = wrong + 1
  end
end

-- The consumer that holds the task's entry of the ledger; '' = none, nil = the task has no entry.
local function holder_of(task)
  if not task.entry or task.entry == '' then
    return nil
  end
  local found = redis.call('XRANGE', root .. 'jobs', task.entry, task.entry)[1]
  if not found or found[2][2] ~= task.id then
    return nil
  end
  local pending = redis.call('XPENDING', root .. 'jobs', GROUP, task.entry, task.entry, 1)[1]
  return pending and pending[2] or ''
end

local function repair_ledger(task)
  local holder = holder_of(task)
  if task.state == 'waiting' then
    if holder == nil then
      redis.call('HSET', task_key(task.id), 'entry', redis.call('XADD', root .. 'jobs', '*', 'task', task.id))
      wrong = wrong + 1
    elseif holder ~= '' then
      redis.call('XACK', root .. 'jobs', GROUP, task.entry)
      wrong = wrong + 1
    end
  elseif task.state == 'claimed' or task.state == 'running' then
    if holder ~= task.instance then
      redis.call('HSET', task_key(task.id), 'entry', take_entry(task.id, task.entry, task.instance))
      wrong = wrong + 1
    end
  elseif holder ~= nil then
    leave_ledger(task.entry)
    wrong = wrong + 1
  end
end

local function repair_places(task)
  for lane = 0, 2 do
    if task.state ~= 'waiting' or tostring(lane) ~= task.lane then
      unexpect_in_lane(lane, task.id)
    end
  end
  if task.state == 'waiting' then
    expect(wait_key(task.lane), task.tag, task.id)
  end
  if task.state == 'delayed' then
    expect(root .. 'delayed', task.retry_at, task.id)
  else
    unexpect('ZREM', root .. 'delayed', task.id)
  end
  for _, status in ipairs(STATUSES) do
    if status == STATUS[task.state] then
      expect(index_key(status), task.created, task.id)
      expect(owner_index_key(status, task.owner), task.created, task.id)
      if task.flow then
        expect(flow_index_key(status, task.flow), task.created, task.id)
      end
    else
      unexpect('ZREM', index_key(status), task.id)
      unexpect('ZREM', owner_index_key(status, task.owner), task.id)
      if task.flow then
        unexpect('ZREM', flow_index_key(status, task.flow), task.id)
      end
    end
  end
  if task.state == 'failed' and task.error_type then
    expect(errors_key(task.error_type), task.created, task.id)
  end
  redis.call('SADD', root .. 'owners', task.owner)
  if task.flow then
    redis.call('SADD', root .. 'flows', task.flow)
  end
  if task.batch then
    expect(batch_key(task.id), task.created, task.id)
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
      wrong = wrong + 1
    end
  elseif TERMINAL[task.state] then
    if slot then
      wrong = wrong + redis.call('SADD', cancelled_key(task.instance), task.id)
    else
      wrong = wrong + redis.call('HDEL', task_key(task.id), 'cancel_pending')
      unexpect('SREM', cancelled_key(task.instance), task.id)
    end
  elseif slot and tonumber(slot) <= tonumber(task.attempt) then
    redis.call('HDEL', in_flight_key(task.instance), task.id)
    wrong = wrong + 1
  end
end

local function repair_times(task, keep_ms, now)
  if TERMINAL[task.state] then
    expect(root .. 'expiry', tonumber(task.finished or now) + keep_ms, task.id)
    unexpect('ZREM', root .. 'start-by', task.id)
    unexpect('ZREM', root .. 'narrowed', task.id)
    each_file(task, function(file) unexpect('SREM', root .. 'uses:' .. file, task.id) end)
    return
  end
  unexpect('ZREM', root .. 'expiry', task.id)
  if task.only then
    expect(root .. 'narrowed', now, task.id)
  else
    unexpect('ZREM', root .. 'narrowed', task.id)
  end
  each_file(task, function(file) wrong = wrong + redis.call('SADD', root .. 'uses:' .. file, task.id) end)
  if task.start_by and STATUS[task.state] == 'pending' and not task.begun then
    expect(root .. 'start-by', task.start_by, task.id)
  end
end

-- Removes an id without a hash from all indexes. The sweep of the ledger removes its entry there.
local function repair_gone(id)
  for lane = 0, 2 do
    unexpect_in_lane(lane, id)
  end
  for _, name in ipairs({ 'delayed', 'start-by', 'expiry', 'narrowed' }) do
    unexpect('ZREM', root .. name, id)
  end
  for _, status in ipairs(STATUSES) do
    unexpect('ZREM', index_key(status), id)
  end
  for _, owner in ipairs(redis.call('SMEMBERS', root .. 'owners')) do
    for _, status in ipairs(STATUSES) do
      unexpect('ZREM', owner_index_key(status, owner), id)
    end
  end
  for _, flow in ipairs(redis.call('SMEMBERS', root .. 'flows')) do
    for _, status in ipairs(STATUSES) do
      unexpect('ZREM', flow_index_key(status, flow), id)
    end
  end
  unexpect('ZREM', batch_key(id), id)
end

local function repair(id, failure, keep_ms, now)
  wrong = 0
  local task = read_task(id)
  if not task then
    repair_gone(id)
    return wrong
  end
  if not TERMINAL[task.state] and redis.call('EXISTS', payload_key(id)) == 0 then
    -- The payload is lost, so the task can never run.
    if task.state == 'waiting' or task.state == 'delayed' then
      end_task(task, 'failed', 'storage_failed', '"kind":"failed","failure":' .. failure, { 'failure', failure }, keep_ms, now)
      ended_total = ended_total + 1
      return 1
    end
  end
  repair_ledger(task)
  repair_places(task)
  repair_slot(task)
  repair_times(task, keep_ms, now)
  return wrong
end

-- Deletes ended tasks whose retention is over, with their outputs unless those have a retention of their own; and the
-- files of abandoned attempts. Limits the number of files of one call, so that it takes a few milliseconds.
--
-- KEYS[1] root         of the namespace
-- ARGV[1] limit        tasks of one call
-- ARGV[2] keep_outputs 1: outputs outlive their task
-- ARGV[3] early        1: the oldest ended tasks, although their retention is not over
-- Returns {'collected', number of tasks; `limit` if more may be due}
local limit, keep_outputs, is_early = tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3] == '1'

-- Delay before a task that still holds a slot, or whose outputs are in use, is examined again.
local AGAIN_MS = 60000
local STATES = { 'pending', 'running', 'completed', 'failed', 'cancelled' }

-- Removes the task from the index of its published workflow, and the workflow from `flows` if this was its last task.
local function drop_workflow_index(task)
  local left = 0
  for _, state in ipairs(STATES) do
    redis.call('ZREM', workflow_index_key(state, task.flow), task.id)
    left = left + redis.call('EXISTS', workflow_index_key(state, task.flow))
  end
  if left == 0 then
    redis.call('SREM', root .. 'flows', task.flow)
  end
end

-- Drops the outputs of a task. Returns 'none' if none is left, 'use' if some are in use, 'more' if this call may drop
-- no more.
local function drop_outputs(id, now)
  local left = 'none'
  for _, file in ipairs(redis.call('SMEMBERS', root .. 'made:' .. id)) do
    if is_used(file) then
      left = 'use'
    elseif dropped == FILES_MAX then
      return 'more'
    else
      drop_file(file, now)
      dropped = dropped + 1
    end
  end
  return left
end

-- Drops files of abandoned attempts. Returns true if this call may drop no more.
local function drop_given_up(now)
  for _, task in ipairs(redis.call('SMEMBERS', root .. 'given-up')) do
    local key, used = given_up_key(task), {}
    repeat
      local files = redis.call('SPOP', key, FILES_MAX - dropped)
      for _, file in ipairs(files) do
        if is_used(file) then
          used[#used + 1] = file
        elseif redis.call('EXISTS', file_key(file)) == 1 then
          drop_file(file, now)
          dropped = dropped + 1
        end
      end
    until #files == 0 or dropped == FILES_MAX
    -- Files in use are dropped with the task.
    local target = redis.call('EXISTS', task_key(task)) == 1 and root .. 'made:' .. task or key
    for _, file in ipairs(used) do
      redis.call('SADD', target, file)
    end
    if redis.call('EXISTS', key) == 0 then
      redis.call('SREM', root .. 'given-up', task)
    end
    if dropped == FILES_MAX then
      return true
    end
  end
  return false
end

local now = now_ms()
if drop_given_up(now) then
  return { 'collected', tostring(limit) }
end
local due = redis.call('ZRANGEBYSCORE', root .. 'expiry', '-inf', is_early and '+inf' or now, 'LIMIT', 0, limit)
for _, id in ipairs(due) do
  local task = read_task(id)
  local left = nil
  if task and not TERMINAL[task.state] then
    redis.call('ZREM', root .. 'expiry', id)
  elseif task and task.instance and redis.call('HEXISTS', in_flight_key(task.instance), id) == 1 then
    redis.call('ZADD', root .. 'expiry', now + AGAIN_MS, id)
  else
    left = keep_outputs and 'none' or drop_outputs(id, now)
  end
  if left == 'more' then
    return { 'collected', tostring(limit) }
  elseif left == 'use' then
    redis.call('ZADD', root .. 'expiry', now + AGAIN_MS, id)
  elseif left then
    local others = 0
    for _, state in ipairs(STATES) do
      redis.call('ZREM', index_key(state), id)
      if task then
        redis.call('ZREM', owner_index_key(state, task.owner), id)
        others = others + redis.call('EXISTS', owner_index_key(state, task.owner))
      end
    end
    if task and task.error_type then
      redis.call('ZREM', errors_key(task.error_type), id)
    end
    if task and task.batch then
      redis.call('ZREM', batch_key(id), id)
    end
    if task and task.flow then
      drop_workflow_index(task)
    end
    redis.call('DEL', task_key(id), payload_key(id), root .. 'made:' .. id)
    redis.call('ZREM', root .. 'expiry', id)
    if task and others == 0 then
      redis.call('SREM', root .. 'owners', task.owner)
    end
  end
end
return { 'collected', tostring(#due) }

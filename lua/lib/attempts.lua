-- What every write of an attempt asks first, and how its execution begins.

-- An old attempt must not touch a task that has been given to somebody else, or to the same instance again.
local function is_of(task, instance, attempt)
  return task ~= nil and task.instance == instance and task.attempt == attempt
end

local function is_active(task)
  return task.state == 'claimed' or task.state == 'running'
end

-- The task that an attempt goes on with; else nil, and what the attempt is told.
local function own_task(instance, token, id, attempt)
  if is_fenced(instance, token) then
    return nil, { 'fenced' }
  end
  local task = read_task(id, ATTEMPT_FIELDS)
  if not is_of(task, instance, attempt) then
    return nil, { 'not_this_attempt' }
  end
  if TERMINAL[task.state] then
    return nil, { 'ended', task.state }
  end
  if not is_active(task) then
    return nil, { 'not_this_attempt' }
  end
  return task
end

-- claimed → running, once.
local function begin(task, now)
  if task.state == 'running' then
    return
  end
  task.state = 'running'
  move_index(task, 'pending', 'running')
  redis.call('ZREM', root .. 'start-by', task.id)
  redis.call('HSET', task_key(task.id), 'state', 'running', 'started', now, 'begun', 1, 'updated', now)
  publish_task(task, redis.call('HINCRBY', task_key(task.id), 'version', 1), '"kind":"started"')
end

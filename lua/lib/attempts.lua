-- Checks common to all writes of an attempt, and the start of its run.

-- The fields that the most frequent writes need: to fence, to start a run and to publish.
local ATTEMPT_FIELDS = {
  'state', 'owner', 'created', 'attempt', 'instance', 'version', 'revived', 'flow', 'start_by', 'unlisted',
}

-- Whether the task belongs to this attempt: it may have been claimed again, by another instance or the same.
local function belongs_to(task, instance, attempt)
  return task ~= nil and task.instance == instance and task.attempt == attempt
end

local function is_active(task)
  return task.state == 'claimed' or task.state == 'running'
end

-- Returns the task if the attempt may write it; else nil and the reply that refuses the write.
local function own_task(instance, token, id, attempt)
  if is_fenced(instance, token) then
    return nil, { 'fenced' }
  end
  local task = read_task(id, ATTEMPT_FIELDS)
  if not belongs_to(task, instance, attempt) then
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

-- Time for which a task waits for the instances that it prefers.
local PREFER_MS = 600000

-- Returns the field `prefers` of a task that should run on one of these (`,a,b,`) while one is in use; '' = on any.
local function preference(instances, now)
  return instances ~= '' and string.format('%.0f:', now + PREFER_MS) .. instances or ''
end

-- claimed → running, once: `ran_ms` ago, or now. Returns the task's version.
local function record_start(task, now, ran_ms)
  if task.state == 'running' then
    return task.version
  end
  task.state, task.version = 'running', task.version + 1
  move_index(task, 'pending', 'running')
  if task.start_by then
    redis.call('ZREM', root .. 'start-by', task.id)
  end
  redis.call('HSET', task_key(task.id), 'state', 'running', 'started',
    string.format('%.0f', now - (ran_ms or 0)), 'begun', 1, 'updated', now, 'version', task.version)
  publish_task(task, task.version, '"kind":"started"')
  return task.version
end

-- Returns a task to its place in the queue without counting its attempt. `outcome` and `failure` are those of the
-- attempt in the history; `fields` are more fields of the task's hash.
local function give_back(task, instance, outcome, failure, fields, now)
  local id = task.id
  free_slot(instance, id)
  move_index(task, STATUS[task.state], 'pending')
  local tag = returning_tag(task)
  enter_lane(id, task.lane, tag)
  drop_all_outputs(id, now)
  redis.call('HDEL', task_key(id), 'started', 'progress', 'outputs', 'outputs_told')
  redis.call('HSET', task_key(id), 'state', 'waiting', 'tag', tag, 'queued', now, 'updated', now,
    'uncounted', tonumber(task.uncounted or '0') + 1, 'last_end', 'given_back',
    'attempts', history_with(task, outcome, failure, now), unpack(fields))
  publish_task(task, redis.call('HINCRBY', task_key(id), 'version', 1), '"kind":"pending"')
  publish_instance(instance, now)
end

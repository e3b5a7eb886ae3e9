-- Queues a failed or cancelled task again: same id, a new budget of attempts, history kept.
--
-- KEYS[1] root        of the namespace
-- ARGV[1] id          of the task
-- ARGV[2] waiting_max pending tasks allowed, 0 = no limit
-- ARGV[3] own_max     bytes of payloads allowed for the tasks of one owner, 0 = no limit
-- ARGV[4] all_max     bytes of payloads allowed for all tasks, 0 = no limit
-- ARGV[5] keys        for API nodes, encrypted, or ''
-- Returns {'revived', hash} (by this call, or before and not ended) | {'not_found'} | {'completed'} | {'not_ended', state}
--   | {'stopping'} (its instance has not stopped yet) | {'payload_gone'} | {'keys_gone'} (it had keys, and gets none) | {'no_such_file', id} | {'full'}
--   | {'over_quota', 'user' or 'all'}
local id, waiting_max, own_max, all_max, keys = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]

local task = read_task(id)
if not task then
  return { 'not_found' }
end
if not TERMINAL[task.state] then
  return task.revived and { 'revived', redis.call('HGETALL', task_key(id)) } or { 'not_ended', task.state }
end
if task.state == 'completed' then
  return { 'completed' }
end
-- The pending interrupt is stored under the task's id: it would stop the new prompt too.
if task.instance and redis.call('HEXISTS', in_flight_key(task.instance), id) == 1 then
  return { 'stopping' }
end
if redis.call('EXISTS', payload_key(id)) == 0 then
  return { 'payload_gone' }
end
if keys == '' and redis.call('HEXISTS', task_key(id), 'keys_gone') == 1 then
  return { 'keys_gone' }
end
local missing
each_file(task, function(file)
  if not missing and redis.call('EXISTS', root .. 'file:' .. file) == 0 then
    missing = file
  end
end)
if missing then
  return { 'no_such_file', missing }
end
if waiting_max > 0 and redis.call('ZCARD', index_key('pending')) >= waiting_max then
  return { 'full' }
end

local payload_bytes = counted_bytes(redis.call('STRLEN', payload_key(id)))
local exceeded = exceeded_quota(task.owner, payload_bytes, own_max, all_max)
if exceeded then
  return { 'over_quota', exceeded }
end

local now = now_ms()
if payload_bytes > 0 then
  redis.call('HSET', task_key(id), 'held', '1')
  count_payload(id, task.owner, payload_bytes)
end
task.revived = tostring(tonumber(task.revived or '0') + 1)
redis.call('ZREM', root .. 'expiry', id)
drop_error_index(task)
move_index(task, task.state, 'pending')
each_file(task, function(file) redis.call('SADD', root .. 'uses:' .. file, id) end)
local tag = next_tag(task.lane, task.owner)
enter_lane(id, task.lane, tag)
redis.call('HDEL', task_key(id), 'error_type', 'finished', 'endings', 'started', 'begun', 'progress', 'outputs', 'outputs_told',
  'settled_by', 'last_end', 'lost', 'excluded', 'cancel_pending', 'output_warnings', 'faults',
  'faulted', 'faulted_at', 'excused', 'doubt', 'prefers', 'expires',
  'keys_gone')
-- Earlier attempts are not counted, but no number is used twice: the attempt fences writes.
redis.call('HSET', task_key(id), 'state', 'waiting', 'tag', tag, 'queued', now, 'updated', now,
  'revived', task.revived, 'revived_at', now, 'uncounted', task.attempt)
if keys ~= '' then
  redis.call('HSET', task_key(id), 'keys', keys)
end
-- After the state has changed: an ended task would mark its outputs as gone.
drop_all_outputs(id, now)
if task.only then
  -- Filed as new: instances that were added while it was ended have not examined it.
  redis.call('ZADD', root .. 'narrowed', now, id)
end
if task.start_by and tonumber(task.start_by) > now then
  redis.call('ZADD', root .. 'start-by', task.start_by, id)
else
  redis.call('HDEL', task_key(id), 'start_by')
end
publish_task(task, redis.call('HINCRBY', task_key(id), 'version', 1), '"kind":"revived"')
return { 'revived', redis.call('HGETALL', task_key(id)) }

-- Claims a task again after a failover lost the claim: under the holder's attempt, provided the task is waiting.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- ARGV[4] attempt  that the holder runs
-- Returns {'done'} | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if is_fenced(instance, token) then
  return { 'fenced' }
end
local task = read_task(id)
if not task then
  return { 'not_this_attempt' }
end
if TERMINAL[task.state] then
  return { 'ended', task.state }
end
if is_active(task) then
  return { belongs_to(task, instance, attempt) and 'done' or 'not_this_attempt' }
end
-- A later attempt exists, or this one was returned on purpose: the holder's view is outdated.
if task.state ~= 'waiting' or tonumber(task.attempt) >= tonumber(attempt) then
  return { 'not_this_attempt' }
end
local now = now_ms()
leave_lane(id, task.lane)
redis.call('HSET', in_flight_key(instance), id, attempt)
redis.call('HSET', task_key(id), 'state', 'claimed', 'instance', instance, 'attempt', attempt, 'claimed', now,
  'updated', now)
redis.call('HDEL', task_key(id), 'last_end', 'started', 'progress', 'failure')
task.instance, task.attempt = instance, attempt
publish_task(task, redis.call('HINCRBY', task_key(id), 'version', 1), '"kind":"claimed"')
publish_instance(instance, now)
return { 'done' }

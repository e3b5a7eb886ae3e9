-- Returns delayed tasks that are due to their old places in their lanes.
--
-- KEYS[1] root  of the namespace
-- ARGV[1] limit tasks of one call
-- Returns {'promoted', count, next_due_ms or ''}
local limit = tonumber(ARGV[1])

local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', root .. 'delayed', '-inf', now, 'LIMIT', 0, limit)
for _, id in ipairs(due) do
  redis.call('ZREM', root .. 'delayed', id)
  local task = read_task(id)
  if task and task.state == 'delayed' then
    local tag = returning_tag(task)
    enter_lane(id, task.lane, tag)
    redis.call('HDEL', task_key(id), 'retry_at')
    redis.call('HSET', task_key(id), 'state', 'waiting', 'tag', tag, 'queued', now, 'updated', now)
    publish_task(task, redis.call('HINCRBY', task_key(id), 'version', 1), '"kind":"pending"')
  end
end
local following = redis.call('ZRANGE', root .. 'delayed', 0, 0, 'WITHSCORES')
return { 'promoted', tostring(#due), following[2] or '' }

-- Registers a stored file. An output of a task that is gone becomes an orphan at once.
--
-- KEYS[1] root   of the namespace
-- ARGV[1] id     of the file
-- ARGV[2] kind   upload or output
-- ARGV[3] record JSON
-- ARGV[4] task   that made it, or ''
-- Returns {'done'} | {'orphaned'}
local id, kind, record, task = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if redis.call('EXISTS', root .. 'file:' .. id) == 1 then
  return { 'done' }
end
local now = now_ms()
if task ~= '' and redis.call('EXISTS', task_key(task)) == 0 then
  drop_file(id, now)
  return { 'orphaned' }
end
redis.call('HSET', root .. 'file:' .. id, 'record', record, 'created', now, 'task', task)
redis.call('ZADD', root .. 'files:all', now, id)
redis.call('ZADD', root .. 'files:' .. kind, now, id)
if task ~= '' then
  redis.call('SADD', root .. 'made:' .. task, id)
end
return { 'done' }

-- Registers a stored file, and returns the object in the store that has its bytes: the file's own, or an older one with
-- the same content; then the caller deletes its own. A file becomes an orphan at once if its task no longer exists, or
-- if it was deleted before this call was repeated.
--
-- KEYS[1] root   of the namespace
-- ARGV[1] id     of the file, and of the object that was just written
-- ARGV[2] kind   upload or output
-- ARGV[3] record JSON
-- ARGV[4] task   that produced it, or ''
-- ARGV[5] sha256 of the bytes
-- ARGV[6] size   bytes
-- Returns {'done', object} | {'orphaned'}
local id, kind, record, task, sha256, size = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local known = redis.call('HMGET', file_key(id), 'created', 'object')
if known[1] then
  return { 'done', known[2] or id }
end
local now = now_ms()
local was_deleted = redis.call('ZSCORE', root .. 'orphans', 'first:' .. id)
  or redis.call('ZSCORE', root .. 'orphans', 'again:' .. id)
if was_deleted or (task ~= '' and redis.call('EXISTS', task_key(task)) == 0) then
  make_orphan(id, now)
  return { 'orphaned' }
end
local object = redis.call('GET', content_key(sha256))
if not object then
  object = id
  redis.call('SET', content_key(sha256), object)
  redis.call('HSET', object_key(object), 'sha256', sha256, 'size', size)
  redis.call('HINCRBY', root .. 'totals', 'objects', 1)
  redis.call('HINCRBY', root .. 'totals', 'stored', size)
elseif object ~= id then
  -- The caller deletes its copy now; this entry covers the case that it dies first.
  redis.call('ZADD', root .. 'orphans', now + ORPHAN_AGAIN_MS, 'again:' .. id)
end
redis.call('HINCRBY', object_key(object), 'files', 1)
redis.call('HINCRBY', root .. 'totals', kind, size)
redis.call('HSET', file_key(id), 'record', record, 'created', now, 'task', task, 'object', object, 'kind', kind, 'size', size)
redis.call('ZADD', root .. 'files:all', now, id)
redis.call('ZADD', root .. 'files:' .. kind, now, id)
if task ~= '' then
  redis.call('SADD', root .. 'made:' .. task, id)
end
return { 'done', object }

-- Takes a file off the registry unless a pending or running task needs it.
--
-- KEYS[1] root of the namespace
-- ARGV[1] id   of the file
-- Returns {'deleted', record, created_ms} | {'in_use'} | {'not_found'}
local id = ARGV[1]

local file = redis.call('HMGET', root .. 'file:' .. id, 'record', 'created', 'task')
if not file[1] then
  return { 'not_found' }
end
if redis.call('SCARD', root .. 'uses:' .. id) > 0 then
  return { 'in_use' }
end
local now = now_ms()
drop_file(id, now)
-- The caller deletes the bytes now; this is for the case that it dies before.
redis.call('ZREM', root .. 'orphans', 'first:' .. id)
redis.call('ZADD', root .. 'orphans', now + ORPHAN_AGAIN_MS, 'again:' .. id)
if file[3] and file[3] ~= '' then
  redis.call('SREM', root .. 'made:' .. file[3], id)
end
return { 'deleted', file[1], file[2] }

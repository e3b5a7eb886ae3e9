-- Registers a stored file, and returns the object in the store that has its bytes. A file becomes an orphan at once if
-- its task no longer exists, or if it was deleted before this call was repeated, or if it exceeds the quota of its owner
-- or of all users.
--
-- KEYS[1] root   of the namespace
-- ARGV[1] id     of the file, and of the object that was just written
-- ARGV[2] kind   upload or output
-- ARGV[3] record JSON
-- ARGV[4] task   that produced it, or ''
-- ARGV[5] sha256 of the bytes
-- ARGV[6] size   bytes
-- ARGV[7] owner  of an upload, or ''
-- ARGV[8] own_max bytes allowed for the uploads of the owner, 0 = no limit
-- ARGV[9] all_max bytes allowed for the uploads of all users, 0 = no limit
-- Returns {'done', object} | {'orphaned'} | {'over_quota', 'user' or 'all'}
local id, kind, record, task, sha256, size = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local owner, own_max, all_max = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])

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
local function is_over(used, max) return max > 0 and tonumber(used or '0') + tonumber(size) > max end
local exceeded = is_over(owner ~= '' and redis.call('HGET', root .. 'upload-bytes', owner), own_max) and 'user'
  or is_over(redis.call('HGET', root .. 'totals', 'upload'), all_max) and 'all'
if exceeded then
  make_orphan(id, now)
  return { 'over_quota', exceeded }
end
local object = register_file(id, kind, record, task, sha256, size, tostring(now))
if owner ~= '' then
  redis.call('HSET', file_key(id), 'owner', owner)
  redis.call('HINCRBY', root .. 'upload-bytes', owner, size)
  add_upload_name(owner, record, id)
end
return { 'done', object }

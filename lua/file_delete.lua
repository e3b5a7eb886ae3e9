-- Removes a file from the registry unless a pending or running task or a published workflow needs it. Returns the
-- objects that the caller may delete: the file's object if no other file needs it, and any object stored under the
-- file's id.
--
-- KEYS[1] root of the namespace
-- ARGV[1] id   of the file
-- ARGV[2] ours 1: the caller has stored bytes under this id; a registration that arrives later is refused
-- Returns {'deleted', {object, …}, record, created_ms} | {'in_use', name@version or ''} (of a workflow) | {'not_found', {object, …}}
local id, ours = ARGV[1], ARGV[2] == '1'

-- The caller deletes these objects now; the second turn covers the case that it dies first.
local function unneeded(objects, now)
  local found = {}
  for _, object in ipairs(objects) do
    if redis.call('EXISTS', object_key(object)) == 0 and found[1] ~= object then
      redis.call('ZREM', root .. 'orphans', 'first:' .. object)
      redis.call('ZADD', root .. 'orphans', now + ORPHAN_AGAIN_MS, 'again:' .. object)
      found[#found + 1] = object
    end
  end
  return found
end

local file = redis.call('HMGET', file_key(id), 'record', 'created', 'object')
local now = now_ms()
if not file[1] then
  return { 'not_found', ours and unneeded({ id }, now) or {} }
end
if is_used(id) then
  return { 'in_use', redis.call('SRANDMEMBER', holders_key(id)) or '' }
end
drop_file(id, now)
return { 'deleted', unneeded({ file[3] or id, id }, now), file[1], file[2] }

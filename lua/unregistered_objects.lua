-- Returns those of these objects in the store that no registered file needs.
--
-- KEYS[1] root    of the namespace
-- ARGV[1] objects joined by commas
-- Returns {'objects', {id, …}}
local objects = ARGV[1]

local unregistered = {}
for object in string.gmatch(objects, '[^,]+') do
  local is_needed = redis.call('EXISTS', root .. 'object:' .. object) == 1
  if not is_needed then
    -- An entry of an earlier release, which had no objects: the file is its own object.
    local file = redis.call('HMGET', root .. 'file:' .. object, 'created', 'object')
    is_needed = file[1] and not file[2]
  end
  if not is_needed then
    unregistered[#unregistered + 1] = object
  end
end
return { 'objects', unregistered }

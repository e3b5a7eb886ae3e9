-- Returns a page of files, newest first.
--
-- KEYS[1] root   of the namespace
-- ARGV[1] kind   all, upload or output
-- ARGV[2] offset
-- ARGV[3] limit
-- Returns {'page', total, {record, created_ms, object?}, …}
local kind, offset, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local index = root .. 'files:' .. kind
local page = { 'page', tostring(redis.call('ZCARD', index)) }
for _, id in ipairs(redis.call('ZRANGE', index, offset, offset + limit - 1, 'REV')) do
  local file = redis.call('HMGET', root .. 'file:' .. id, 'record', 'created', 'object')
  if file[1] then
    page[#page + 1] = file
  end
end
return page

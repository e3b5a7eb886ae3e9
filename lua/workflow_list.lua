-- Returns a page of published workflows, ordered by name, and the total. A head may have a megabyte, so a page of long ones
-- ends early.
--
-- KEYS[1] root   of the namespace
-- ARGV[1] offset
-- ARGV[2] limit
-- Returns {'page', total, {name, version, head, updated}, …}; fewer than `limit` if they are too many bytes
local offset, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
-- With the row that exceeds it, less than the largest page of the API.
local HEADS_BYTES_MAX = 2097152

local page, bytes = { 'page', tostring(redis.call('ZCARD', root .. 'workflows')) }, 0
for _, name in ipairs(redis.call('ZRANGE', root .. 'workflows', offset, offset + limit - 1)) do
  local latest = redis.call('HGET', workflow_key(name), 'latest')
  if latest then
    local found = redis.call('HMGET', workflow_key(name), 'head:' .. latest, 'time:' .. latest)
    page[#page + 1] = { name, latest, found[1], found[2] }
    bytes = bytes + #(found[1] or '')
    if bytes > HEADS_BYTES_MAX then
      break
    end
  end
end
return page

-- Returns a page of published workflows, ordered by name, and the total.
--
-- KEYS[1] root   of the namespace
-- ARGV[1] offset
-- ARGV[2] limit
-- Returns {'page', total, {name, version, head, updated}, …}
local offset, limit = tonumber(ARGV[1]), tonumber(ARGV[2])

local page = { 'page', tostring(redis.call('ZCARD', root .. 'workflows')) }
for _, name in ipairs(redis.call('ZRANGE', root .. 'workflows', offset, offset + limit - 1)) do
  local latest = redis.call('HGET', workflow_key(name), 'latest')
  if latest then
    local found = redis.call('HMGET', workflow_key(name), 'head:' .. latest, 'time:' .. latest)
    page[#page + 1] = { name, latest, found[1], found[2] }
  end
end
return page

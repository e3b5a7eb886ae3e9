-- Hands out objects to be deleted from the store, each twice, an hour apart, in case the first deletion never happened.
--
-- KEYS[1] root  of the namespace
-- ARGV[1] limit objects of one call
-- Returns {'objects', {id, …}}
local limit = tonumber(ARGV[1])

local now = now_ms()
local objects = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', root .. 'orphans', '-inf', now, 'LIMIT', 0, limit)) do
  local turn, object = string.match(member, '^(%a+):(.+)$')
  redis.call('ZREM', root .. 'orphans', member)
  if turn == 'first' then
    redis.call('ZADD', root .. 'orphans', now + ORPHAN_AGAIN_MS, 'again:' .. object)
  end
  objects[#objects + 1] = object
end
return { 'objects', objects }

-- Returns the memory of the Redis server that holds our slot, as it counts against `maxmemory`.
--
-- KEYS[1] root of the namespace
-- Returns {'memory', bytes in use, maxmemory (0 = no limit)}
local info = redis.call('INFO', 'memory')
local function bytes(name)
  return tonumber(string.match(info, '\n' .. name .. ':(%d+)') or '0')
end

local used = bytes('used_memory') - bytes('mem_not_counted_for_evict')
return { 'memory', string.format('%.0f', used), string.format('%.0f', bytes('maxmemory')) }

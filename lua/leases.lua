-- Reads the leases of all instances, also free and expired ones.
--
-- KEYS[1] root of the namespace
-- Returns {'leases', {instance, dispatcher, remaining_ms}, …}
local now = now_ms()
local reply = { 'leases' }
local leases = redis.call('ZRANGE', root .. 'leases', 0, -1, 'WITHSCORES')
for i = 1, #leases, 2 do
  local dispatcher = redis.call('HGET', instance_key(leases[i]), 'dispatcher') or ''
  reply[#reply + 1] = { leases[i], dispatcher, tostring(math.max(0, tonumber(leases[i + 1]) - now)) }
end
return reply

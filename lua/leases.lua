-- Reads the leases that may be taken: released and expired ones.
--
-- KEYS[1] root of the namespace
-- ARGV[1] all  1 = also the ids of all instances that have, or had, a lease
-- Returns {'leases', number of those instances, {instance, dispatcher or '' (released), …}, {instance, …} or {}}
local is_all = ARGV[1] == '1'

local free = {}
for _, instance in ipairs(redis.call('ZRANGEBYSCORE', root .. 'leases', '-inf', now_ms())) do
  free[#free + 1], free[#free + 2] = instance, redis.call('HGET', instance_key(instance), 'dispatcher') or ''
end
return {
  'leases', tostring(redis.call('ZCARD', root .. 'leases')), free,
  is_all and redis.call('ZRANGE', root .. 'leases', 0, -1) or {},
}

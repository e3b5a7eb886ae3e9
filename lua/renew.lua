-- Renews a lease and returns the tasks in flight and which of them were cancelled.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] ttl_ms
-- Returns {'ours', {id, attempt, …}, {cancelled id, …}} | {'lost'}
local instance, token, ttl_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

if is_fenced(instance, token) then
  return { 'lost' }
end
local expires = now_ms() + ttl_ms
redis.call('HSET', instance_key(instance), 'expires', expires, 'ttl', ttl_ms)
redis.call('ZADD', root .. 'leases', expires, instance)
return { 'ours', redis.call('HGETALL', in_flight_key(instance)), redis.call('SMEMBERS', cancelled_key(instance)) }

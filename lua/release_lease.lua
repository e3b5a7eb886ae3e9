-- Releases a lease at once; tasks in flight stay for the next owner.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- Returns {'done'} | {'fenced'}
local instance, token = ARGV[1], ARGV[2]

if is_fenced(instance, token) then
  return { 'fenced' }
end
redis.call('HSET', instance_key(instance), 'token', '', 'dispatcher', '', 'expires', 0)
redis.call('ZADD', root .. 'leases', 0, instance)
publish_instance(instance, now_ms())
return { 'done' }

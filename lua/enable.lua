-- Enables or disables an instance and publishes an event. Enabling ends its quarantine.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] enabled  1 or 0
-- Returns {'done'}
local instance, enabled = ARGV[1], ARGV[2] == '1'

local now = now_ms()
redis.call(enabled and 'SREM' or 'SADD', root .. 'disabled', instance)
-- A copy for claims.
if enabled then
  redis.call('HDEL', instance_key(instance), 'disabled')
  release_by_operator(instance, now)
else
  redis.call('HSET', instance_key(instance), 'disabled', '1')
end
publish_instance(instance, now, true)
return { 'done' }

-- Enables or disables an instance and publishes an event.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] enabled  1 or 0
-- Returns {'done'}
local instance, enabled = ARGV[1], ARGV[2] == '1'

redis.call(enabled and 'SREM' or 'SADD', root .. 'disabled', instance)
publish_instance(instance, now_ms())
return { 'done' }

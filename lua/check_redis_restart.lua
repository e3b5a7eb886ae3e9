-- Called by every process that connects or reconnects. Detects a restart of Redis and extends all leases.
--
-- KEYS[1] root of the namespace
-- ARGV[1] installation  a random name, stored if this namespace has none yet; or the name that the process knows
-- ARGV[2] is_known      1 = the process knows it: refused if this namespace has none or another
-- Returns {'booted' | 'known', installation}
local installation, is_known = ARGV[1], ARGV[2] == '1'

local stored = redis.call('HGET', root .. 'meta', 'installation')
if is_known and stored ~= installation then
  return not_ours()
end
installation = stored or installation
-- An empty message, which is ignored: a user who may not publish is refused when it connects, not at its first task.
redis.call('PUBLISH', root .. 'events', '')
redis.call('PUBLISH', root .. 'control', '')
-- Earlier releases kept claims in a consumer group.
redis.pcall('XGROUP', 'DESTROY', root .. 'jobs', 'dispatch')
-- Nor had they the copies that claims read.
for _, instance in ipairs(redis.call('SMEMBERS', root .. 'disabled')) do
  redis.call('HSET', instance_key(instance), 'disabled', '1')
end
local answer = boot(now_ms()) and 'booted' or 'known'
redis.call('HSET', root .. 'meta', 'installation', installation)
-- The key that the fence of every script asks for: its name is in the call, so that Redis can refuse it by slot.
redis.call('SET', root .. 'installation:' .. installation, redis.call('HGET', root .. 'meta', 'claims_from') or '0')
return { answer, installation }

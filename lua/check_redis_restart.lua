-- Called by every process that connects or reconnects. Detects a restart of Redis and extends all leases.
--
-- KEYS[1] root of the namespace
-- ARGV[1] installation  a random name, stored if this namespace has none yet
-- Returns {'booted' | 'known', installation}
local installation = ARGV[1]
local answer = boot(now_ms()) and 'booted' or 'known'
redis.call('HSETNX', root .. 'meta', 'installation', installation)
return { answer, redis.call('HGET', root .. 'meta', 'installation') }

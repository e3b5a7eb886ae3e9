-- Told by every process that (re)connects: a Redis process that was not known yet has been away.
--
-- KEYS[1] root of the namespace
-- ARGV[1] installation  a random name, taken if this namespace has none yet
-- Returns {'booted' | 'known', installation}
local installation = ARGV[1]
local answer = boot(now_ms()) and 'booted' or 'known'
redis.call('HSETNX', root .. 'meta', 'installation', installation)
return { answer, redis.call('HGET', root .. 'meta', 'installation') }

-- Records the heartbeat of a dispatcher and returns all live dispatchers.
--
-- KEYS[1] root       of the namespace
-- ARGV[1] dispatcher
-- ARGV[2] ttl_ms     0 = removes the dispatcher
-- Returns {'live', {dispatcher, …}}
local dispatcher, ttl_ms = ARGV[1], tonumber(ARGV[2])

local now = now_ms()
redis.call('ZADD', root .. 'dispatchers', now + ttl_ms, dispatcher)
redis.call('ZREMRANGEBYSCORE', root .. 'dispatchers', '-inf', now)
return { 'live', redis.call('ZRANGE', root .. 'dispatchers', 0, -1) }

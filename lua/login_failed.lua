-- Counts one failed login in a window that begins with the first.
--
-- KEYS[1] root      of the namespace
-- ARGV[1] scope     hash of a user or an address
-- ARGV[2] window_ms
-- ARGV[3] nonce     new for each failure: sent twice, it counts once
-- Returns {'count', count}
local scope, window_ms, nonce = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local key = root .. 'login:' .. scope
if redis.call('HGET', key, 'nonce') == nonce then
  return { 'count', redis.call('HGET', key, 'count') }
end
local count = redis.call('HINCRBY', key, 'count', 1)
redis.call('HSET', key, 'nonce', nonce)
if count == 1 then
  redis.call('PEXPIRE', key, window_ms)
end
return { 'count', tostring(count) }

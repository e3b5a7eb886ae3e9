-- Who does a duty that one process at a time should do. Only saves work: each duty is safe when two do it.
--
-- KEYS[1] root   of the namespace
-- ARGV[1] duty   its name
-- ARGV[2] holder who asks
-- ARGV[3] ttl_ms 0 = the holder leaves it
-- Returns {'mine'} | {'other'}
local duty, holder, ttl_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

local key = root .. 'duty:' .. duty
local current = redis.call('GET', key)
if current and current ~= holder then
  return { 'other' }
end
if ttl_ms == 0 then
  redis.call('DEL', key)
  return { 'other' }
end
redis.call('SET', key, holder, 'PX', ttl_ms)
return { 'mine' }

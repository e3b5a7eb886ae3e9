-- Elects the process that does a duty. An election only saves work: each duty is safe if two processes do it.
--
-- KEYS[1] root   of the namespace
-- ARGV[1] duty   name of the duty
-- ARGV[2] holder the process that asks
-- ARGV[3] ttl_ms 0 = the holder resigns
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

-- Remembers a prompt that was given up though it may still come to its instance: whoever owns the instance then drops it.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] prompt
-- ARGV[4] keep_ms  how long it is remembered
-- ARGV[5] limit    prompts of one instance; beyond it the oldest go
-- Returns {'done'} | {'fenced'}
local instance, token, prompt, keep_ms, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

-- A paused owner must not have dropped what the next one runs under the same name.
if is_fenced(instance, token) then
  return { 'fenced' }
end
local key, now = root .. 'strays:' .. instance, now_ms()
redis.call('ZREMRANGEBYSCORE', key, '-inf', now - keep_ms)
redis.call('ZADD', key, now, prompt)
redis.call('ZREMRANGEBYRANK', key, 0, -limit - 1)
redis.call('PEXPIRE', key, keep_ms)
return { 'done' }

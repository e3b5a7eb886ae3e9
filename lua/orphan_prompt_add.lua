-- Records an orphan prompt: abandoned, but it may still reach its instance. The lease owner at that time cancels it.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] prompt
-- ARGV[4] keep_ms  retention
-- ARGV[5] limit    prompts of one instance; beyond it the oldest are dropped
-- Returns {'done'} | {'fenced'}
local instance, token, prompt, keep_ms, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

-- A paused owner must not name a prompt that the next owner runs: it would be cancelled.
if is_fenced(instance, token) then
  return { 'fenced' }
end
local key, now = root .. 'strays:' .. instance, now_ms()
redis.call('ZREMRANGEBYSCORE', key, '-inf', now - keep_ms)
redis.call('ZADD', key, now, prompt)
redis.call('ZREMRANGEBYRANK', key, 0, -limit - 1)
redis.call('PEXPIRE', key, keep_ms)
return { 'done' }

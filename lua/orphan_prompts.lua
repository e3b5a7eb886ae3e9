-- Returns the orphan prompts of an instance.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] keep_ms  older ones are ignored
-- Returns {'orphan_prompts', {prompt, age_ms, …}}
local instance, keep_ms = ARGV[1], tonumber(ARGV[2])

local now = now_ms()
local found = redis.call('ZRANGEBYSCORE', root .. 'strays:' .. instance, '(' .. (now - keep_ms), '+inf', 'WITHSCORES')
for i = 2, #found, 2 do
  found[i] = tostring(math.max(0, now - tonumber(found[i])))
end
return { 'orphan_prompts', found }

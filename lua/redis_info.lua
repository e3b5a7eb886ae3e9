-- Returns INFO of the Redis server that holds our slot.
--
-- KEYS[1] root of the namespace
-- Returns { 'redis_info', text of INFO server, memory, persistence and replication}
local text = {}
for i, section in ipairs({ 'server', 'memory', 'persistence', 'replication' }) do
  text[i] = redis.call('INFO', section)
end
return { 'redis_info', table.concat(text, '\n') }

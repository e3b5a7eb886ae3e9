-- Replaces the fleet config if its version is the expected one, and publishes an event.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] document JSON
-- ARGV[2] expected version, or '' = any
-- ARGV[3] nonce    new for each intent: sent twice, it writes once
-- Returns {'written', version} | {'outdated', version}
local document, expected, nonce = ARGV[1], ARGV[2], ARGV[3]

local config = redis.call('HMGET', root .. 'config', 'version', 'nonce')
local version = config[1] or '0'
if config[2] == nonce then
  return { 'written', version }
end
if expected ~= '' and expected ~= version then
  return { 'outdated', version }
end
version = redis.call('HINCRBY', root .. 'config', 'version', 1)
redis.call('HSET', root .. 'config', 'document', document, 'nonce', nonce)
for _, channel in ipairs({ 'events', 'control' }) do
  redis.call('PUBLISH', root .. channel, '{"config":{"version":' .. version .. '}}')
end
return { 'written', tostring(version) }

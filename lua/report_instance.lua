-- Stores the lease owner's report of an instance.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] report   JSON object with "lastHeartbeatMs"
-- ARGV[4] alive    1 = the instance has just answered: its heartbeat becomes now
-- ARGV[5] announce 1 = publish an event
-- Returns {'done', quarantine JSON or null} | {'fenced'}
local instance, token, report, alive, announce = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5] == '1'

if is_fenced(instance, token) then
  return { 'fenced' }
end
local now = now_ms()
if alive then
  -- Inside a JSON string the quotes would be escaped, so this matches the field only.
  report = string.gsub(report, '"lastHeartbeatMs":%d+', '"lastHeartbeatMs":' .. now)
end
redis.call('HSET', instance_key(instance), 'report', report)
if announce then
  publish_instance(instance, now)
end
return { 'done', redis.call('HGET', instance_key(instance), 'quarantine') or 'null' }

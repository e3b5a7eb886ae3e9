-- Ends the quarantine of an instance: its process was restarted, or the operator says so. The next one begins with the
-- first delay again.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease, '' = the operator
-- Returns {'done'} | {'none'} (was not quarantined) | {'fenced'}
local instance, token = ARGV[1], ARGV[2]

if token ~= '' and is_fenced(instance, token) then
  return { 'fenced' }
end
local now, was_quarantined = now_ms(), nil
if token == '' then
  was_quarantined = release_by_operator(instance, now)
else
  was_quarantined = end_quarantine(instance, now)
  redis.call('HDEL', instance_key(instance), 'ended_at', 'trials')
end
if not was_quarantined then
  return { 'none' }
end
publish_instance(instance, now, true)
return { 'done' }

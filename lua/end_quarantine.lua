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
local now = now_ms()
local release = token == '' and release_by_operator or release_restarted
if not release(instance, now) then
  return { 'none' }
end
publish_instance(instance, now, true)
return { 'done' }

-- Removes the keys of an instance that left the config and has nothing in flight.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- Returns {'done'} | {'busy'} | {'fenced'}
local instance, token = ARGV[1], ARGV[2]

if is_fenced(instance, token) then
  return { 'fenced' }
end
if redis.call('HLEN', in_flight_key(instance)) > 0 then
  return { 'busy' }
end
redis.call('DEL', instance_key(instance), cancelled_key(instance))
redis.call('ZREM', root .. 'leases', instance)
return { 'done' }

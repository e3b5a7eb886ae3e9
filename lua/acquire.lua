-- Acquires the lease of an instance if it is free or expired. The same token again renews it.
--
-- KEYS[1] root       of the namespace
-- ARGV[1] instance
-- ARGV[2] dispatcher
-- ARGV[3] token      made by the dispatcher
-- ARGV[4] ttl_ms
-- Returns {'ours', {id, attempt, …}, {cancelled id, …}} | {'held', remaining_ms}
local instance, dispatcher, token, ttl_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local now = now_ms()
local current = redis.call('HMGET', instance_key(instance), 'token', 'expires')
local is_ours = current[1] == token
if current[1] and current[1] ~= '' and not is_ours then
  -- A lease that expired while Redis was down is still valid: its owner could not renew it.
  if tonumber(current[2]) <= now and boot(now) then
    current = redis.call('HMGET', instance_key(instance), 'token', 'expires')
  end
  if tonumber(current[2]) > now then
    return { 'held', tostring(tonumber(current[2]) - now) }
  end
end
redis.call('HSET', instance_key(instance), 'token', token, 'dispatcher', dispatcher, 'expires', now + ttl_ms, 'ttl', ttl_ms)
redis.call('ZADD', root .. 'leases', now + ttl_ms, instance)
if not is_ours then
  redis.call('HINCRBY', instance_key(instance), 'acquired', 1)
  redis.call('HDEL', instance_key(instance), 'nonce')
  if redis.call('SISMEMBER', root .. 'disabled', instance) == 1 then
    redis.call('HSET', instance_key(instance), 'disabled', '1')
  end
  publish_instance(instance, now)
end
return { 'ours', redis.call('HGETALL', in_flight_key(instance)), redis.call('SMEMBERS', cancelled_key(instance)) }

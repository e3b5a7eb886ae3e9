-- Renews leases, each independently of the others, and returns the tasks in flight and which of them were cancelled.
--
-- KEYS[1] root   of the namespace
-- ARGV[1] ttl_ms
-- ARGV[2] fields number of arguments of each lease: 2
-- then for each lease: instance, token
-- Returns {'renewed', reply, …}, a reply for each lease, in order:
--   {'ours', {id, attempt, …}, {cancelled id, …}} | {'lost'} | {'error', text}
local ttl_ms, fields = tonumber(ARGV[1]), tonumber(ARGV[2])
local expires = string.format('%.0f', now_ms() + ttl_ms)

local deadlines = {}
local function renew(instance, token)
  if is_fenced(instance, token) then
    return { 'lost' }
  end
  local reply = { 'ours', redis.call('HGETALL', in_flight_key(instance)), redis.call('SMEMBERS', cancelled_key(instance)) }
  redis.call('HSET', instance_key(instance), 'expires', expires, 'ttl', ttl_ms)
  deadlines[#deadlines + 1], deadlines[#deadlines + 2] = expires, instance
  return reply
end

local replies = { 'renewed' }
for first = 3, #ARGV, fields do
  replies[#replies + 1] = independently(renew, ARGV[first], ARGV[first + 1])
end
if #deadlines > 0 then
  redis.call('ZADD', root .. 'leases', unpack(deadlines))
end
return replies

-- Reads the status of instances, in the order given.
--
-- KEYS[1] root of the namespace
-- ARGV[1] ids  of the instances, joined by commas
-- Returns {'instances', {} (never seen) or {enabled 0|1, leased 0|1, report JSON, {task id, …}, quarantine
--   JSON or null}, …}
local ids = ARGV[1]

local now = now_ms()
local reply = { 'instances' }
for instance in string.gmatch(ids, '[^,]+') do
  local known = redis.call('HMGET', instance_key(instance), 'token', 'expires', 'report', 'quarantine')
  local disabled = redis.call('SISMEMBER', root .. 'disabled', instance) == 1
  if known[1] or known[3] or disabled then
    local leased = known[1] and known[1] ~= '' and tonumber(known[2]) > now
    reply[#reply + 1] = {
      disabled and '0' or '1', leased and '1' or '0', known[3] or '{}', redis.call('HKEYS', in_flight_key(instance)),
      known[4] or 'null',
    }
  else
    reply[#reply + 1] = {}
  end
end
return reply

-- What stands between a waiting task and its start, at one instant.
--
-- KEYS[1] root of the namespace
-- ARGV[1] id   of the task
-- ARGV[2] lane
-- Returns {'prospects', rank in its lane or '', tasks of more urgent lanes, live dispatchers, live leases,
--   ms until claims begin again}
local id, lane = ARGV[1], tonumber(ARGV[2])

local now, urgent = now_ms(), 0
for other = 0, lane - 1 do
  urgent = urgent + redis.call('ZCARD', wait_key(other))
end
local rank = redis.call('ZRANK', wait_key(lane), id)
local claims_from = tonumber(redis.call('HGET', root .. 'meta', 'claims_from') or '0')
return {
  'prospects', rank and tostring(rank) or '', tostring(urgent),
  tostring(redis.call('ZCOUNT', root .. 'dispatchers', '(' .. now, '+inf')),
  tostring(redis.call('ZCOUNT', root .. 'leases', now, '+inf')), tostring(math.max(0, claims_from - now)),
}

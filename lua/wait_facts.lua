-- Returns what the start of a waiting task depends on.
--
-- KEYS[1] root of the namespace
-- ARGV[1] id       of the task, '' = a task that would be accepted now
-- ARGV[2] lane
-- ARGV[3] workflow hash of its graph, or ''
-- Returns {'wait_facts', rank in its lane or '', tasks of more urgent lanes, live dispatchers, live leases,
--   ms until claims resume, mean ms of this workflow's runs or '', mean ms of all runs or '',
--   {instance, mean ms of this workflow's runs on it, …}}
local id, lane, workflow = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local now, urgent = now_ms(), 0
for other = 0, lane - 1 do
  urgent = urgent + redis.call('ZCARD', wait_key(other))
end
local rank
if id == '' then
  rank = redis.call('ZCARD', wait_key(lane))
else
  rank = redis.call('ZRANK', wait_key(lane), id)
end
local run_times = redis.call('HMGET', root .. 'speeds', workflow, 'all')
local function mean(run_time)
  return string.match(run_time or '', '^(%d+):') or ''
end
local by_instance = {}
local known = redis.call('HGETALL', root .. 'speeds-at:' .. workflow)
for i = 1, #known, 2 do
  if known[i] ~= 'nodes' then
    by_instance[#by_instance + 1], by_instance[#by_instance + 2] = known[i], mean(known[i + 1])
  end
end
local claims_from = tonumber(redis.call('HGET', root .. 'meta', 'claims_from') or '0')
return {
  'wait_facts', rank and tostring(rank) or '', tostring(urgent),
  tostring(redis.call('ZCOUNT', root .. 'dispatchers', '(' .. now, '+inf')),
  tostring(redis.call('ZCOUNT', root .. 'leases', now, '+inf')), tostring(math.max(0, claims_from - now)),
  mean(run_times[1]), mean(run_times[2]), by_instance,
}

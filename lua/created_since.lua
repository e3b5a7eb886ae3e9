-- Returns the ids of the tasks created after a time, in no order.
--
-- KEYS[1] root  of the namespace
-- ARGV[1] since Unix ms, excluded
-- ARGV[2] limit of each status; the oldest are returned
-- Returns {'created', 1 (all) or 0 (cut), {id, …}}
local since, limit = ARGV[1], tonumber(ARGV[2])

local ids, is_whole = {}, true
for _, status in ipairs({ 'pending', 'running', 'completed', 'failed', 'cancelled' }) do
  local found = redis.call('ZRANGEBYSCORE', index_key(status), '(' .. since, '+inf', 'LIMIT', 0, limit)
  is_whole = is_whole and #found < limit
  for _, id in ipairs(found) do
    ids[#ids + 1] = id
  end
end
return { 'created', is_whole and '1' or '0', ids }

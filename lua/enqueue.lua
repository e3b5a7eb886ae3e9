-- Accepts tasks, each at most once per id. Each is accepted or refused independently of the others.
--
-- KEYS[1] root        of the namespace
-- ARGV[1] waiting_max pending tasks allowed, 0 = no limit
-- ARGV[2] fields      number of arguments of each task
-- ARGV[3] own_max     bytes of payloads allowed for the tasks of one owner, 0 = no limit
-- ARGV[4] all_max     bytes of payloads allowed for all tasks, 0 = no limit
-- then for each task the arguments that lib/accept.lua lists
-- Returns {'accepted', reply, …}, a reply for each task, in order:
--   {'created', now_ms} | {'replayed', hash} | {'conflict'} | {'full'} | {'over_quota', 'user' or 'all'}
--   | {'no_such_file', id}
local waiting_max, fields = tonumber(ARGV[1]), tonumber(ARGV[2])
local own_max, all_max = tonumber(ARGV[3]), tonumber(ARGV[4])
local now = tostring(now_ms())

local function accept(task)
  local known = redis.call('HGET', task_key(task.id), 'fingerprint')
  if known == task.fingerprint then
    return { 'replayed', redis.call('HGETALL', task_key(task.id)) }
  end
  if known then
    return { 'conflict' }
  end
  if waiting_max > 0 and redis.call('ZCARD', index_key('pending')) >= waiting_max then
    return { 'full' }
  end
  local exceeded = exceeded_quota(task.owner, counted_bytes(#task.payload), own_max, all_max)
  if exceeded then
    return { 'over_quota', exceeded }
  end
  local missing = missing_file(task)
  if missing then
    return { 'no_such_file', missing }
  end
  create(task, now)
  return { 'created', now }
end

local replies = { 'accepted' }
for first = 5, #ARGV, fields do
  replies[#replies + 1] = accept(read_arguments(first))
end
return replies

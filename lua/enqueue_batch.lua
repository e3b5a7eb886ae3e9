-- Accepts all tasks of a batch or none, at most once.
--
-- KEYS[1] root        of the namespace
-- ARGV[1] waiting_max pending tasks allowed, 0 = no limit
-- ARGV[2] fields      number of arguments of each task
-- ARGV[3] own_max     bytes of payloads allowed for the tasks of one owner, 0 = no limit
-- ARGV[4] all_max     bytes of payloads allowed for all tasks, 0 = no limit
-- then for each task the arguments that lib/accept.lua lists
-- Returns {'created', now_ms} | {'replayed'} | {'conflict'} | {'full'} | {'over_quota', 'user' or 'all'} | {'no_such_file', id}
local waiting_max, fields = tonumber(ARGV[1]), tonumber(ARGV[2])
local own_max, all_max = tonumber(ARGV[3]), tonumber(ARGV[4])

local tasks = {}
for first = 5, #ARGV, fields do
  tasks[#tasks + 1] = read_arguments(first)
end
-- Some tasks may have been deleted since; any that is left proves that the batch was accepted.
local is_known = false
for _, task in ipairs(tasks) do
  local known = redis.call('HGET', task_key(task.id), 'fingerprint')
  if known and known ~= task.fingerprint then
    return { 'conflict' }
  end
  is_known = is_known or known
end
if is_known then
  return { 'replayed' }
end
if waiting_max > 0 and redis.call('ZCARD', index_key('pending')) + #tasks > waiting_max then
  return { 'full' }
end
local bytes = 0
for _, task in ipairs(tasks) do
  bytes = bytes + counted_bytes(#task.payload)
end
local exceeded = exceeded_quota(tasks[1].owner, bytes, own_max, all_max)
if exceeded then
  return { 'over_quota', exceeded }
end
for _, task in ipairs(tasks) do
  local missing = missing_file(task)
  if missing then
    return { 'no_such_file', missing }
  end
end

local now = tostring(now_ms())
for _, task in ipairs(tasks) do
  task.batch = '1'
  accept(task, now)
end
write_accepted()
return { 'created', now }

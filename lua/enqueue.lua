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
local pending = waiting_max > 0 and redis.call('ZCARD', index_key('pending')) or 0

-- Id → fingerprint of the tasks to be created.
local planned, planned_count = {}, 0
-- Owner → counted bytes of their payloads; and of all of them.
local planned_bytes, planned_bytes_all = {}, 0

-- Returns the rest of a quota; 0 = no limit.
local function left(max, used) return max > 0 and math.max(1, max - used) or 0 end

-- Returns the tag of the task's reply, and its second item.
local function check(task)
  local known = planned[task.id] or redis.call('HGET', task_key(task.id), 'fingerprint')
  if known == task.fingerprint then
    return 'replayed'
  end
  if known then
    return 'conflict'
  end
  if waiting_max > 0 and pending + planned_count >= waiting_max then
    return 'full'
  end
  local bytes, of_owner = counted_bytes(#task.payload), planned_bytes[task.owner] or 0
  local exceeded = exceeded_quota(task.owner, bytes, left(own_max, of_owner), left(all_max, planned_bytes_all))
  if exceeded then
    return 'over_quota', exceeded
  end
  local missing = missing_file(task)
  if missing then
    return 'no_such_file', missing
  end
  planned[task.id], planned_count = task.fingerprint, planned_count + 1
  planned_bytes[task.owner], planned_bytes_all = of_owner + bytes, planned_bytes_all + bytes
  return 'created', now
end

-- Everything is checked before anything is written: a task whose key is broken fails the call, and must not leave the
-- others without their indexes.
local tasks, replies = {}, { 'accepted' }
for first = 5, #ARGV, fields do
  local task = read_arguments(first)
  tasks[#tasks + 1], replies[#replies + 1] = task, { check(task) }
end
for i, task in ipairs(tasks) do
  if replies[i + 1][1] == 'created' then
    accept(task, now)
  end
end
write_accepted()
for i, task in ipairs(tasks) do
  local reply = replies[i + 1]
  if reply[1] == 'replayed' then
    reply[2] = redis.call('HGETALL', task_key(task.id))
  end
end
return replies

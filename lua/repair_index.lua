-- Walks a part of an index of tasks, and repairs entries that disagree with the task hashes.
--
-- KEYS[1] root    of the namespace
-- ARGV[1] index   jobs (the ledger), or the name of a sorted set of tasks
-- ARGV[2] cursor  position to continue from, '0' = the beginning
-- ARGV[3] count   approximate number of entries of one call
-- ARGV[4] failure JSON object for a task whose payload is lost
-- ARGV[5] keep_ms retention of ended tasks
-- Returns {'swept', next cursor ('0' = done), number of repairs, number of tasks ended}
local index, cursor, count, failure, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])

ensure_group()
local now, repairs_total = now_ms(), 0

-- An entry that its task does not name is a duplicate or a leftover.
local function sweep_ledger()
  local from = cursor == '0' and '-' or '(' .. cursor
  local entries = redis.call('XRANGE', root .. 'jobs', from, '+', 'COUNT', count)
  for _, entry in ipairs(entries) do
    local id = entry[2][2] or ''
    local task = read_task(id)
    if not task or task.entry ~= entry[1] then
      leave_ledger(entry[1])
      repairs_total = repairs_total + 1
    end
    if task then
      repairs_total = repairs_total + repair(id, failure, keep_ms, now)
    end
  end
  return #entries == count and entries[#entries][1] or '0'
end

if index == 'jobs' then
  cursor = sweep_ledger()
else
  local found = redis.call('ZSCAN', root .. index, cursor, 'COUNT', count)
  cursor = found[1]
  local error_type = string.match(index, '^errors:(.+)$')
  for i = 1, #found[2], 2 do
    local id = found[2][i]
    repairs_total = repairs_total + repair(id, failure, keep_ms, now)
    if error_type and redis.call('HGET', task_key(id), 'error_type') ~= error_type then
      repairs_total = repairs_total + redis.call('ZREM', root .. index, id)
    end
  end
end
return { 'swept', cursor, tostring(repairs_total), tostring(ended_total) }

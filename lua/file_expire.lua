-- Takes files off the registry that are older than they are kept and that nobody needs; their bytes become orphans.
--
-- KEYS[1] root    of the namespace
-- ARGV[1] kind    upload or output
-- ARGV[2] keep_ms how long they are kept
-- ARGV[3] skip    so many of the oldest, which were needed a moment ago
-- ARGV[4] limit   files of one call
-- Returns {'expired', looked at, of them still needed}
local kind, keep_ms, skip, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

-- What runs or will run again, and what it has stored so far.
local function is_needed(file)
  if is_used(file) then
    return true
  end
  local task = redis.call('HGET', file_key(file), 'task')
  local state = task and task ~= '' and redis.call('HGET', task_key(task), 'state')
  return state and not TERMINAL[state]
end

local now, needed = now_ms(), 0
local due = redis.call('ZRANGEBYSCORE', root .. 'files:' .. kind, '-inf', now - keep_ms, 'LIMIT', skip, limit)
for _, file in ipairs(due) do
  if is_needed(file) then
    needed = needed + 1
  else
    drop_file(file, now)
  end
end
return { 'expired', tostring(#due), tostring(needed) }

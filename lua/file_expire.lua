-- Removes expired files that are not in use from the registry; their objects become orphans.
--
-- KEYS[1] root    of the namespace
-- ARGV[1] kind    upload or output
-- ARGV[2] keep_ms retention
-- ARGV[3] skip    number of the oldest files to skip, which were in use a moment ago
-- ARGV[4] limit   files of one call
-- Returns {'expired', number examined, number of them still in use}
local kind, keep_ms, skip, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

-- Whether the file is in use, or is an output of a task that has not ended.
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

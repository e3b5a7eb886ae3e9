-- Removes expired files that are not in use from the registry; their objects become orphans.
--
-- KEYS[1] root    of the namespace
-- ARGV[1] kind    upload or output
-- ARGV[2] keep_ms retention
-- ARGV[3] skip    number of the oldest files to skip, which were in use a moment ago
-- ARGV[4] limit   files of one call
-- Returns {'expired', number examined, number of them still in use}
local kind, keep_ms, skip, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

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

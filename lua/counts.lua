-- Returns counts of tasks and files, all at one instant.
--
-- KEYS[1] root of the namespace
-- Returns {'counts', pending, running, completed, failed, cancelled, oldest_ms or '', completed_last_minute, lane 0, 1, 2,
--   uploads, bytes of uploads, outputs, bytes of outputs, objects stored, bytes stored}
local reply = { 'counts' }
for _, status in ipairs({ 'pending', 'running', 'completed', 'failed', 'cancelled' }) do
  reply[#reply + 1] = tostring(redis.call('ZCARD', index_key(status)))
end
local now = now_ms()
local oldest = redis.call('ZRANGE', index_key('pending'), 0, 0, 'WITHSCORES')
reply[#reply + 1] = oldest[2] and tostring(math.max(0, now - tonumber(oldest[2]))) or ''
local completed, second = 0, math.floor(now / 1000)
-- The ring of lib/run_times.lua.
local slots = {}
for at = second - 60, second - 1 do
  slots[#slots + 1] = 'at:' .. at % 120
end
for _, slot in ipairs(redis.call('HMGET', root .. 'speeds', unpack(slots))) do
  local at, count = string.match(slot or '', '^(%d+):(%d+)$')
  if at and tonumber(at) >= second - 60 then
    completed = completed + tonumber(count)
  end
end
reply[#reply + 1] = tostring(completed)
for lane = 0, 2 do
  reply[#reply + 1] = tostring(redis.call('ZCARD', wait_key(lane)))
end
for _, kind in ipairs({ 'upload', 'output' }) do
  reply[#reply + 1] = tostring(redis.call('ZCARD', root .. 'files:' .. kind))
  reply[#reply + 1] = redis.call('HGET', root .. 'totals', kind) or '0'
end
for _, total in ipairs({ 'objects', 'stored' }) do
  reply[#reply + 1] = redis.call('HGET', root .. 'totals', total) or '0'
end
return reply

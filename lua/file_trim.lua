-- Removes the oldest outputs that are not in use from the registry, until objects of `excess` bytes are orphans.
--
-- KEYS[1] root   of the namespace
-- ARGV[1] excess bytes
-- ARGV[2] skip   number of the oldest outputs to skip, which were in use a moment ago
-- ARGV[3] limit  outputs of one call
-- ARGV[4] waits  1: remove none while earlier orphans are to be deleted, because they still take space
-- Returns {'trimmed', number examined, number of them still in use, number removed, bytes freed}
local excess, skip, limit, waits = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'

local function stored() return tonumber(redis.call('HGET', root .. 'totals', 'stored') or '0') end

local now = now_ms()
if waits and redis.call('ZCOUNT', root .. 'orphans', '-inf', now) > 0 then
  return { 'trimmed', '0', '0', '0', '0' }
end
local before, examined, needed, removed = stored(), 0, 0, 0
for _, file in ipairs(redis.call('ZRANGE', root .. 'files:output', skip, skip + limit - 1)) do
  if before - stored() >= excess then
    break
  end
  examined = examined + 1
  if is_needed(file) then
    needed = needed + 1
  else
    drop_file(file, now)
    removed = removed + 1
  end
end
return { 'trimmed', tostring(examined), tostring(needed), tostring(removed), string.format('%.0f', before - stored()) }

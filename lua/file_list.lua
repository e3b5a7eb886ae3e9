-- Returns a page of files, newest first.
--
-- KEYS[1] root   of the namespace
-- ARGV[1] kind   all, upload or output
-- ARGV[2] offset
-- ARGV[3] limit
-- Returns {'page', total, {record, created_ms, object?, time from which its task may be deleted?}, …}
local kind, offset, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local uploads, outputs = root .. 'files:upload', root .. 'files:output'

-- The file at a rank, newest first, as { id, created }; empty past the end.
local function at(index, rank)
  return rank >= 0 and redis.call('ZRANGE', index, rank, rank, 'REV', 'WITHSCORES') or {}
end

local function is_newer(a, b)
  if a[2] == b[2] then
    return a[1] > b[1]
  end
  return tonumber(a[2]) > tonumber(b[2])
end

-- Returns how many of the `offset` newest files are uploads, by bisection.
local function uploads_before(upload_count, output_count)
  local low, high = math.max(0, offset - output_count), math.min(offset, upload_count)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_newer(at(uploads, middle), at(outputs, offset - middle - 1)) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- Returns the ids of a page of both kinds.
local function merged(upload_count, output_count)
  local first = uploads_before(upload_count, output_count)
  local rows = {}
  for _, from in ipairs({ { uploads, first }, { outputs, offset - first } }) do
    local found = redis.call('ZRANGE', from[1], from[2], from[2] + limit - 1, 'REV', 'WITHSCORES')
    for i = 1, #found, 2 do
      rows[#rows + 1] = { found[i], found[i + 1] }
    end
  end
  table.sort(rows, is_newer)
  local ids = {}
  for i = 1, math.min(limit, #rows) do
    ids[i] = rows[i][1]
  end
  return ids
end

local total, ids
if kind == 'all' then
  local upload_count, output_count = redis.call('ZCARD', uploads), redis.call('ZCARD', outputs)
  total = upload_count + output_count
  ids = offset < total and merged(upload_count, output_count) or {}
else
  total = redis.call('ZCARD', root .. 'files:' .. kind)
  ids = redis.call('ZRANGE', root .. 'files:' .. kind, offset, offset + limit - 1, 'REV')
end
local page = { 'page', tostring(total) }
for _, id in ipairs(ids) do
  local file = redis.call('HMGET', root .. 'file:' .. id, 'record', 'created', 'object', 'task')
  if file[1] then
    file[4] = file[4] and file[4] ~= '' and redis.call('HGET', task_key(file[4]), 'expires')
    page[#page + 1] = file
  end
end
return page

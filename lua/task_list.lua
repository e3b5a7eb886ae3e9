-- Returns a page of tasks, newest first, and the total. Finds it by rank: O(log n + page) at any offset.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] statuses joined by commas, each once
-- ARGV[2] owner    only tasks of this owner, if ARGV[3] is 1
-- ARGV[3] by_owner 1 or 0
-- ARGV[4] offset
-- ARGV[5] limit
-- ARGV[6] created  time of the item to continue after, or '' = by offset
-- ARGV[7] id       of that item
-- ARGV[8] errors   only failed tasks with these types of error, joined by commas; '' = by status and owner
-- ARGV[9] workflow only tasks made from the published workflow of this name, of any owner; '' = by status and owner
-- Returns {'page', total, more 0|1, {id, hash, bytes of the outputs left out, created}, …}; fewer than `limit` if they are too many bytes
local statuses, owner, by_owner, offset, limit = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])
local created, after, errors, workflow = ARGV[6], ARGV[7], ARGV[8], ARGV[9]

local indexes, total = {}, 0
for word in string.gmatch(errors ~= '' and errors or statuses, '[^,]+') do
  local index = by_owner and owner_index_key(word, owner) or index_key(word)
  if errors ~= '' then
    index = errors_key(word)
  elseif workflow ~= '' then
    index = workflow_index_key(word, workflow)
  end
  indexes[#indexes + 1] = index
  total = total + redis.call('ZCARD', index)
end

local function newer_than(index, score)
  return redis.call('ZCOUNT', index, '(' .. score, '+inf')
end

-- Rank of the first item after the cursor, whether or not the cursor's own item still exists.
local function rank_after_cursor(index)
  local low = newer_than(index, created)
  local high = low + redis.call('ZCOUNT', index, created, created)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZRANGE', index, middle, middle, 'REV')[1] >= after then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- Returns the rank in each index at which the merged page begins, and the number of merged items to skip from there. Finds
-- the smallest created time with no more than `offset` newer items by bisection, in at most 40 steps.
local function ranks_at_offset()
  if #indexes == 1 or offset == 0 then
    local ranks = {}
    for i in ipairs(indexes) do
      ranks[i] = offset
    end
    return ranks, 0
  end
  local low, high = nil, nil
  for _, index in ipairs(indexes) do
    local first = tonumber(redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')[2])
    local last = tonumber(redis.call('ZRANGE', index, 0, 0, 'REV', 'WITHSCORES')[2])
    if first then
      low, high = math.min(low or first, first), math.max(high or last, last)
    end
  end
  low, high = low or 0, high or 0
  local function newer(score)
    local count = 0
    for _, index in ipairs(indexes) do
      count = count + newer_than(index, score)
    end
    return count
  end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if newer(middle) <= offset then
      high = middle
    else
      low = middle + 1
    end
  end
  local ranks = {}
  for i, index in ipairs(indexes) do
    ranks[i] = newer_than(index, low)
  end
  return ranks, offset - newer(low)
end

if offset >= total then
  return { 'page', tostring(total), '0' }
end
local ranks, skip = {}, 0
if created ~= '' then
  for i, index in ipairs(indexes) do
    ranks[i] = rank_after_cursor(index)
  end
else
  ranks, skip = ranks_at_offset()
end
local rows, before = {}, skip
for i, index in ipairs(indexes) do
  before = before + ranks[i]
  local found = redis.call('ZRANGE', index, ranks[i], ranks[i] + skip + limit - 1, 'REV', 'WITHSCORES')
  for j = 1, #found, 2 do
    rows[#rows + 1] = { id = found[j], created = tonumber(found[j + 1]) }
  end
end
if #indexes > 1 then
  table.sort(rows, function(a, b)
    if a.created == b.created then
      return a.id > b.id
    end
    return a.created > b.created
  end)
end
local last, bytes = math.min(#rows, skip + limit), 0
local page = { 'page', tostring(total), '0' }
for i = skip + 1, last do
  bytes = bytes + add_row(page, rows[i].id, string.format('%.0f', rows[i].created))
  if bytes > ROWS_BYTES_MAX then
    last = i
    break
  end
end
page[3] = (before + math.max(0, last - skip) < total) and '1' or '0'
return page

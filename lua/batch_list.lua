-- Returns a page of a batch's tasks, the last first, and the total. A batch is small, so the script reads all of it.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] id       of any task of the batch
-- ARGV[2] statuses joined by commas
-- ARGV[3] owner    only tasks of this owner, if ARGV[4] is 1
-- ARGV[4] by_owner 1 or 0
-- ARGV[5] offset
-- ARGV[6] limit
-- ARGV[7] after    id of the item to continue after, or '' = by offset
-- Returns {'page', total, more 0|1, {id, hash, bytes of the outputs left out, created}, …}; fewer than `limit` if they are too many bytes
local id, statuses, owner, by_owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local offset, limit, after = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]

local wanted = {}
for word in string.gmatch(statuses, '[^,]+') do
  wanted[word] = true
end
-- All tasks of a batch have the same created time, so they are ordered by id.
local found, first = {}, offset
local members = redis.call('ZRANGE', batch_key(id), 0, -1, 'REV', 'WITHSCORES')
for i = 1, #members, 2 do
  local member = members[i]
  local task = redis.call('HMGET', task_key(member), 'state', 'owner')
  if task[1] and wanted[STATUS[task[1]]] and (not by_owner or task[2] == owner) then
    found[#found + 1] = { id = member, created = members[i + 1] }
    if after ~= '' and member >= after then
      first = #found
    end
  end
end
local last, bytes = math.min(#found, first + limit), 0
local page = { 'page', tostring(#found), '0' }
for i = first + 1, last do
  bytes = bytes + add_row(page, found[i].id, found[i].created)
  if bytes > ROWS_BYTES_MAX then
    last = i
    break
  end
end
page[3] = last < #found and '1' or '0'
return page

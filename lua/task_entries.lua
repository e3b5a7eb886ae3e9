-- Reads tasks as entries of a list, in the order given. Ends early if they are too many bytes: the caller asks again for
-- the rest.
--
-- KEYS[1] root of the namespace
-- ARGV[1] ids  of the tasks, joined by commas
-- Returns {'tasks', {id, hash or {}, bytes of the outputs left out, ''}, …}, at least one
local ids = ARGV[1]

local reply, bytes = { 'tasks' }, 0
for id in string.gmatch(ids, '[^,]+') do
  bytes = bytes + add_row(reply, id)
  if bytes > ROWS_BYTES_MAX then
    break
  end
end
return reply

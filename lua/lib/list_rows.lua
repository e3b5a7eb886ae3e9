-- Rows of lists. Neither a task with long outputs nor a long page may cost Redis much time or memory.

-- Longer outputs (bytes of JSON) are left out of a row; the caller reads them one task at a time.
local ROW_OUTPUTS_MAX = 16384
-- Bytes of all values of a page; the row that exceeds them is its last.
local ROWS_BYTES_MAX = 8388608

-- Adds {id, hash, bytes of the outputs left out, created} to a page and returns the bytes of the hash. `created` is the
-- time in the index: a hash that is broken or gone has none, and its row may be the last of a page.
local function add_row(page, id, created)
  local key, hash = task_key(id), {}
  local outputs_bytes = redis.call('HSTRLEN', key, 'outputs')
  local is_long = outputs_bytes > ROW_OUTPUTS_MAX
  if is_long then
    local names = {}
    for _, name in ipairs(redis.call('HKEYS', key)) do
      if name ~= 'outputs' then
        names[#names + 1] = name
      end
    end
    local values = redis.call('HMGET', key, unpack(names))
    for i, name in ipairs(names) do
      hash[2 * i - 1], hash[2 * i] = name, values[i]
    end
  else
    hash = redis.call('HGETALL', key)
  end
  local bytes = 0
  for _, value in ipairs(hash) do
    bytes = bytes + #value
  end
  page[#page + 1] = { id, hash, is_long and tostring(outputs_bytes) or '0', created or '' }
  return bytes
end

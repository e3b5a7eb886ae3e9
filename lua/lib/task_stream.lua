-- The ledger: the stream of waiting and running tasks, and its consumer group. Both are made again if they were
-- deleted.

local function ensure_group()
  redis.pcall('XGROUP', 'CREATE', root .. 'jobs', GROUP, '0', 'MKSTREAM')
end

-- Assigns the entry to the instance, whether it was delivered before or not; adds a new entry if it is gone. Returns
-- the id of the entry.
local function assign_entry(id, entry, instance)
  if entry and entry ~= '' then
    local taken = redis.pcall('XCLAIM', root .. 'jobs', GROUP, instance, 0, entry, 'FORCE', 'JUSTID')
    if taken.err then
      ensure_group()
      taken = redis.call('XCLAIM', root .. 'jobs', GROUP, instance, 0, entry, 'FORCE', 'JUSTID')
    end
    if #taken > 0 then
      return entry
    end
  else
    ensure_group()
  end
  entry = redis.call('XADD', root .. 'jobs', '*', 'task', id)
  redis.call('XCLAIM', root .. 'jobs', GROUP, instance, 0, entry, 'FORCE', 'JUSTID')
  return entry
end

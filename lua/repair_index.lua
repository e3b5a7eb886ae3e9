-- Walks a part of an index of tasks, and repairs entries that disagree with the task hashes.
--
-- KEYS[1] root    of the namespace
-- ARGV[1] index   name of a sorted set of tasks, or `leases`: the tasks in flight of each instance
-- ARGV[2] cursor  position to continue from, '0' = the beginning
-- ARGV[3] count   approximate number of entries of one call
-- ARGV[4] failure JSON object for a task whose payload is lost
-- ARGV[5] keep_ms retention of ended tasks
-- Returns {'swept', next cursor ('0' = done), number of repairs, number of tasks ended}
local index, cursor, count, failure, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])

local now, repairs_total = now_ms(), 0

local function repair_member(member)
  if index == 'leases' then
    for _, id in ipairs(redis.call('HKEYS', in_flight_key(member))) do
      -- Only the owner of the lease frees the slot of a task that is gone.
      if redis.call('EXISTS', task_key(id)) == 1 then
        repairs_total = repairs_total + repair(id, failure, keep_ms, now)
      end
    end
    return
  end
  repairs_total = repairs_total + repair(member, failure, keep_ms, now)
  local error_type = string.match(index, '^errors:(.+)$')
  if error_type and redis.call('HGET', task_key(member), 'error_type') ~= error_type then
    repairs_total = repairs_total + redis.call('ZREM', root .. index, member)
  end
end

local found = redis.call('ZSCAN', root .. index, cursor, 'COUNT', count)
for i = 1, #found[2], 2 do
  repair_member(found[2][i])
end
return { 'swept', found[1], tostring(repairs_total), tostring(ended_total) }

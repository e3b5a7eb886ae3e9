-- Summarises a batch: its tasks by status, their progress, and the facts that all of them share.
--
-- KEYS[1] root of the namespace
-- ARGV[1] id   of any task of the batch
-- Returns {'batch', owner, created, updated, facts of one task, pending, running, completed, failed, cancelled, percent}
--   (percent: sum over all tasks, an ended task counts as 100) | {'not_found'}
local id = ARGV[1]

local counts = { pending = 0, running = 0, completed = 0, failed = 0, cancelled = 0 }
local owner, created, updated, facts, percent = nil, nil, 0, nil, 0
for _, member in ipairs(redis.call('ZRANGE', batch_key(id), 0, -1)) do
  local task = redis.call('HMGET', task_key(member), 'state', 'updated', 'progress', 'owner')
  if task[1] then
    local status = STATUS[task[1]]
    counts[status] = counts[status] + 1
    updated = math.max(updated, tonumber(task[2]))
    if TERMINAL[task[1]] then
      percent = percent + 100
    else
      percent = percent + tonumber(string.match(task[3] or '', '"progress":(%d+)') or '0')
    end
    if not owner then
      owner, created = task[4], redis.call('HGET', task_key(member), 'created')
      facts = redis.call('HGET', task_key(member), 'facts')
    end
  end
end
if not owner then
  return { 'not_found' }
end
return {
  'batch', owner, created, tostring(updated), facts, tostring(counts.pending), tostring(counts.running),
  tostring(counts.completed), tostring(counts.failed), tostring(counts.cancelled), tostring(percent),
}

-- Accepts a task, at most once per id.
--
-- KEYS[1]  root          of the namespace
-- ARGV[1]  id            of the task
-- ARGV[2]  owner         any text
-- ARGV[3]  lane          0, 1 or 2
-- ARGV[4]  max_attempts  1–10
-- ARGV[5]  fingerprint   of the request
-- ARGV[6]  start_by      Unix ms, or ''
-- ARGV[7]  facts         JSON, shown later
-- ARGV[8]  payload       zstd of JSON
-- ARGV[9]  files         ids the task needs, joined by commas
-- ARGV[10] waiting_max   pending tasks allowed, 0 = no limit
-- Returns {'created', now_ms} | {'replayed', hash} | {'conflict'} | {'full'} | {'no_such_file', id}
local id, owner, lane, max_attempts, fingerprint = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local start_by, facts, payload, files, waiting_max = ARGV[6], ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10])

local known = redis.call('HGET', task_key(id), 'fingerprint')
if known == fingerprint then
  return { 'replayed', redis.call('HGETALL', task_key(id)) }
end
if known then
  return { 'conflict' }
end
if waiting_max > 0 and redis.call('ZCARD', index_key('pending')) >= waiting_max then
  return { 'full' }
end
local task, missing = { id = id, owner = owner, lane = lane, files = files, attempt = '0' }, nil
each_file(task, function(file)
  if not missing and redis.call('EXISTS', root .. 'file:' .. file) == 0 then
    missing = file
  end
end)
if missing then
  return { 'no_such_file', missing }
end

local now = now_ms()
task.created = tostring(now)
redis.call('SET', payload_key(id), payload)
local tag = next_tag(lane, owner)
local entry = enter_lane(id, lane, tag)
redis.call('HSET', task_key(id), 'state', 'waiting', 'owner', owner, 'lane', lane, 'fingerprint', fingerprint,
  'created', now, 'updated', now, 'queued', now, 'attempt', 0, 'max_attempts', max_attempts, 'version', 1,
  'entry', entry, 'tag', tag, 'facts', facts)
add_index(task, 'pending')
add_index(task, 'all')
redis.call('SADD', root .. 'owners', owner)
if files ~= '' then
  redis.call('HSET', task_key(id), 'files', files)
  each_file(task, function(file) redis.call('SADD', root .. 'uses:' .. file, id) end)
end
if start_by ~= '' then
  redis.call('HSET', task_key(id), 'start_by', start_by)
  redis.call('ZADD', root .. 'start-by', start_by, id)
end
publish_task(task, 1, '"kind":"pending"')
return { 'created', tostring(now) }

-- Accepts tasks, each at most once per id and by itself: what is wrong with one does not touch the others.
--
-- KEYS[1] root        of the namespace
-- ARGV[1] waiting_max pending tasks allowed, 0 = no limit
-- ARGV[2] fields      how many arguments each task has
-- then for each task:
--   id           of the task
--   owner        any text
--   lane         0, 1 or 2
--   max_attempts 1–10
--   fingerprint  of the request
--   start_by     Unix ms, or ''
--   facts        JSON, shown later
--   payload      zstd of JSON
--   files        ids the task needs, joined by commas
--   only         instances that have what it needs, each between commas: ',a,b,'; '' = all
--   workflow     hash of its graph, or ''
-- Returns {'accepted', reply, …}, a reply for each task in its order:
--   {'created', now_ms} | {'replayed', hash} | {'conflict'} | {'full'} | {'no_such_file', id}
local waiting_max, fields = tonumber(ARGV[1]), tonumber(ARGV[2])
-- A text from here on: Redis would spell a Lua number anew at each use.
local now = tostring(now_ms())

local function missing_file(task)
  local missing = nil
  each_file(task, function(file)
    if not missing and redis.call('EXISTS', root .. 'file:' .. file) == 0 then
      missing = file
    end
  end)
  return missing
end

local function accept(id, owner, lane, max_attempts, fingerprint, start_by, facts, payload, files, only, workflow)
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
  local task = { id = id, owner = owner, lane = lane, files = files, attempt = '0', created = now }
  local missing = missing_file(task)
  if missing then
    return { 'no_such_file', missing }
  end

  redis.call('SET', payload_key(id), payload)
  local tag, is_known_owner = next_tag(lane, owner)
  local entry = enter_lane(id, lane, tag)
  redis.call('HSET', task_key(id), 'state', 'waiting', 'owner', owner, 'lane', lane, 'fingerprint', fingerprint,
    'created', now, 'updated', now, 'queued', now, 'attempt', '0', 'max_attempts', max_attempts, 'version', '1',
    'entry', entry, 'tag', tag, 'facts', facts)
  add_index(task, 'pending')
  if not is_known_owner then
    redis.call('SADD', root .. 'owners', owner)
  end
  if files ~= '' then
    redis.call('HSET', task_key(id), 'files', files)
    each_file(task, function(file) redis.call('SADD', root .. 'uses:' .. file, id) end)
  end
  if only ~= '' then
    redis.call('HSET', task_key(id), 'only', only)
    redis.call('ZADD', root .. 'narrowed', now, id)
  end
  if workflow ~= '' then
    redis.call('HSET', task_key(id), 'workflow_hash', workflow)
  end
  if start_by ~= '' then
    redis.call('HSET', task_key(id), 'start_by', start_by)
    redis.call('ZADD', root .. 'start-by', start_by, id)
  end
  publish_task(task, 1, '"kind":"pending"')
  return { 'created', now }
end

local replies = { 'accepted' }
for first = 3, #ARGV, fields do
  replies[#replies + 1] = accept(unpack(ARGV, first, first + fields - 1))
end
return replies

-- Accepting a task: reading its arguments, checking its files, writing its hash and indexes.

-- Reads the task whose arguments begin at `first`:
--   id            of the task
--   owner         any text
--   lane          0, 1 or 2
--   max_attempts  1–10
--   fingerprint   of the request
--   start_by      Unix ms, or ''
--   facts         JSON, for display
--   payload       zstd of JSON
--   files         ids the task needs, joined by commas
--   only          instances that meet its requirements, each between commas: ',a,b,'; '' = all
--   workflow_hash of its graph, or ''
--   workflow      name of the published workflow that it was made from, or ''
local function read_arguments(first)
  local id, owner, lane, max_attempts, fingerprint, start_by, facts, payload, files, only, workflow_hash, workflow =
    unpack(ARGV, first, first + 11)
  return {
    id = id, owner = owner, lane = lane, max_attempts = max_attempts, fingerprint = fingerprint, start_by = start_by,
    facts = facts, payload = payload, files = files, only = only, workflow_hash = workflow_hash,
    flow = workflow ~= '' and workflow or nil, attempt = '0',
  }
end

local function missing_file(task)
  local missing = nil
  each_file(task, function(file)
    if not missing and redis.call('EXISTS', root .. 'file:' .. file) == 0 then
      missing = file
    end
  end)
  return missing
end

-- Writes a task that passed all checks. `now` is text: Redis would format a Lua number again at each use.
local function create(task, now)
  local id, owner, lane = task.id, task.owner, task.lane
  task.created = now
  redis.call('SET', payload_key(id), task.payload)
  hold_payload(id, owner, #task.payload)
  local tag, is_known_owner = next_tag(lane, owner)
  local entry = enter_lane(id, lane, tag)
  redis.call('HSET', task_key(id), 'state', 'waiting', 'owner', owner, 'lane', lane, 'fingerprint', task.fingerprint,
    'created', now, 'updated', now, 'queued', now, 'attempt', '0', 'max_attempts', task.max_attempts, 'version', '1',
    'entry', entry, 'tag', tag, 'facts', task.facts)
  add_index(task, 'pending')
  if not is_known_owner then
    redis.call('SADD', root .. 'owners', owner)
  end
  if task.files ~= '' then
    redis.call('HSET', task_key(id), 'files', task.files)
    each_file(task, function(file) redis.call('SADD', root .. 'uses:' .. file, id) end)
  end
  if task.only ~= '' then
    redis.call('HSET', task_key(id), 'only', task.only)
    redis.call('ZADD', root .. 'narrowed', now, id)
  end
  if task.workflow_hash ~= '' then
    redis.call('HSET', task_key(id), 'workflow_hash', task.workflow_hash)
  end
  if task.start_by ~= '' then
    redis.call('HSET', task_key(id), 'start_by', task.start_by)
    redis.call('ZADD', root .. 'start-by', task.start_by, id)
  end
  if task.flow then
    redis.call('HSET', task_key(id), 'flow', task.flow)
    redis.call('SADD', root .. 'flows', task.flow)
  end
  publish_task(task, 1, '"kind":"pending"')
end

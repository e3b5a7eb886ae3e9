-- The registry of stored files. Files with the same bytes have one object in the store: `content:<sha256>` names it,
-- `object:<id>` counts the files that need it. An object whose last file is gone never comes back: its id is not used again.

-- How long bytes that were handed out for deletion are remembered, in case that deletion never happened.
local ORPHAN_AGAIN_MS = 3600000

local function file_key(file) return root .. 'file:' .. file end
local function object_key(object) return root .. 'object:' .. object end
local function content_key(sha256) return root .. 'content:' .. sha256 end
-- The versions of published workflows that need a file, each as `name@version`.
local function held_key(file) return root .. 'held:' .. file end

-- Bytes are due at once, and again in an hour, unless a file needs them.
local function drop_bytes(object, now)
  if redis.call('EXISTS', object_key(object)) == 0 then
    redis.call('ZADD', root .. 'orphans', now, 'first:' .. object)
  end
end

-- One file less needs the object; it goes with the last.
local function leave_object(object)
  local facts = redis.call('HMGET', object_key(object), 'sha256', 'size')
  if not facts[1] or redis.call('HINCRBY', object_key(object), 'files', -1) > 0 then
    return
  end
  redis.call('DEL', object_key(object), content_key(facts[1]))
  redis.call('HINCRBY', root .. 'totals', 'objects', -1)
  redis.call('HINCRBY', root .. 'totals', 'stored', '-' .. facts[2])
end

-- Takes a file off the registry, and its object with the last file that needs it. An ended task remembers that what it
-- made is gone.
local function drop_file(file, now)
  local entry = redis.call('HMGET', file_key(file), 'object', 'kind', 'size', 'task')
  redis.call('DEL', file_key(file), root .. 'uses:' .. file)
  for _, kind in ipairs({ 'all', 'upload', 'output' }) do
    redis.call('ZREM', root .. 'files:' .. kind, file)
  end
  local task = entry[4]
  if task and task ~= '' then
    local was_its = redis.call('SREM', root .. 'made:' .. task, file) == 1
    if was_its and TERMINAL[redis.call('HGET', task_key(task), 'state') or ''] then
      redis.call('HSET', task_key(task), 'gone:' .. file, '1')
    end
  end
  -- Files of versions that knew no objects are counted nowhere, and are their own object.
  local object = entry[1] or file
  if entry[1] then
    redis.call('HINCRBY', root .. 'totals', entry[2], '-' .. entry[3])
    leave_object(object)
  end
  drop_bytes(object, now)
end

-- By a pending or running task, or by a published workflow.
local function is_used(file) return redis.call('EXISTS', root .. 'uses:' .. file, held_key(file)) > 0 end

-- Files dropped by one call: some milliseconds.
local FILES_MAX = 500
-- By this one.
local dropped = 0

-- What attempts made that were given up, where one call could not drop it; `given-up` lists the tasks.
local function given_up_key(task) return root .. 'given-up:' .. task end

-- Everything a task made becomes an orphan: the attempt that made it was given up. What another task needs stays, and goes with
-- this one's time. Very much of it is left to the janitor.
local function drop_made(task, now)
  local made = root .. 'made:' .. task
  if redis.call('SCARD', made) > FILES_MAX then
    redis.call('SUNIONSTORE', given_up_key(task), given_up_key(task), made)
    redis.call('DEL', made)
    redis.call('SADD', root .. 'given-up', task)
    return
  end
  for _, file in ipairs(redis.call('SMEMBERS', made)) do
    if not is_used(file) then
      drop_file(file, now)
    end
  end
end

-- Removes files from the registry (see lib/register_file.lua). The id of an object whose last file was removed is never
-- used again.

-- The versions of published workflows that need a file, each as `name@version`.
local function holders_key(file) return root .. 'held:' .. file end

-- Makes an object an orphan, due at once and again in an hour, unless a file needs it.
local function make_orphan(object, now)
  if redis.call('EXISTS', object_key(object)) == 0 then
    redis.call('ZADD', root .. 'orphans', now, 'first:' .. object)
  end
end

-- Removes one reference to an object, and its keys with the last one.
local function release_object(object)
  local facts = redis.call('HMGET', object_key(object), 'sha256', 'size')
  if not facts[1] or redis.call('HINCRBY', object_key(object), 'files', -1) > 0 then
    return
  end
  redis.call('DEL', object_key(object), content_key(facts[1]))
  redis.call('HINCRBY', root .. 'totals', 'objects', -1)
  redis.call('HINCRBY', root .. 'totals', 'stored', '-' .. facts[2])
end

-- Ids kept of the uploads of one name.
local NAMESAKES_MAX = 8

-- The field of `upload-names` for an upload with this record; nil for a record that cannot be read.
local function upload_name(owner, record)
  local is_read, facts = pcall(cjson.decode, record)
  return is_read and type(facts) == 'table' and facts.filename and owner .. '\n' .. facts.filename or nil
end

-- Returns the ids of a name without `id`, the latest first.
local function namesakes(field, id)
  local ids = {}
  for other in string.gmatch(redis.call('HGET', root .. 'upload-names', field) or '', '[^,]+') do
    if other ~= id then
      ids[#ids + 1] = other
    end
  end
  return ids
end

local function add_upload_name(owner, record, id)
  local field = upload_name(owner, record)
  if not field then
    return
  end
  local ids = namesakes(field, id)
  table.insert(ids, 1, id)
  redis.call('HSET', root .. 'upload-names', field, table.concat(ids, ',', 1, math.min(#ids, NAMESAKES_MAX)))
end

local function remove_upload_name(owner, record, id)
  local field = upload_name(owner, record)
  if not field then
    return
  end
  local ids = namesakes(field, id)
  if #ids == 0 then
    redis.call('HDEL', root .. 'upload-names', field)
  else
    redis.call('HSET', root .. 'upload-names', field, table.concat(ids, ','))
  end
end

-- Removes a file from the registry, and its object with the last file that needs it. If its task has ended, marks the
-- output there as gone.
local function drop_file(file, now)
  local entry = redis.call('HMGET', file_key(file), 'object', 'kind', 'size', 'task', 'owner', 'record')
  redis.call('DEL', file_key(file), root .. 'uses:' .. file)
  for _, kind in ipairs({ 'all', 'upload', 'output' }) do
    redis.call('ZREM', root .. 'files:' .. kind, file)
  end
  local task = entry[4]
  if task and task ~= '' then
    local was_output = redis.call('SREM', root .. 'made:' .. task, file) == 1
    if was_output and TERMINAL[redis.call('HGET', task_key(task), 'state') or ''] then
      redis.call('HSET', task_key(task), 'gone:' .. file, '1')
    end
  end
  -- Uploads of earlier releases have no owner here, and do not count.
  if entry[5] and redis.call('HINCRBY', root .. 'upload-bytes', entry[5], '-' .. entry[3]) <= 0 then
    redis.call('HDEL', root .. 'upload-bytes', entry[5])
  end
  if entry[5] then
    remove_upload_name(entry[5], entry[6], file)
  end
  -- Entries of earlier releases, which had no objects, are not counted in `totals`; such a file is its own object.
  local object = entry[1] or file
  if entry[1] then
    redis.call('HINCRBY', root .. 'totals', entry[2], '-' .. entry[3])
    release_object(object)
  end
  make_orphan(object, now)
end

-- Whether a pending or running task, or a published workflow, needs the file.
local function is_used(file) return redis.call('EXISTS', root .. 'uses:' .. file, holders_key(file)) > 0 end

-- Whether the file is in use, or is an output of a task that has not ended.
local function is_needed(file)
  if is_used(file) then
    return true
  end
  local task = redis.call('HGET', file_key(file), 'task')
  local state = task and task ~= '' and redis.call('HGET', task_key(task), 'state')
  return state and not TERMINAL[state]
end

-- Maximum number of files dropped by one call: a few milliseconds.
local FILES_MAX = 500
-- Files dropped by this call.
local dropped = 0

-- Files of a task's abandoned attempts that one call could not drop; `given-up` lists the tasks.
local function given_up_key(task) return root .. 'given-up:' .. task end

-- Drops all outputs of a task, because the attempt that produced them was abandoned. Outputs in use stay, and are
-- dropped with the task. More than FILES_MAX are left to the janitor.
local function drop_all_outputs(task, now)
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

-- Registers stored files. Files with the same bytes share one object in the store: `content:<sha256>` names it,
-- `object:<id>` counts the files that need it.

-- Delay before an object that was handed out for deletion is handed out again, in case the deletion never happened.
local ORPHAN_AGAIN_MS = 3600000

local function file_key(file) return root .. 'file:' .. file end
local function object_key(object) return root .. 'object:' .. object end
local function content_key(sha256) return root .. 'content:' .. sha256 end

-- Registers a file that is not known yet. `record` is JSON, `task` the task that produced it or ''. Returns the object
-- that has its bytes: its own, or an older one with the same content; then the caller deletes its own.
local function register_file(file, kind, record, task, sha256, size, now)
  local object = redis.call('GET', content_key(sha256))
  if not object then
    object = file
    redis.call('SET', content_key(sha256), object)
    redis.call('HSET', object_key(object), 'sha256', sha256, 'size', size, 'files', 1)
    redis.call('HINCRBY', root .. 'totals', 'objects', 1)
    redis.call('HINCRBY', root .. 'totals', 'stored', size)
  else
    if object ~= file then
      -- The caller deletes its copy now; this entry covers the case that it dies first.
      redis.call('ZADD', root .. 'orphans', now + ORPHAN_AGAIN_MS, 'again:' .. file)
    end
    redis.call('HINCRBY', object_key(object), 'files', 1)
  end
  redis.call('HINCRBY', root .. 'totals', kind, size)
  redis.call('HSET', file_key(file), 'record', record, 'created', now, 'task', task, 'object', object, 'kind', kind, 'size', size)
  redis.call('ZADD', root .. 'files:' .. kind, now, file)
  if task ~= '' then
    redis.call('SADD', root .. 'made:' .. task, file)
  end
  return object
end

-- Registers the outputs of a task whose arguments begin at `first`: id, record, sha256, size of each. Returns the
-- object of each.
local function register_outputs(first, task, now)
  local objects = {}
  for at = first, #ARGV, 4 do
    local file, record, sha256, size = unpack(ARGV, at, at + 3)
    -- A Redis that lost its last writes may know the file but not that it is an output.
    objects[#objects + 1] = redis.call('HGET', file_key(file), 'object')
      or register_file(file, 'output', record, task, sha256, size, now)
  end
  return objects
end

-- Returns the object of each of the same files, as registered by an earlier call; '' if the file was deleted since.
local function objects_of(first)
  local objects = {}
  for at = first, #ARGV, 4 do
    objects[#objects + 1] = redis.call('HGET', file_key(ARGV[at]), 'object') or ''
  end
  return objects
end

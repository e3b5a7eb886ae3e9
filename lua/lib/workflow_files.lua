-- Files that a version of a published workflow names. They are kept as long as the version.

-- Idempotent.
local function hold_files(name, version, files)
  if files == '' then
    return
  end
  redis.call('HSET', workflow_key(name), 'files:' .. version, files)
  for file in string.gmatch(files, '[^,]+') do
    redis.call('SADD', holders_key(file), name .. '@' .. version)
  end
end

local function release_files(name, version)
  local files = redis.call('HGET', workflow_key(name), 'files:' .. version) or ''
  for file in string.gmatch(files, '[^,]+') do
    redis.call('SREM', holders_key(file), name .. '@' .. version)
  end
  redis.call('HDEL', workflow_key(name), 'files:' .. version)
end

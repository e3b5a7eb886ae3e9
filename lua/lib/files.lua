-- The registry of stored files.

-- How long a file that was handed out for deletion is remembered, in case that deletion never happened.
local ORPHAN_AGAIN_MS = 3600000

-- Takes a file off the registry; its bytes become an orphan, due at once.
local function drop_file(file, now)
  redis.call('DEL', root .. 'file:' .. file, root .. 'uses:' .. file)
  for _, kind in ipairs({ 'all', 'upload', 'output' }) do
    redis.call('ZREM', root .. 'files:' .. kind, file)
  end
  redis.call('ZADD', root .. 'orphans', now, 'first:' .. file)
end

-- Everything a task made becomes an orphan: the attempt that made it was given up.
local function drop_made(task, now)
  for _, file in ipairs(redis.call('SMEMBERS', root .. 'made:' .. task)) do
    drop_file(file, now)
  end
  redis.call('DEL', root .. 'made:' .. task)
end

-- How long runs took: a mean for each workflow's hash and one of all. Bounded: the longest unused is forgotten.

-- Workflows remembered.
local SPEEDS_MAX = 2000
-- The newest run is at least this much of the mean, so that a change shows within some runs.
local NEWEST_SHARE = 0.2

-- `<mean ms>:<runs>`, counted up to what the share needs.
local function add_run(name, took)
  local mean, runs = string.match(redis.call('HGET', root .. 'speeds', name) or '0:0', '^(%d+):(%d+)$')
  runs = math.min(tonumber(runs or '0') + 1, 1 / NEWEST_SHARE)
  mean = tonumber(mean or '0')
  redis.call('HSET', root .. 'speeds', name, string.format('%.0f:%d', mean + (took - mean) / runs, runs))
end

local function remember_run(workflow_hash, took, now)
  add_run('all', took)
  if not workflow_hash then
    return
  end
  add_run(workflow_hash, took)
  redis.call('ZADD', root .. 'speeds-used', now, workflow_hash)
  while redis.call('ZCARD', root .. 'speeds-used') > SPEEDS_MAX do
    redis.call('HDEL', root .. 'speeds', redis.call('ZPOPMIN', root .. 'speeds-used')[1])
  end
end

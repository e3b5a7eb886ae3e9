-- Run times: the mean by workflow hash, and of all runs. Bounded: the least recently used hash is dropped.

-- Maximum number of workflow hashes.
local WORKFLOWS_MAX = 2000
-- Smallest weight of the newest run in the mean, so that a change shows within a few runs.
local NEWEST_SHARE = 0.2

-- Updates `<mean ms>:<runs>`. `runs` stops growing once the newest run has its smallest weight.
local function add_run(name, took)
  local mean, runs = string.match(redis.call('HGET', root .. 'speeds', name) or '0:0', '^(%d+):(%d+)$')
  runs = math.min(tonumber(runs or '0') + 1, 1 / NEWEST_SHARE)
  mean = tonumber(mean or '0')
  redis.call('HSET', root .. 'speeds', name, string.format('%.0f:%d', mean + (took - mean) / runs, runs))
end

local function record_run(workflow_hash, took, now)
  add_run('all', took)
  if not workflow_hash then
    return
  end
  add_run(workflow_hash, took)
  redis.call('ZADD', root .. 'speeds-used', now, workflow_hash)
  while redis.call('ZCARD', root .. 'speeds-used') > WORKFLOWS_MAX do
    redis.call('HDEL', root .. 'speeds', redis.call('ZPOPMIN', root .. 'speeds-used')[1])
  end
end

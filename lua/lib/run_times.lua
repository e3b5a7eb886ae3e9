-- Run times: the mean by workflow hash, by workflow hash and instance, and of all runs. Bounded: the least recently used
-- hash is dropped.

-- Maximum number of workflow hashes.
local WORKFLOWS_MAX = 2000
-- Maximum number of instances of one workflow hash; one more, and the times by instance begin anew.
local INSTANCES_MAX = 64
-- Smallest weight of the newest run in the mean, so that a change shows within a few runs.
local NEWEST_SHARE = 0.2

-- Returns `<mean ms>:<runs>` with a run added, and the number of runs before. `runs` stops growing once the newest run has its smallest weight.
local function add_run(known, took)
  local mean, runs = string.match(known or '0:0', '^(%d+):(%d+)$')
  local before = tonumber(runs or '0')
  runs = math.min(before + 1, 1 / NEWEST_SHARE)
  mean = tonumber(mean or '0')
  return string.format('%.0f:%d', mean + (took - mean) / runs, runs), before
end

-- Seconds in the ring of completions.
local SECONDS = 120
-- After a workflow's first runs, its last use is recorded in one second of 16.
local USE_SECONDS = 16

-- The mean run time of a workflow hash on each instance, and `nodes`, the times of its nodes as the dispatcher wrote them.
local function times_key(workflow_hash) return root .. 'speeds-at:' .. workflow_hash end

local function record_on_instance(workflow_hash, instance, took, node_times)
  local key = times_key(workflow_hash)
  local known = redis.call('HGET', key, instance)
  if not known and redis.call('HLEN', key) > INSTANCES_MAX then
    redis.call('DEL', key)
  end
  local mean = add_run(known, took)
  if node_times == '' then
    redis.call('HSET', key, instance, mean)
  else
    redis.call('HSET', key, instance, mean, 'nodes', node_times)
  end
end

-- Counts a completion: in the mean of all runs, in those of its workflow, and in the ring of completions by second
-- (`at:<second % 120>` = `<second>:<count>`).
local function record_run(workflow_hash, instance, took, node_times, now)
  local second = math.floor(now / 1000)
  local slot = 'at:' .. second % SECONDS
  local known = redis.call('HMGET', root .. 'speeds', 'all', slot, workflow_hash or '')
  local at, count = string.match(known[2] or '', '^(%d+):(%d+)$')
  count = at == tostring(second) and tonumber(count) + 1 or 1
  local fields = { 'all', add_run(known[1], took), slot, second .. ':' .. count }
  if not workflow_hash then
    redis.call('HSET', root .. 'speeds', unpack(fields))
    return
  end
  local mean, runs = add_run(known[3], took)
  redis.call('HSET', root .. 'speeds', workflow_hash, mean, unpack(fields))
  record_on_instance(workflow_hash, instance, took, node_times)
  if runs * NEWEST_SHARE < 1 or second % USE_SECONDS == 0 then
    redis.call('ZADD', root .. 'speeds-used', now, workflow_hash)
  end
  while not known[3] and redis.call('ZCARD', root .. 'speeds-used') > WORKFLOWS_MAX do
    local oldest = redis.call('ZPOPMIN', root .. 'speeds-used')[1]
    redis.call('HDEL', root .. 'speeds', oldest)
    redis.call('DEL', times_key(oldest))
  end
end

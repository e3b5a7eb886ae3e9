-- Recovery after a restart of Redis, detected by its run id: every lease gets a new deadline, because its owner could
-- not renew it, and claims pause until the owners have reported what runs.

local CLAIMS_PAUSE_MS = 3000

-- Returns true if this Redis process is new.
local function boot(now)
  local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
  if redis.call('HGET', root .. 'meta', 'run_id') == run_id then
    return false
  end
  local lease_count = 0
  for _, instance in ipairs(redis.call('ZRANGE', root .. 'leases', 0, -1)) do
    local lease = redis.call('HMGET', instance_key(instance), 'token', 'ttl')
    if lease[1] and lease[1] ~= '' then
      lease_count = lease_count + 1
      local expires = now + tonumber(lease[2])
      redis.call('HSET', instance_key(instance), 'expires', expires)
      redis.call('ZADD', root .. 'leases', expires, instance)
    end
  end
  local from = lease_count > 0 and now + CLAIMS_PAUSE_MS or 0
  redis.call('HSET', root .. 'meta', 'run_id', run_id, 'claims_from', from)
  local installation = redis.call('HGET', root .. 'meta', 'installation')
  if installation then
    redis.call('SET', root .. 'installation:' .. installation, string.format('%.0f', from))
  end
  return true
end

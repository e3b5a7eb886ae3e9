-- Second prelude of every script: refuses a caller whose data is not here.
-- KEYS[2] is `{ns}:installation:<id>` of the caller's installation; absent in calls of processes that know none yet.

-- The error for that caller: Redis was emptied, or replaced by another.
local function not_ours()
  return redis.error_reply('NOTOURS ' .. (redis.call('HGET', root .. 'meta', 'installation') or ''))
end

-- While the slot moves to another node key by key, Redis refuses the call itself: KEYS[1] is no key and KEYS[2] is one,
-- and a call for keys of which only some are here is answered with TRYAGAIN, on both nodes. No script runs on half of
-- the keys.
-- Its value is the time from which tasks may be claimed; see lib/redis_restart.lua.
local claims_from = KEYS[2] and redis.call('GET', KEYS[2])
if claims_from == false then
  return not_ours()
end

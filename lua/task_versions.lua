-- Reads the versions and states of tasks, in the order given.
--
-- KEYS[1] root of the namespace
-- ARGV[1] ids  of the tasks, joined by commas
-- Returns {'versions', {version, state} or {}, …}
local ids = ARGV[1]

local reply = { 'versions' }
for id in string.gmatch(ids, '[^,]+') do
  local found = redis.call('HMGET', task_key(id), 'version', 'state')
  reply[#reply + 1] = found[1] and found or {}
end
return reply

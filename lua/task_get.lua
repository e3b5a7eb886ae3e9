-- Reads tasks, in the order given.
--
-- KEYS[1] root of the namespace
-- ARGV[1] ids  of the tasks, joined by commas
-- Returns {'tasks', hash or {}, …}
local ids = ARGV[1]

local reply = { 'tasks' }
for id in string.gmatch(ids, '[^,]+') do
  reply[#reply + 1] = redis.call('HGETALL', task_key(id))
end
return reply

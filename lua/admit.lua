-- Lets an instance run tasks that were left to others: it has what they need by now.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] ids      of the tasks, joined by commas
-- Returns {'admitted', how many are new to it} | {'fenced'}
local instance, token, ids = ARGV[1], ARGV[2], ARGV[3]

if is_fenced(instance, token) then
  return { 'fenced' }
end
local count = 0
for id in string.gmatch(ids, '[^,]+') do
  local task = read_task(id, { 'state', 'only' })
  if task and not TERMINAL[task.state] and task.only and not string.find(task.only, ',' .. instance .. ',', 1, true) then
    redis.call('HSET', task_key(id), 'only', task.only .. instance .. ',')
    count = count + 1
  end
end
return { 'admitted', tostring(count) }

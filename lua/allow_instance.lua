-- Admits an instance to tasks that are restricted to others, because it now meets their requirements.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] ids      of the tasks, joined by commas
-- Returns {'admitted', number of tasks for which this is new} | {'fenced'}
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

-- Adds early outputs of a running attempt, and registers their files. Also records its start if that was not recorded
-- before.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- ARGV[4] attempt
-- ARGV[5] before   number of outputs that this attempt added before these
-- ARGV[6] count    number of these, 1 or more
-- ARGV[7] outputs  JSON array of these
-- then for each file among them the arguments that lib/register_file.lua lists
-- Returns {'done', {object, …}} (by this call or an earlier one; the object of each file) | {'missing', number known}
--   (fewer than `before`) | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local before, count, outputs = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]

local task, refusal = own_task(instance, token, id, attempt)
if refusal then
  return refusal
end
local stored = redis.call('HMGET', task_key(id), 'outputs', 'outputs_told')
local known = stored[1] and tonumber(stored[2] or '0') or 0
-- `before` is the position of these outputs: a repeated call adds nothing, and a gap is refused.
if known > before then
  return { 'done', objects_of(8) }
end
if known < before then
  return { 'missing', tostring(known) }
end
local now = tostring(now_ms())
local objects = register_outputs(8, id, now)
local version = record_start(task, now) + 1
local all = known == 0 and outputs or string.sub(stored[1], 1, -2) .. ',' .. string.sub(outputs, 2)
redis.call('HSET', task_key(id), 'outputs', all, 'outputs_told', known + count, 'updated', now, 'version', version)
publish_task(task, version, '"kind":"output","outputs":' .. outputs)
return { 'done', objects }

-- Checks whether a file may be deleted, and which of its objects no other file needs. Changes nothing: for a Redis that refuses
-- writes because its disk is full, until the deletion of these objects has freed space.
--
-- KEYS[1] root of the namespace
-- ARGV[1] id   of the file
-- Returns {'deletable', {object, …}} | {'in_use'} | {'not_found'}
local id = ARGV[1]

local file = redis.call('HMGET', root .. 'file:' .. id, 'record', 'object')
if not file[1] then
  return { 'not_found' }
end
if redis.call('EXISTS', root .. 'uses:' .. id, root .. 'held:' .. id) > 0 then
  return { 'in_use' }
end
local object = file[2] or id
local files = tonumber(redis.call('HGET', root .. 'object:' .. object, 'files') or '1')
return { 'deletable', files > 1 and {} or { object } }

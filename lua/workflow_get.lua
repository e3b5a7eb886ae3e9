-- Reads a version of a published workflow.
--
-- KEYS[1] root    of the namespace
-- ARGV[1] name
-- ARGV[2] version or '' = the latest
-- Returns {'workflow', version, latest, head, graph, created, updated, {version, …} (all kept),
--   graph in the editor's format or ''}
--   | {'no_version', {version, …}} | {'not_found', {name, …}} (all published names)
local name, version = ARGV[1], ARGV[2]

local latest = redis.call('HGET', workflow_key(name), 'latest')
if not latest then
  return { 'not_found', redis.call('ZRANGE', root .. 'workflows', 0, -1) }
end
local kept = {}
for _, field in ipairs(redis.call('HKEYS', workflow_key(name))) do
  kept[#kept + 1] = string.match(field, '^head:(%d+)$')
end
table.sort(kept, function(a, b) return tonumber(a) < tonumber(b) end)
version = version ~= '' and version or latest
local found = redis.call('HMGET', workflow_key(name), 'head:' .. version, 'graph:' .. version, 'time:' .. version,
  'time:' .. latest, 'editor:' .. version)
if not found[1] then
  return { 'no_version', kept }
end
return { 'workflow', version, latest, found[1], found[2], found[3], found[4], kept, found[5] or '' }

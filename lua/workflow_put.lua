-- Publishes a version of a workflow. The content of the latest version again makes no new version.
--
-- KEYS[1] root          of the namespace
-- ARGV[1] name
-- ARGV[2] head          JSON: description and declared parameters
-- ARGV[3] graph         zstd of JSON
-- ARGV[4] digest        of all of these
-- ARGV[5] expected      latest version, '0' = none, '' = any
-- ARGV[6] versions_kept of one workflow
-- ARGV[7] workflows_max published at a time
-- ARGV[8] files         ids that graph and default values name, joined by commas
-- ARGV[9] editor        zstd of the graph in the editor's format, or ''
-- Returns {'written', version, now_ms} | {'same', version} | {'outdated', version} | {'full'} | {'no_such_file', id}
local name, head, graph, digest, expected = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local versions_kept, workflows_max, files, editor = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]

for file in string.gmatch(files, '[^,]+') do
  if redis.call('EXISTS', file_key(file)) == 0 then
    return { 'no_such_file', file }
  end
end
local known = redis.call('HMGET', workflow_key(name), 'latest', 'digest')
-- Checked before `expected`: a repeated call finds its own version.
if known[2] == digest then
  -- For a version published by an earlier release, which did not hold files.
  hold_files(name, known[1], files)
  return { 'same', known[1] }
end
local latest = known[1] or '0'
if expected ~= '' and expected ~= latest then
  return { 'outdated', latest }
end
if not known[1] and redis.call('ZCARD', root .. 'workflows') >= workflows_max then
  return { 'full' }
end

-- Numbers continue after a deletion, so that `name@3` never names another graph.
local before = known[1] or redis.call('ZSCORE', root .. 'workflows-gone', name) or '0'
local version, now = string.format('%d', tonumber(before) + 1), now_ms()
redis.call('HSET', workflow_key(name), 'latest', version, 'digest', digest, 'head:' .. version, head,
  'graph:' .. version, graph, 'time:' .. version, now)
if editor ~= '' then
  redis.call('HSET', workflow_key(name), 'editor:' .. version, editor)
end
hold_files(name, version, files)
local old = string.format('%d', tonumber(version) - versions_kept)
release_files(name, old)
redis.call('HDEL', workflow_key(name), 'head:' .. old, 'graph:' .. old, 'time:' .. old, 'editor:' .. old)
-- All scores are 0, so that the set is ordered by name.
redis.call('ZADD', root .. 'workflows', 0, name)
redis.call('ZREM', root .. 'workflows-gone', name)
return { 'written', version, tostring(now) }

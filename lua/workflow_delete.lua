-- Deletes a published workflow with all its versions. Tasks made from it are not affected. Files that only it needed
-- may now be deleted.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] name
-- ARGV[2] gone_max deleted names whose last version is remembered
-- Returns {'deleted', last version} (by this call or before) | {'not_found'}
local name, gone_max = ARGV[1], tonumber(ARGV[2])

local latest = redis.call('HGET', workflow_key(name), 'latest')
if latest then
  for _, field in ipairs(redis.call('HKEYS', workflow_key(name))) do
    local version = string.match(field, '^files:(%d+)$')
    if version then
      release_files(name, version)
    end
  end
  redis.call('DEL', workflow_key(name))
  redis.call('ZREM', root .. 'workflows', name)
  redis.call('ZADD', root .. 'workflows-gone', latest, name)
  -- Names with the fewest versions are dropped first.
  redis.call('ZREMRANGEBYRANK', root .. 'workflows-gone', 0, -gone_max - 1)
end
latest = latest or redis.call('ZSCORE', root .. 'workflows-gone', name)
if not latest then
  return { 'not_found' }
end
return { 'deleted', latest }

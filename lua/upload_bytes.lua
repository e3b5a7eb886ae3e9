-- Returns the bytes of the uploads of a user, and of all users.
--
-- KEYS[1] root  of the namespace
-- ARGV[1] owner the user
-- Returns {'bytes', own, all}
local owner = ARGV[1]

return {
  'bytes', redis.call('HGET', root .. 'upload-bytes', owner) or '0', redis.call('HGET', root .. 'totals', 'upload') or '0',
}

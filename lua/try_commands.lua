-- Runs each command that scripts and processes use, in a way that changes nothing, and returns the errors: Redis may deny a
-- command to this user. Most of them are errors of the type of the key, after the rights were checked.
--
-- KEYS[1] root of the namespace
-- ARGV[1] installation
-- Returns {'tried', (command, error) of each that failed …}
local absent, text = root .. 'rights', root .. 'installation:' .. ARGV[1]
local tried = { 'tried' }
for _, command in ipairs({
  { 'DEL', absent }, { 'EXISTS', absent }, { 'GET', absent }, { 'PEXPIRE', absent, '1' }, { 'PTTL', absent },
  { 'SET', absent, '', 'XX' }, { 'STRLEN', absent }, { 'INFO', 'memory' }, { 'PUBLISH', absent, '' },
  { 'HDEL', absent, 'a' }, { 'HEXISTS', absent, 'a' }, { 'HGET', absent, 'a' }, { 'HGETALL', absent },
  { 'HINCRBY', text, 'a', '1' }, { 'HKEYS', absent }, { 'HLEN', absent }, { 'HMGET', absent, 'a' },
  { 'HSET', text, 'a', '1' }, { 'HSTRLEN', absent, 'a' }, { 'SADD', text, 'a' }, { 'SCARD', absent },
  { 'SISMEMBER', absent, 'a' }, { 'SMEMBERS', absent }, { 'SPOP', absent }, { 'SRANDMEMBER', absent },
  { 'SREM', absent, 'a' }, { 'SUNIONSTORE', absent, absent }, { 'ZADD', absent, 'XX', '0', 'a' }, { 'ZCARD', absent },
  { 'ZCOUNT', absent, '0', '1' }, { 'ZPOPMIN', absent }, { 'ZRANGE', absent, '0', '1' },
  { 'ZRANGEBYSCORE', absent, '0', '1' }, { 'ZRANK', absent, 'a' }, { 'ZREM', absent, 'a' },
  { 'ZREMRANGEBYRANK', absent, '0', '1' }, { 'ZREMRANGEBYSCORE', absent, '0', '1' }, { 'ZSCAN', absent, '0' },
  { 'ZSCORE', absent, 'a' }, { 'XADD', absent, 'NOMKSTREAM', '*', 'a', 'b' },
  { 'XREAD', 'STREAMS', absent, '0' }, { 'XREVRANGE', absent, '+', '-', 'COUNT', '1' },
}) do
  local reply = redis.pcall(unpack(command))
  if type(reply) == 'table' and reply.err then
    table.insert(tried, command[1])
    table.insert(tried, reply.err)
  end
end
return tried

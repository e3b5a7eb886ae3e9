-- Writes a mark. WAIT and WAITAOF cover the connection's own writes only: without a write, as after a repeated call that
-- changed nothing, Valkey and Redis from 7.2 on confirm at once.
--
-- KEYS[1] root of the namespace
-- Returns {'marked'}
redis.call('HSET', root .. 'meta', 'mark', '1')
return { 'marked' }

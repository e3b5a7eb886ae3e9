-- Returns the time of Redis.
--
-- KEYS[1] root of the namespace
-- Returns {'now', Unix ms of Redis}
return { 'now', tostring(now_ms()) }

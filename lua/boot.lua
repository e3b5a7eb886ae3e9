-- Told by every process that (re)connects: a Redis process that was not known yet has been away.
--
-- KEYS[1] root of the namespace
-- Returns {'booted'} | {'known'}
return { boot(now_ms()) and 'booted' or 'known' }

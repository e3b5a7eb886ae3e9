-- Checks that an attempt still has its claim, before its prompt is submitted.
--
-- KEYS[1] root     of the namespace
-- ARGV[1] instance
-- ARGV[2] token    of its lease
-- ARGV[3] id       of the task
-- ARGV[4] attempt
-- Returns {'done'} | {'ended', state} | {'not_this_attempt'} | {'fenced'}
local instance, token, id, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local _, refusal = own_task(instance, token, id, attempt)
return refusal or { 'done' }

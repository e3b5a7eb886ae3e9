-- Independent parts of a call: an error in one of them, as in a task whose hash is broken, does not end the script.

-- Calls a function and returns its reply; after an error `{'error', text}`.
local function independently(part, ...)
  local is_done, reply = pcall(part, ...)
  if is_done then
    return reply
  end
  local text = type(reply) == 'table' and reply.err or tostring(reply)
  -- Errors of Redis begin with a code, those of Lua with a place.
  return { 'error', string.find(text, '^%u%u+ ') and text or 'ERR ' .. text }
end

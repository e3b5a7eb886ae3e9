-- Tells which of these files nobody has registered.
--
-- KEYS[1] root of the namespace
-- ARGV[1] ids  of the files, joined by commas
-- Returns {'files', {id, …}}
local ids = ARGV[1]

local files = {}
for file in string.gmatch(ids, '[^,]+') do
  if redis.call('EXISTS', root .. 'file:' .. file) == 0 then
    files[#files + 1] = file
  end
end
return { 'files', files }

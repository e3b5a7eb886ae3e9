-- Publishes events on `{ns}:events` (src/event.rs): JSON concatenated from parts that are JSON already.

-- `change` is the inside of an object: '"kind":"pending"'.
local function publish_task(task, version, change)
  local where = ''
  if task.instance and task.instance ~= '' then
    where = ',"instance":' .. cjson.encode(task.instance)
  end
  if task.revived then
    where = where .. ',"revived":' .. task.revived
  end
  redis.call('PUBLISH', root .. 'events', '{"task":{"id":"' .. task.id .. '","owner":' .. cjson.encode(task.owner)
    .. ',"version":' .. version .. ',"attempt":' .. task.attempt .. where .. ',"change":{' .. change .. '}}}')
end

-- Publishes the present status of an instance.
local function publish_instance(instance, now)
  local known = redis.call('HMGET', instance_key(instance), 'token', 'expires', 'report')
  local leased = known[1] and known[1] ~= '' and tonumber(known[2]) > now
  local tasks = redis.call('HKEYS', in_flight_key(instance))
  local enabled = redis.call('SISMEMBER', root .. 'disabled', instance) == 0
  redis.call('PUBLISH', root .. 'events', '{"instance":{"id":' .. cjson.encode(instance)
    .. ',"enabled":' .. tostring(enabled) .. ',"leased":' .. tostring(leased and true or false)
    .. ',"tasks":[' .. (#tasks > 0 and '"' .. table.concat(tasks, '","') .. '"' or '')
    .. '],"report":' .. (known[3] or '{}') .. '}}')
end

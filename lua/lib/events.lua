-- Publishes events (src/event.rs): JSON concatenated from parts that are JSON already. `{ns}:events` has all of them,
-- for the apis; `{ns}:control` those on which dispatchers act, so that progress is not sent to them.

-- `change` is the inside of an object: '"kind":"pending"'.
local function publish_task(task, version, change, is_control)
  local where = ''
  if task.instance and task.instance ~= '' then
    where = ',"instance":' .. cjson.encode(task.instance)
  end
  if task.revived then
    where = where .. ',"revived":' .. task.revived
  end
  local event = '{"task":{"id":"' .. task.id .. '","owner":' .. cjson.encode(task.owner)
    .. ',"version":' .. version .. ',"attempt":' .. task.attempt .. where .. ',"change":{' .. change .. '}}}'
  redis.call('PUBLISH', root .. 'events', event)
  if is_control then
    redis.call('PUBLISH', root .. 'control', event)
  end
end

-- Publishes the present status of an instance.
local function publish_instance(instance, now, is_control)
  local known = redis.call('HMGET', instance_key(instance), 'token', 'expires', 'report', 'quarantine')
  local leased = known[1] and known[1] ~= '' and tonumber(known[2]) > now
  local tasks = redis.call('HKEYS', in_flight_key(instance))
  local enabled = redis.call('SISMEMBER', root .. 'disabled', instance) == 0
  local event = '{"instance":{"id":' .. cjson.encode(instance)
    .. ',"enabled":' .. tostring(enabled) .. ',"leased":' .. tostring(leased and true or false)
    .. ',"tasks":[' .. (#tasks > 0 and '"' .. table.concat(tasks, '","') .. '"' or '')
    .. '],"report":' .. (known[3] or '{}') .. ',"quarantine":' .. (known[4] or 'null') .. '}}'
  redis.call('PUBLISH', root .. 'events', event)
  if is_control then
    redis.call('PUBLISH', root .. 'control', event)
  end
end

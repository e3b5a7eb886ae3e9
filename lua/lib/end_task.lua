-- Ends attempts, slots and tasks. The only place where a task becomes terminal.

local ATTEMPTS_KEPT = 20
-- Maximum length of a failure's message in the history, bytes.
local BRIEF_BYTES_MAX = 300

-- Frees the slot of a task on an instance. Returns true if there was one.
local function free_slot(instance, id)
  redis.call('SREM', cancelled_key(instance), id)
  return redis.call('HDEL', in_flight_key(instance), id) == 1
end

-- Frees the slot of an ended task after its instance confirmed that the prompt is gone.
local function release_ended(task, instance, now)
  redis.call('HDEL', task_key(task.id), 'cancel_pending')
  if free_slot(instance, task.id) then
    publish_instance(instance, now)
  end
end

-- Returns `,"error":{…}` for the history: type and message of the failure, cut between characters; '' without a failure.
local function error_summary(failure)
  if not failure or failure == '' then
    return ''
  end
  local whole = cjson.decode(failure)
  local message = whole.message
  if #message > BRIEF_BYTES_MAX then
    local last = BRIEF_BYTES_MAX
    -- The bytes 0x80 to 0xBF continue a character (UTF-8).
    while last > 0 and math.floor(string.byte(message, last + 1) / 64) == 2 do
      last = last - 1
    end
    message = string.sub(message, 1, last)
  end
  return ',"error":{"type":' .. cjson.encode(whole.type) .. ',"message":' .. cjson.encode(message) .. '}'
end

-- Returns the history with the current attempt added, one JSON object a line. Drops the oldest beyond the limit.
local function history_with(task, outcome, failure, now)
  local lines = {}
  for line in string.gmatch(task.attempts or '', '[^\n]+') do
    lines[#lines + 1] = line
  end
  lines[#lines + 1] = '{"attempt":' .. task.attempt .. ',"instanceId":' .. cjson.encode(task.instance)
    .. ',"startedMs":' .. (task.claimed or now) .. ',"endedMs":' .. now .. ',"outcome":"' .. outcome .. '"' .. error_summary(failure) .. '}'
  local first = math.max(1, #lines - ATTEMPTS_KEPT + 1)
  return table.concat(lines, '\n', first)
end

-- Makes a task terminal. `outcome` is the word of its attempt, `change` the inside of its event, `extra` more fields,
-- including its failure. Leaves its slot to the caller.
local function end_task(task, state, outcome, change, extra, keep_ms, now)
  local at, version = tostring(now), task.version + 1
  local fields = { 'state', state, 'finished', at, 'updated', at, 'endings', 1, 'version', version,
    'expires', string.format('%.0f', now + keep_ms), unpack(extra) }
  if task.state == 'claimed' or task.state == 'running' then
    local failure
    for i = 1, #extra, 2 do
      failure = extra[i] == 'failure' and extra[i + 1] or failure
    end
    fields[#fields + 1], fields[#fields + 2] = 'attempts', history_with(task, outcome, failure, at)
  elseif task.state == 'waiting' then
    leave_lane(task.id, task.lane)
  else
    redis.call('ZREM', root .. 'delayed', task.id)
    redis.call('HDEL', task_key(task.id), 'retry_at')
  end
  if task.start_by and not task.begun then
    redis.call('ZREM', root .. 'start-by', task.id)
  end
  if task.only then
    redis.call('ZREM', root .. 'narrowed', task.id)
  end
  move_index(task, STATUS[task.state], state)
  if task.held then
    release_payload(task.id, task.owner)
  end
  if task.keys then
    -- A key lives no longer than its task. A retry needs it anew, see revive.lua.
    redis.call('HDEL', task_key(task.id), 'keys')
    fields[#fields + 1], fields[#fields + 2] = 'keys_gone', '1'
  end
  redis.call('ZADD', root .. 'expiry', now + keep_ms, task.id)
  each_file(task, function(file) redis.call('SREM', root .. 'uses:' .. file, task.id) end)
  if state == 'failed' then
    fields[#fields + 1], fields[#fields + 2] = 'error_type', outcome
    redis.call('ZADD', errors_key(outcome), task.created, task.id)
  end
  redis.call('HSET', task_key(task.id), unpack(fields))
  -- An instance that has the task learns of its cancel at once.
  publish_task(task, version, change, state == 'cancelled' and #extra > 0)
end

-- Cancels a task. An instance that has it is notified, and keeps the slot until it has stopped.
local function cancel_task(task, keep_ms, now)
  local extra = {}
  if task.state == 'claimed' or task.state == 'running' then
    redis.call('SADD', cancelled_key(task.instance), task.id)
    extra = { 'cancel_pending', '1' }
  end
  end_task(task, 'cancelled', 'cancelled', '"kind":"cancelled"', extra, keep_ms, now)
end

-- The indexes of tasks: lanes with their fair order, the indexes of lists, the files of a task.

-- The lane's virtual time: the tag served last; its first tag if that was lost; 0 in an empty lane.
local function virtual_time(lane, served)
  if served then
    return tonumber(served)
  end
  local head = redis.call('ZRANGE', wait_key(lane), 0, 0, 'WITHSCORES')
  return tonumber(head[2] or '0')
end

-- Start-time fair queueing: an owner's next task starts where its last one ends, never before the virtual time. Returns
-- the tag, and whether the owner already had tasks in this lane.
local function first_tag(lane, owner)
  local fair = redis.call('HMGET', fair_key(lane), 'served', 'owner:' .. owner)
  return math.max(virtual_time(lane, fair[1]), tonumber(fair[2] or '0')), fair[2]
end

local function next_tag(lane, owner)
  local tag = first_tag(lane, owner)
  redis.call('HSET', fair_key(lane), 'owner:' .. owner, string.format('%.17g', tag + 1))
  return string.format('%.17g', tag)
end

-- Returns the tag of a task that returns to its place. The lane may have been emptied since, which reset its virtual time.
local function returning_tag(task)
  local served = virtual_time(task.lane, redis.call('HGET', fair_key(task.lane), 'served'))
  local tag = tonumber(task.tag or '0')
  return string.format('%.17g', math.min(tag, served))
end

-- Wakes the dispatchers: `count` tasks wait now. The stream keeps the last wake-ups only.
local function announce_work(count)
  redis.call('XADD', root .. 'jobs', 'MAXLEN', '~', 1000, '*', 'added', count)
end

local function enter_lane(id, lane, tag)
  redis.call('ZADD', wait_key(lane), tag, id)
  announce_work(1)
end

local function leave_lane(id, lane)
  redis.call('ZREM', wait_key(lane), id)
  if redis.call('EXISTS', wait_key(lane)) == 0 then
    redis.call('DEL', fair_key(lane))
  end
end

local function add_index(task, status)
  redis.call('ZADD', index_key(status), task.created, task.id)
  if not task.unlisted then
    redis.call('ZADD', owner_index_key(status, task.owner), task.created, task.id)
  end
  if task.flow then
    redis.call('ZADD', workflow_index_key(status, task.flow), task.created, task.id)
  end
end

local function drop_index(task, status)
  redis.call('ZREM', index_key(status), task.id)
  if not task.unlisted then
    redis.call('ZREM', owner_index_key(status, task.owner), task.id)
  end
  if task.flow then
    redis.call('ZREM', workflow_index_key(status, task.flow), task.id)
  end
end

local function move_index(task, from, to)
  if from ~= to then
    drop_index(task, from)
    add_index(task, to)
  end
end

local function drop_error_index(task)
  if task.error_type then
    redis.call('ZREM', errors_key(task.error_type), task.id)
  end
end

-- Payloads up to this size (compressed) do not count towards the quotas of bytes: the number of tasks limits them.
local PAYLOAD_COUNTED_BYTES = 16384

-- Returns the bytes of a payload that count.
local function counted_bytes(bytes) return bytes > PAYLOAD_COUNTED_BYTES and bytes or 0 end

-- Returns the quota that more bytes would exceed: 'user' or 'all'; nil if none. A maximum of 0 is no limit.
local function exceeded_quota(owner, bytes, own_max, all_max)
  if bytes == 0 then
    return nil
  end
  local used = redis.call('HMGET', root .. 'payload-bytes', 'owner:' .. owner, 'all')
  if own_max > 0 and tonumber(used[1] or '0') + bytes > own_max then
    return 'user'
  end
  return all_max > 0 and tonumber(used[2] or '0') + bytes > all_max and 'all' or nil
end

-- `owner` is nil if it is not known.
local function add_payload_bytes(owner, bytes)
  for _, field in ipairs({ 'all', owner and 'owner:' .. owner }) do
    if redis.call('HINCRBY', root .. 'payload-bytes', field, bytes) <= 0 then
      redis.call('HDEL', root .. 'payload-bytes', field)
    end
  end
end

-- Counts a large payload of a task that waits from now on. The field `held` of its hash says so.
local function count_payload(id, owner, bytes)
  redis.call('HSET', root .. 'payload-bytes', 'task:' .. id, bytes, 'owner-of:' .. id, owner)
  add_payload_bytes(owner, bytes)
end

-- Takes back what count_payload counted. The owner is nil if the hash of the task is lost.
local function release_payload(id, owner)
  local held = redis.call('HMGET', root .. 'payload-bytes', 'task:' .. id, 'owner-of:' .. id)
  if held[1] then
    redis.call('HDEL', root .. 'payload-bytes', 'task:' .. id, 'owner-of:' .. id)
    -- Earlier releases did not store the owner.
    add_payload_bytes(owner or held[2] or nil, '-' .. held[1])
  end
end

local function each_file(task, visit)
  for file in string.gmatch(task.files or '', '[^,]+') do
    visit(file)
  end
end

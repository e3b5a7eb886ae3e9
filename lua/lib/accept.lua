-- Accepting tasks: reading their arguments, checking their files, writing their hashes and indexes. What several tasks
-- of a call share is read once, and each index is written once, by `write_accepted`.

-- Reads the task whose arguments begin at `first`:
--   id            of the task
--   owner         any text
--   lane          0, 1 or 2
--   max_attempts  1–10
--   fingerprint   of the request
--   start_by      Unix ms, or ''
--   facts         JSON, for display
--   payload       zstd of JSON
--   files         ids the task needs, joined by commas
--   only          instances that meet its requirements, each between commas: ',a,b,'; '' = all
--   workflow_hash of its graph, or ''
--   workflow      name of the published workflow that it was made from, or ''
--   unlisted      1 = not in the lists of its owner, who may list all tasks; or ''
--   keys          keys for API nodes, encrypted, or ''
local function read_arguments(first)
  local id, owner, lane, max_attempts, fingerprint, start_by, facts, payload, files, only, workflow_hash, workflow,
    unlisted, keys = unpack(ARGV, first, first + 13)
  return {
    id = id, owner = owner, lane = lane, max_attempts = max_attempts, fingerprint = fingerprint, start_by = start_by,
    facts = facts, payload = payload, files = files, only = only, workflow_hash = workflow_hash,
    flow = workflow ~= '' and workflow or nil, unlisted = unlisted ~= '' and unlisted or nil, attempt = '0',
    keys = keys,
  }
end

local function missing_file(task)
  local missing = nil
  each_file(task, function(file)
    if not missing and redis.call('EXISTS', root .. 'file:' .. file) == 0 then
      missing = file
    end
  end)
  return missing
end

-- The tasks to be written by this call.
local accepted = {}
-- Sorted set → score, member, … to be added; and the sorted sets in the order in which they are written.
local entries, indexes = {}, {}
-- Lane → owner → tag of the owner's next task.
local tags = {}
-- Owners who had no task in a lane; some may be known from other lanes.
local new_owners = {}

local function add_entry(key, score, member)
  local list = entries[key]
  if not list then
    list, indexes[#indexes + 1] = {}, key
    entries[key] = list
  end
  list[#list + 1], list[#list + 2] = score, member
end

local function take_tag(lane, owner)
  local owners = tags[lane] or {}
  tags[lane] = owners
  if not owners[owner] then
    local tag, is_known_owner = first_tag(lane, owner)
    owners[owner] = tag
    if not is_known_owner then
      new_owners[#new_owners + 1] = owner
    end
  end
  local tag = owners[owner]
  owners[owner] = tag + 1
  return string.format('%.17g', tag)
end

-- Takes a task that passed all checks; `write_accepted` writes it. `now` is text: Redis would format a Lua number again
-- at each use.
local function accept(task, now)
  local id, owner, lane = task.id, task.owner, task.lane
  local tag = take_tag(lane, owner)
  task.fields = {
    'state', 'waiting', 'owner', owner, 'lane', lane, 'fingerprint', task.fingerprint, 'created', now, 'updated', now,
    'queued', now, 'attempt', '0', 'max_attempts', task.max_attempts, 'version', '1', 'tag', tag, 'facts', task.facts,
  }
  task.held = counted_bytes(#task.payload) > 0 and '1' or nil
  local fields = task.fields
  for _, name in ipairs({ 'files', 'only', 'workflow_hash', 'start_by', 'flow', 'batch', 'unlisted', 'keys', 'held' }) do
    if task[name] and task[name] ~= '' then
      fields[#fields + 1], fields[#fields + 2] = name, task[name]
    end
  end
  accepted[#accepted + 1] = task
  -- First, because the sweep walks it.
  add_entry(index_key('pending'), now, id)
  add_entry(wait_key(lane), tag, id)
  if not task.unlisted then
    add_entry(owner_index_key('pending', owner), now, id)
  end
  if task.only ~= '' then
    add_entry(root .. 'narrowed', now, id)
  end
  if task.start_by ~= '' then
    add_entry(root .. 'start-by', task.start_by, id)
  end
  if task.flow then
    add_entry(workflow_index_key('pending', task.flow), now, id)
  end
  if task.batch then
    add_entry(batch_key(id), now, id)
  end
end

-- Owners and workflows first: the sweep finds their indexes by these sets.
local function write_indexes()
  for _, owner in ipairs(new_owners) do
    redis.call('SADD', root .. 'owners', owner)
  end
  for _, task in ipairs(accepted) do
    if task.flow then
      redis.call('SADD', root .. 'flows', task.flow)
    end
  end
  for _, key in ipairs(indexes) do
    local list = entries[key]
    -- Lua can unpack some thousands of values at most.
    for first = 1, #list, 1000 do
      redis.call('ZADD', key, unpack(list, first, math.min(first + 999, #list)))
    end
  end
  for lane, owners in pairs(tags) do
    for owner, tag in pairs(owners) do
      redis.call('HSET', fair_key(lane), 'owner:' .. owner, string.format('%.17g', tag))
    end
  end
end

local function write_hashes()
  for _, task in ipairs(accepted) do
    redis.call('SET', payload_key(task.id), task.payload)
  end
  for _, task in ipairs(accepted) do
    redis.call('HSET', task_key(task.id), unpack(task.fields))
  end
end

local function write_uses()
  for _, task in ipairs(accepted) do
    each_file(task, function(file) redis.call('SADD', root .. 'uses:' .. file, task.id) end)
    if task.held then
      count_payload(task.id, task.owner, #task.payload)
    end
  end
end

-- An error ends a script but undoes nothing: the right to a command may be missing, or a key have another type. A hash
-- proves that its task was accepted, and the sweep finds tasks by their indexes: so indexes are written before hashes.
-- Entries without a hash are removed by the sweep, and the uses of files are derived from hashes again.
local function write_accepted()
  if #accepted == 0 then
    return
  end
  write_indexes()
  write_hashes()
  write_uses()
  announce_work(#accepted)
  for _, task in ipairs(accepted) do
    publish_task(task, 1, '"kind":"pending"')
  end
end

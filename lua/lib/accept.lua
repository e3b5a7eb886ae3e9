-- Accepting tasks: reading their arguments, checking their files, writing their hashes and indexes. What several tasks
-- of a call share is read once, and each index is written once, by `write_indexes`.

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

-- Number of tasks created by this call.
local created_count = 0
-- Sorted set → score, member, … to be added.
local entries = {}
-- Lane → owner → tag of the owner's next task.
local tags = {}

local function add_entry(key, score, member)
  local list = entries[key] or {}
  entries[key] = list
  list[#list + 1], list[#list + 2] = score, member
end

local function take_tag(lane, owner)
  local owners = tags[lane] or {}
  tags[lane] = owners
  if not owners[owner] then
    local tag, is_known_owner = first_tag(lane, owner)
    owners[owner] = tag
    if not is_known_owner then
      redis.call('SADD', root .. 'owners', owner)
    end
  end
  local tag = owners[owner]
  owners[owner] = tag + 1
  return string.format('%.17g', tag)
end

-- Writes a task that passed all checks; `write_indexes` completes it. `now` is text: Redis would format a Lua number
-- again at each use.
local function create(task, now)
  local id, owner, lane = task.id, task.owner, task.lane
  local tag = take_tag(lane, owner)
  local fields = {
    'state', 'waiting', 'owner', owner, 'lane', lane, 'fingerprint', task.fingerprint, 'created', now, 'updated', now,
    'queued', now, 'attempt', '0', 'max_attempts', task.max_attempts, 'version', '1', 'tag', tag, 'facts', task.facts,
  }
  for _, name in ipairs({ 'files', 'only', 'workflow_hash', 'start_by', 'flow', 'batch', 'unlisted', 'keys' }) do
    if task[name] and task[name] ~= '' then
      fields[#fields + 1], fields[#fields + 2] = name, task[name]
    end
  end
  redis.call('SET', payload_key(id), task.payload)
  hold_payload(id, owner, #task.payload)
  redis.call('HSET', task_key(id), unpack(fields))
  created_count = created_count + 1
  add_entry(wait_key(lane), tag, id)
  add_entry(index_key('pending'), now, id)
  if not task.unlisted then
    add_entry(owner_index_key('pending', owner), now, id)
  end
  each_file(task, function(file) redis.call('SADD', root .. 'uses:' .. file, id) end)
  if task.only ~= '' then
    add_entry(root .. 'narrowed', now, id)
  end
  if task.start_by ~= '' then
    add_entry(root .. 'start-by', task.start_by, id)
  end
  if task.flow then
    add_entry(workflow_index_key('pending', task.flow), now, id)
    redis.call('SADD', root .. 'flows', task.flow)
  end
  if task.batch then
    add_entry(batch_key(id), now, id)
  end
  publish_task(task, 1, '"kind":"pending"')
end

local function write_indexes()
  for lane, owners in pairs(tags) do
    for owner, tag in pairs(owners) do
      redis.call('HSET', fair_key(lane), 'owner:' .. owner, string.format('%.17g', tag))
    end
  end
  for key, list in pairs(entries) do
    -- Lua can unpack some thousands of values at most.
    for first = 1, #list, 1000 do
      redis.call('ZADD', key, unpack(list, first, math.min(first + 999, #list)))
    end
  end
  if created_count > 0 then
    announce_work(created_count)
  end
end

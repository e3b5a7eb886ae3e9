-- Prelude of every script: the clock, the names of keys, the fence of a lease, the read of a task.
-- KEYS[1] is the namespace's root `{ns}:`. Every other key begins with it, so all keys are in one slot.
local root = KEYS[1]

-- Unix ms of Redis: the only clock, so that clocks of different processes are never compared.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function task_key(id) return root .. 'task:' .. id end
local function payload_key(id) return root .. 'payload:' .. id end
local function instance_key(instance) return root .. 'instance:' .. instance end
local function in_flight_key(instance) return root .. 'in-flight:' .. instance end
local function cancelled_key(instance) return root .. 'cancelled:' .. instance end
-- `default` is the only capability class; lanes are numbered 0 (most urgent) to 2.
local function wait_key(lane) return root .. 'wait:default:' .. lane end
local function fair_key(lane) return root .. 'fair:default:' .. lane end
local function index_key(status) return root .. 'index:' .. status end
-- Failed tasks by the type of their error.
local function errors_key(error_type) return root .. 'errors:' .. error_type end
local function owner_index_key(status, owner) return root .. 'index:' .. status .. ':' .. owner end
-- Tasks made from the published workflow of this name.
local function workflow_index_key(status, workflow) return root .. 'flow:' .. status .. ':' .. workflow end
-- The tasks of a batch: their ids differ in the last four characters only; the rest names the batch.
local function batch_key(id) return root .. 'batch:' .. string.sub(id, 1, 32) end
-- A published workflow: `latest`, and for each version kept `head:<version>`, `graph:<version>`, `time:<version>`, and
-- `files:<version>` if it names files, `editor:<version>` if it was published in the editor's format.
local function workflow_key(name) return root .. 'workflow:' .. name end

local STATUS = {
  delayed = 'pending', waiting = 'pending', claimed = 'pending', running = 'running',
  completed = 'completed', failed = 'failed', cancelled = 'cancelled',
}
local TERMINAL = { completed = true, failed = true, cancelled = true }

-- Whether the token is not the instance's current one: a paused owner that resumes must not change anything.
local function is_fenced(instance, token)
  return redis.call('HGET', instance_key(instance), 'token') ~= token
end

-- Returns the task as a table of texts (absent fields are nil), or nil if there is no such task. Reads `fields`, or all.
local function read_task(id, fields)
  fields = fields or {
    'state', 'owner', 'lane', 'created', 'attempt', 'instance', 'version', 'tag', 'claimed', 'started', 'finished', 'retry_at',
    'start_by', 'max_attempts', 'uncounted', 'lost', 'files', 'excluded', 'attempts', 'last_end', 'settled_by', 'queued', 'begun',
    'only', 'revived', 'error_type', 'workflow_hash', 'flow', 'batch', 'unlisted', 'held', 'faults', 'faulted',
    'faulted_at', 'excused', 'doubt', 'keys',
  }
  local values = redis.call('HMGET', task_key(id), unpack(fields))
  if not values[1] then
    return nil
  end
  local task = { id = id }
  for i, name in ipairs(fields) do
    task[name] = values[i] or nil
  end
  return task
end

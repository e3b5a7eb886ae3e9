//! Audit of a namespace: every index must agree with the task hashes. These are the invariants that must hold between
//! any two calls (shared page queue.md §4: I2, I5, I6, I7, I15, I18).

use super::{
    raw::{RawRedis, Reply},
    world::World,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const STATUSES: [&str; 5] = ["pending", "running", "completed", "failed", "cancelled"];

const DUMP: &str = r"
local root, dump = ARGV[1], {}
local read = {
  hash = function(key) return redis.call('HGETALL', key) end,
  zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
  -- Sorted: the order of a set may change by itself.
  set = function(key)
    local members = redis.call('SMEMBERS', key)
    table.sort(members)
    return members
  end,
  string = function(key) return { redis.call('GET', key) } end,
  -- Wake-ups: no state.
  stream = function() return {} end,
}
for _, key in ipairs(redis.call('KEYS', root .. '*')) do
  dump[#dump + 1] = { string.sub(key, #root + 1), read[redis.call('TYPE', key).ok](key) }
end
return dump";

type Map = BTreeMap<String, String>;

/// All keys of a namespace at one instant.
pub struct Dump {
    keys: HashMap<String, Reply>,
}

/// Dumps a namespace.
pub fn dump(world: &World) -> Dump {
    Dump::new(&world.redis(&["EVAL", DUMP, "0", &world.key("")]))
}

impl PartialEq for Dump {
    /// Compares without the order of members, which is undefined in hashes and sets.
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
            && self.names().iter().all(|key| self.map(key) == other.map(key) && self.set(key) == other.set(key))
    }
}

impl Dump {
    fn new(rows: &Reply) -> Self {
        Self { keys: rows.list().iter().map(|row| (row.list()[0].text(), row.list()[1].clone())).collect() }
    }

    /// Dumps a namespace that is not a [`World`]'s; `root` is `{<namespace>}:`.
    pub fn read(redis: &mut RawRedis, root: &str) -> Self {
        Self::new(&redis.run(&["EVAL", DUMP, "0", root]))
    }

    pub fn map(&self, key: &str) -> Map {
        self.keys.get(key).map(|answer| answer.pairs().into_iter().collect()).unwrap_or_default()
    }

    fn set(&self, key: &str) -> BTreeSet<String> {
        self.keys.get(key).map(|answer| answer.texts().into_iter().collect()).unwrap_or_default()
    }

    fn texts(&self, key: &str) -> Vec<String> {
        self.keys.get(key).map(Reply::texts).unwrap_or_default()
    }

    fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.keys.keys().filter_map(move |key| Some((key.as_str(), key.strip_prefix(prefix)?)))
    }

    /// Returns the tasks by id, each as its fields.
    pub fn tasks(&self) -> BTreeMap<String, Map> {
        self.with_prefix("task:").map(|(key, id)| (id.to_owned(), self.map(key))).collect()
    }

    /// Returns the slots by instance.
    pub fn slots(&self) -> BTreeMap<String, Map> {
        self.with_prefix("in-flight:").map(|(key, instance)| (instance.to_owned(), self.map(key))).collect()
    }

    /// Returns all key names without the root.
    pub fn names(&self) -> BTreeSet<String> {
        self.keys.keys().cloned().collect()
    }
}

/// Result of a check; `Err` describes the first violation.
pub type Finding = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => { if !$condition { return Err(format!($($message)*)) } };
}

/// Runs all checks. `slots_max` is the number of slots that claims were allowed.
pub fn audit(world: &World, slots_max: usize) -> Finding {
    audit_dump(&dump(world), slots_max)
}

/// Runs all checks on a dump.
pub fn audit_dump(dump: &Dump, slots_max: usize) -> Finding {
    let tasks = dump.tasks();
    let indexes = Indexes::new(dump);
    for (id, task) in &tasks {
        indexes.check(id, task).map_err(|violation| format!("task {id} {}: {violation} {task:?}", task["state"]))?;
    }
    indexes.check_totals(&tasks)?;
    check_slots(dump, &tasks, slots_max)?;
    check_objects(dump)?;
    for (key, lane) in dump.with_prefix("fair:default:") {
        ensure!(!dump.map(&format!("wait:default:{lane}")).is_empty(), "{key} exists without its lane");
    }
    Ok(())
}

struct Indexes {
    lanes: Vec<Map>,
    delayed: Map,
    start_by: Map,
    expiry: Map,
    indexes: HashMap<String, Map>,
    slots: BTreeMap<String, Map>,
    cancelled: HashMap<String, BTreeSet<String>>,
    uses: HashMap<String, BTreeSet<String>>,
    /// Files that published workflows need.
    held: BTreeSet<String>,
    payloads: BTreeSet<String>,
    /// Outputs of tasks.
    made: HashMap<String, BTreeSet<String>>,
    errors: HashMap<String, Map>,
    flows: HashMap<String, Map>,
    batches: HashMap<String, Map>,
    narrowed: Map,
}

impl Indexes {
    /// Whether a task has an output that no other task needs.
    fn has_unused_output(&self, id: &str) -> bool {
        self.made
            .get(id)
            .is_some_and(|files| files.iter().any(|file| !self.uses.contains_key(file) && !self.held.contains(file)))
    }

    fn new(dump: &Dump) -> Self {
        let owned = |(_, name): (&str, &str)| name.to_owned();
        Self {
            lanes: (0..3).map(|lane| dump.map(&format!("wait:default:{lane}"))).collect(),
            delayed: dump.map("delayed"),
            start_by: dump.map("start-by"),
            expiry: dump.map("expiry"),
            indexes: dump.with_prefix("index:").map(|(key, name)| (name.to_owned(), dump.map(key))).collect(),
            slots: dump.slots(),
            cancelled: dump.with_prefix("cancelled:").map(|(key, name)| (name.to_owned(), dump.set(key))).collect(),
            uses: dump.with_prefix("uses:").map(|(key, name)| (name.to_owned(), dump.set(key))).collect(),
            held: dump.with_prefix("held:").map(owned).collect(),
            payloads: dump.with_prefix("payload:").map(owned).collect(),
            narrowed: dump.map("narrowed"),
            made: dump.with_prefix("made:").map(|(key, name)| (name.to_owned(), dump.set(key))).collect(),
            errors: dump.with_prefix("errors:").map(|(key, name)| (name.to_owned(), dump.map(key))).collect(),
            flows: dump.with_prefix("flow:").map(|(key, name)| (name.to_owned(), dump.map(key))).collect(),
            batches: dump.with_prefix("batch:").map(|(key, name)| (name.to_owned(), dump.map(key))).collect(),
        }
    }

    fn is_indexed(&self, index: &str, id: &str, created: &str) -> bool {
        self.indexes.get(index).and_then(|ids| ids.get(id)).is_some_and(|score| score == created)
    }

    fn check(&self, id: &str, task: &Map) -> Finding {
        let field = |name: &str| task.get(name).map_or("", String::as_str);
        let state = field("state");
        let (status, is_terminal) = match state {
            "waiting" | "delayed" | "claimed" => ("pending", false),
            "running" => ("running", false),
            _ => (state, true),
        };
        for index in STATUSES {
            let owned = format!("{index}:{}", field("owner"));
            ensure!(self.is_indexed(index, id, field("created")) == (index == status), "index {index}");
            let is_listed = index == status && field("unlisted").is_empty();
            ensure!(self.is_indexed(&owned, id, field("created")) == is_listed, "index {owned}");
        }
        for (name, ids) in &self.flows {
            let is_here = *name == format!("{status}:{}", field("flow"));
            ensure!(ids.get(id).map(String::as_str) == is_here.then(|| field("created")), "flow:{name}");
        }
        ensure!(
            field("flow").is_empty() || self.flows.contains_key(&format!("{status}:{}", field("flow"))),
            "no flow index"
        );
        let batch = self.batches.get(&id[..32.min(id.len())]).and_then(|ids| ids.get(id)).map(String::as_str);
        ensure!(batch == (field("batch") == "1").then(|| field("created")), "batch");
        for (number, lane) in self.lanes.iter().enumerate() {
            let is_here = state == "waiting" && field("lane") == number.to_string();
            ensure!(lane.get(id).map(String::as_str) == is_here.then(|| field("tag")), "lane {number}");
        }
        let due = (state == "delayed").then(|| field("retry_at"));
        ensure!(self.delayed.get(id).map(String::as_str) == due, "delayed");
        self.check_slot(id, task, state)?;
        ensure!(field("error_type").is_empty() == (state != "failed"), "error_type {}", field("error_type"));
        for (error_type, ids) in &self.errors {
            let is_here = error_type == field("error_type");
            ensure!(ids.get(id).map(String::as_str) == is_here.then(|| field("created")), "errors:{error_type}");
        }
        ensure!(field("error_type").is_empty() || self.errors.contains_key(field("error_type")), "no errors index");
        let may_have_outputs = !matches!(state, "waiting" | "delayed" | "claimed");
        ensure!(may_have_outputs || field("outputs").is_empty() && field("outputs_told").is_empty(), "outputs");
        ensure!(may_have_outputs || state == "claimed" || !self.has_unused_output(id), "made");
        ensure!(self.payloads.contains(id), "no payload");
        ensure!(self.expiry.contains_key(id) == is_terminal, "expiry");
        ensure!(field("endings") == if is_terminal { "1" } else { "" }, "endings {}", field("endings"));
        let may_expire = status == "pending" && field("begun").is_empty() && !field("start_by").is_empty();
        ensure!(self.start_by.contains_key(id) == may_expire, "start-by");
        ensure!(self.narrowed.contains_key(id) == (!is_terminal && !field("only").is_empty()), "narrowed");
        for file in field("files").split(',').filter(|file| !file.is_empty()) {
            let is_used = self.uses.get(file).is_some_and(|tasks| tasks.contains(id));
            ensure!(is_used != is_terminal, "uses of {file}");
        }
        let holds_slot = self.slots.get(field("instance")).is_some_and(|slots| slots.contains_key(id));
        let is_marked = self.cancelled.get(field("instance")).is_some_and(|ids| ids.contains(id));
        ensure!(is_marked == (is_terminal && holds_slot), "cancelled mark");
        ensure!(field("cancel_pending").is_empty() || (holds_slot && state == "cancelled"), "cancel_pending");
        ensure!(holds_slot || state != "cancelled" || field("cancel_pending").is_empty(), "cancel never confirmed");
        Ok(())
    }

    fn check_slot(&self, id: &str, task: &Map, state: &str) -> Finding {
        let owners: Vec<(&str, &str)> = self
            .slots
            .iter()
            .filter_map(|(instance, slots)| Some((instance.as_str(), slots.get(id)?.as_str())))
            .collect();
        match state {
            "waiting" | "delayed" => ensure!(owners.is_empty(), "slots {owners:?}"),
            "claimed" | "running" => {
                ensure!(owners == [(task["instance"].as_str(), task["attempt"].as_str())], "slots {owners:?}");
            }
            _ => {}
        }
        Ok(())
    }

    fn check_totals(&self, tasks: &BTreeMap<String, Map>) -> Finding {
        let maps = self.lanes.iter().chain([&self.delayed, &self.start_by, &self.expiry]).chain(self.indexes.values());
        let maps = maps.chain(self.errors.values()).chain(self.flows.values()).chain(self.batches.values());
        let maps = maps.chain([&self.narrowed]);
        for id in maps.flat_map(Map::keys).chain(self.uses.values().flatten()).chain(&self.payloads) {
            ensure!(tasks.contains_key(id), "{id} is indexed but is not a task");
        }
        Ok(())
    }
}

fn check_slots(dump: &Dump, tasks: &BTreeMap<String, Map>, slots_max: usize) -> Finding {
    for (instance, slots) in dump.slots() {
        ensure!(slots.len() <= slots_max, "{instance} has {} tasks in flight", slots.len());
        for id in slots.keys() {
            let Some(task) = tasks.get(id) else { return Err(format!("{instance} holds {id}, which is gone")) };
            ensure!(task.get("instance") == Some(&instance), "{instance} holds {id} of {:?}", task.get("instance"));
        }
    }
    for (key, instance) in dump.with_prefix("cancelled:") {
        let slots = dump.slots().remove(instance).unwrap_or_default();
        for id in dump.set(key) {
            ensure!(slots.contains_key(&id), "{key} names {id}, which is not in flight");
        }
    }
    Ok(())
}

/// Checks that every object is counted by the files that need it and found by its content, and that the totals are
/// right.
fn check_objects(dump: &Dump) -> Finding {
    let mut totals = BTreeMap::<&str, u64>::new();
    let mut needed = BTreeMap::<String, u64>::new();
    for (key, id) in dump.with_prefix("file:") {
        let file = dump.map(key);
        // Written by a version without objects.
        let Some(object) = file.get("object") else { continue };
        *totals.entry(if file["kind"] == "upload" { "upload" } else { "output" }).or_default() += number(&file["size"]);
        *needed.entry(object.clone()).or_default() += 1;
        ensure!(dump.map(&format!("files:{}", file["kind"])).contains_key(id), "file {id} is not listed");
    }
    for (key, id) in dump.with_prefix("object:") {
        let object = dump.map(key);
        ensure!(needed.remove(id) == object.get("files").map(|files| number(files)), "{key} {object:?}");
        let content = format!("content:{}", object["sha256"]);
        ensure!(dump.texts(&content) == [id], "{content} does not name {id}");
        *totals.entry("objects").or_default() += 1;
        *totals.entry("stored").or_default() += number(&object["size"]);
    }
    ensure!(needed.is_empty(), "files refer to unknown objects: {needed:?}");
    ensure!(dump.with_prefix("content:").count() as u64 == totals.get("objects").copied().unwrap_or(0), "contents");
    let totals_hash = dump.map("totals");
    for total in ["upload", "output", "objects", "stored"] {
        let recorded = totals_hash.get(total).map_or(0, |text| number(text));
        let actual = totals.get(total).copied().unwrap_or(0);
        ensure!(recorded == actual, "the total {total} is {recorded}, expected {actual}");
    }
    Ok(())
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(u64::MAX)
}

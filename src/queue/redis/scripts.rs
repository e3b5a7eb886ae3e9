//! The scripts of `lua/`: their list, the preludes that each uses, and their compiled form.
//!
//! Invariants: a script changes a task's state once, checks first and writes last, and is safe to send twice. Scripts that
//! accept something new, and claims, are refused while the memory of Redis is full; all others may write then
//! (`allow-oom`), so that what runs can end, leases are renewed, and tasks can be cancelled and deleted.

use fred::types::scripts::Script as Compiled;
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

macro_rules! scripts {
    ($($(#[$doc:meta])* $verb:ident = $shebang:literal $file:literal [$($lib:literal)*];)*) => {
        /// A script of `lua/`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Verb { $(#[doc = concat!("`lua/", $file, ".lua`")] $verb,)* }

        impl Verb {
            /// Every script.
            pub const ALL: &[Self] = &[$(Self::$verb,)*];

            /// Returns the file name without extension.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$verb => $file,)* }
            }

            /// Returns the script's own text, including its header.
            pub const fn body(self) -> &'static str {
                match self { $(Self::$verb => include_str!(concat!("../../../lua/", $file, ".lua")),)* }
            }

            /// Returns the text sent to Redis: first line, preludes, body.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$verb => concat!(
                        $shebang, "\n",
                        include_str!("../../../lua/lib/base.lua"),
                        include_str!("../../../lua/lib/installation.lua"),
                        $(include_str!(concat!("../../../lua/lib/", $lib, ".lua")),)*
                        include_str!(concat!("../../../lua/", $file, ".lua")),
                    ),)*
                }
            }
        }
    };
}

scripts! {
    Acquire = "#!lua flags=allow-oom" "acquire" ["events" "redis_restart"];
    AllowInstance = "#!lua flags=allow-oom" "allow_instance" [];
    Batch = "#!lua flags=no-writes" "batch" [];
    BatchCancel = "#!lua flags=allow-oom" "batch_cancel" ["events" "indexes" "end_task"];
    BatchList = "#!lua flags=no-writes" "batch_list" ["list_rows"];
    Cancel = "#!lua flags=allow-oom" "cancel" ["events" "indexes" "end_task"];
    CheckClaim = "#!lua flags=allow-oom" "check_claim" ["events" "indexes" "attempts"];
    CheckRedisRestart = "#!lua flags=allow-oom" "check_redis_restart" ["redis_restart"];
    Claim = "#!lua" "claim" ["events" "indexes" "attempts"];
    Clock = "#!lua flags=no-writes" "clock" [];
    ConfigPut = "#!lua flags=allow-oom" "config_put" [];
    Counts = "#!lua flags=no-writes" "counts" [];
    CreatedSince = "#!lua flags=no-writes" "created_since" [];
    EarlyOutput = "#!lua flags=allow-oom" "early_output" ["events" "indexes" "attempts" "register_file"];
    Elect = "#!lua flags=allow-oom" "elect" [];
    Enable = "#!lua flags=allow-oom" "enable" ["events" "quarantine"];
    EndQuarantine = "#!lua flags=allow-oom" "end_quarantine" ["events" "quarantine"];
    Enqueue = "#!lua" "enqueue" ["events" "indexes" "accept"];
    EnqueueBatch = "#!lua" "enqueue_batch" ["events" "indexes" "accept"];
    Expire = "#!lua flags=allow-oom" "expire" ["events" "indexes" "end_task"];
    FileAdd = "#!lua flags=allow-oom" "file_add" ["register_file" "files"];
    FileCheckDelete = "#!lua flags=no-writes" "file_check_delete" [];
    FileDelete = "#!lua flags=allow-oom" "file_delete" ["register_file" "files"];
    FileExpire = "#!lua flags=allow-oom" "file_expire" ["register_file" "files"];
    FileList = "#!lua flags=no-writes" "file_list" [];
    FileTrim = "#!lua flags=allow-oom" "file_trim" ["register_file" "files"];
    Finish = "#!lua flags=allow-oom" "finish" ["events" "indexes" "end_task" "attempts" "quarantine" "run_times" "register_file"];
    ForgetInstance = "#!lua flags=allow-oom" "forget_instance" [];
    FreeSlot = "#!lua flags=allow-oom" "free_slot" ["events" "indexes" "end_task" "attempts"];
    Gc = "#!lua flags=allow-oom" "gc" ["register_file" "files"];
    Heartbeat = "#!lua flags=allow-oom" "heartbeat" [];
    Instances = "#!lua flags=no-writes" "instances" [];
    Leases = "#!lua flags=no-writes" "leases" [];
    LoginFailed = "#!lua flags=allow-oom" "login_failed" [];
    Memory = "#!lua flags=no-writes" "memory" [];
    Nack = "#!lua flags=allow-oom" "nack" ["events" "indexes" "end_task" "attempts" "register_file" "files"];
    NodeFault = "#!lua flags=allow-oom" "node_fault" ["events" "indexes" "end_task" "attempts" "quarantine" "fault_verdict" "register_file" "files" "give_back"];
    OrphanObjects = "#!lua flags=allow-oom" "orphan_objects" ["register_file" "files"];
    OrphanPromptAdd = "#!lua flags=allow-oom" "orphan_prompt_add" [];
    OrphanPrompts = "#!lua flags=no-writes" "orphan_prompts" [];
    Progress = "#!lua flags=allow-oom" "progress" ["events" "indexes" "attempts" "independent"];
    Promote = "#!lua flags=allow-oom" "promote" ["events" "indexes"];
    RedisInfo = "#!lua flags=no-writes" "redis_info" [];
    ReleaseLease = "#!lua flags=allow-oom" "release_lease" ["events"];
    Renew = "#!lua flags=allow-oom" "renew" ["independent"];
    RepairIndex = "#!lua flags=allow-oom" "repair_index" ["events" "indexes" "end_task" "repair"];
    ReplicationMark = "#!lua flags=allow-oom" "replication_mark" [];
    ReportInstance = "#!lua flags=allow-oom" "report_instance" ["events"];
    Requeue = "#!lua flags=allow-oom" "requeue" ["events" "indexes" "end_task" "attempts" "register_file" "files" "give_back"];
    RestoreClaim = "#!lua flags=allow-oom" "restore_claim" ["events" "indexes" "attempts"];
    RestrictedTasks = "#!lua flags=no-writes" "restricted_tasks" [];
    Revive = "#!lua" "revive" ["events" "indexes" "register_file" "files"];
    Start = "#!lua flags=allow-oom" "start" ["events" "indexes" "attempts"];
    TaskEntries = "#!lua flags=no-writes" "task_entries" ["list_rows"];
    TaskGet = "#!lua flags=no-writes" "task_get" [];
    TaskList = "#!lua flags=no-writes" "task_list" ["list_rows"];
    TaskVersions = "#!lua flags=no-writes" "task_versions" [];
    TryCommands = "#!lua flags=allow-oom" "try_commands" [];
    UnregisteredObjects = "#!lua flags=no-writes" "unregistered_objects" [];
    UploadBytes = "#!lua flags=no-writes" "upload_bytes" [];
    WaitFacts = "#!lua flags=no-writes" "wait_facts" [];
    Work = "#!lua flags=no-writes" "work" [];
    WorkflowDelete = "#!lua flags=allow-oom" "workflow_delete" ["register_file" "files" "workflow_files"];
    WorkflowGet = "#!lua flags=no-writes" "workflow_get" [];
    WorkflowList = "#!lua flags=no-writes" "workflow_list" [];
    WorkflowPut = "#!lua" "workflow_put" ["register_file" "files" "workflow_files"];
}

/// The scripts of a queue: the embedded ones, or edited copies for tests.
#[derive(Debug, Clone)]
pub struct Scripts(Arc<[Arc<Text>]>);

/// A script's text and, from its first use on, its digest.
#[derive(Debug)]
struct Text {
    text: Cow<'static, str>,
    compiled: OnceLock<Compiled>,
}

impl Scripts {
    /// Returns the scripts embedded in the program.
    pub fn embedded() -> Self {
        let text = |verb: &Verb| Arc::new(Text { text: verb.text().into(), compiled: OnceLock::new() });
        Self(Verb::ALL.iter().map(text).collect())
    }

    /// Returns the scripts with every text passed through `edit`, for tests that break a script or control the clock.
    pub fn edited(&self, edit: impl Fn(Verb, &str) -> String) -> Self {
        let edited = |(verb, old): (&Verb, &Arc<Text>)| {
            let text = edit(*verb, &old.text);
            if text == old.text { old.clone() } else { Arc::new(Text { text: text.into(), compiled: OnceLock::new() }) }
        };
        Self(Verb::ALL.iter().zip(self.0.iter()).map(edited).collect())
    }

    pub(crate) fn get(&self, verb: Verb) -> &Compiled {
        // `Verb::ALL` lists the variants in the order they are declared.
        let text = &self.0[verb as usize];
        text.compiled.get_or_init(|| Compiled::from_lua(text.text.as_ref()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::Verb;
    use std::path::Path;

    fn header_and_body(text: &str) -> (String, String) {
        let header_lines = text.lines().take_while(|line| line.starts_with("--")).count();
        let lines: Vec<&str> = text.lines().collect();
        (lines[..header_lines].join("\n"), lines[header_lines..].join("\n"))
    }

    #[test]
    fn headers_and_bodies_name_the_same_slots() {
        for verb in Verb::ALL {
            let (header, body) = header_and_body(verb.body());
            let name = verb.name();
            assert!(header.contains("-- KEYS[1]"), "{name}: the root is not named");
            assert!(!header.contains("KEYS[2]") && !body.contains("KEYS["), "{name}: one key, read by the prelude");
            assert!(header.contains("-- Returns {"), "{name}: no Returns");
            for slot in 1..=16 {
                let slot = format!("ARGV[{slot}]");
                assert_eq!(header.contains(&slot), body.contains(&slot), "{name}: {slot}");
            }
        }
    }

    #[test]
    fn every_file_is_a_verb_and_every_prelude_is_used() {
        let lua = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
        let names = |folder: &Path| -> Vec<String> {
            let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let mut names: Vec<String> = files
                .filter(|path| path.is_file())
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            names.sort();
            names
        };
        let verbs: Vec<String> = Verb::ALL.iter().map(|verb| verb.name().to_owned()).collect();
        assert_eq!(names(&lua), verbs);
        for prelude in names(&lua.join("lib")) {
            let text = std::fs::read_to_string(lua.join("lib").join(format!("{prelude}.lua"))).unwrap();
            assert!(Verb::ALL.iter().any(|verb| verb.text().contains(&text)), "{prelude} is used by no script");
        }
    }

    #[test]
    fn reads_are_marked_and_write_nothing() {
        const WRITES: [&str; 15] = [
            "'SET'",
            "'HSET'",
            "'HDEL'",
            "'DEL'",
            "'ZADD'",
            "'ZREM'",
            "'SADD'",
            "'SREM'",
            "'XADD'",
            "'XDEL'",
            "'XACK'",
            "'XCLAIM'",
            "'PUBLISH'",
            "'HINCRBY'",
            "'ZPOPMIN'",
        ];
        for verb in Verb::ALL {
            let is_read = verb.text().starts_with("#!lua flags=no-writes\n");
            let is_write = ["#!lua\n", "#!lua flags=allow-oom\n"].iter().any(|line| verb.text().starts_with(line));
            assert!(is_read || is_write, "{}", verb.name());
            let writes = WRITES.iter().any(|word| verb.text().contains(word));
            assert_eq!(is_read, !writes, "{}", verb.name());
        }
    }

    #[test]
    fn only_what_takes_more_memory_is_refused_while_it_is_full() {
        let refused: Vec<_> = Verb::ALL.iter().filter(|verb| verb.text().starts_with("#!lua\n")).collect();
        assert_eq!(refused, [&Verb::Claim, &Verb::Enqueue, &Verb::EnqueueBatch, &Verb::Revive, &Verb::WorkflowPut]);
    }

    #[test]
    fn every_command_is_tried_at_start() {
        let tried = Verb::TryCommands.body();
        for verb in Verb::ALL {
            for call in verb.text().split("redis.call('").skip(1) {
                let command = call.split('\'').next().unwrap();
                assert!(command == "TIME" || tried.contains(&format!("'{command}'")), "{}: {command}", verb.name());
            }
        }
    }

    #[test]
    fn one_clock() {
        for verb in Verb::ALL {
            assert_eq!(verb.text().matches("redis.call('TIME')").count(), 1, "{}", verb.name());
        }
    }
}

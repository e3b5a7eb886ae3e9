//! Checks whether a Redis server can hold a queue.
//!
//! Refused: older than 7.0 · a read-only replica · a memory limit with an eviction policy (it would delete tasks) · a
//! durability that this server cannot give. Warned about: no append-only file (a restart of Redis loses everything) ·
//! an eviction policy without a limit · `replica` with fewer replicas connected than must confirm (writes are refused
//! until there are enough), or with more (one that did not confirm may be promoted).

use super::{
    recheck::Recheck,
    script_call::{ScriptCaller, from_fred},
    scripts::Verb,
};
use crate::{
    queue::{Error, Result},
    settings::{Durability, RedisSettings},
};
use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{ClusterHash, CustomCommand, Value},
};

/// Oldest usable version: it has `#!lua`.
const VERSION_MIN: (u32, u32) = (7, 0);
/// First version with WAITAOF.
const VERSION_WAITAOF: (u32, u32) = (7, 2);

/// Confirmation after which a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// The reply itself.
    Answer,
    /// `WAITAOF 1 0`.
    LocalFsync,
    /// The same, from a server that syncs its file once a second and confirms no sooner.
    LocalFsyncEverySecond,
    /// `WAIT` for this number of replicas.
    Replicas(u32),
}

/// The durability that the settings ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) durability: Durability,
    /// Number of replicas that confirm a write at durability `replica`.
    pub(crate) replicas: u32,
}

impl From<&RedisSettings> for Demand {
    fn from(settings: &RedisSettings) -> Self {
        Self { durability: settings.durability, replicas: settings.durability_replicas }
    }
}

/// Properties of a server, read from INFO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    version: (u32, u32),
    is_valkey: bool,
    is_replica: bool,
    memory_max: u64,
    eviction: String,
    pub(crate) has_aof: bool,
    replicas: u32,
}

/// Returns the value of a line `name:value` of INFO; empty if there is none.
pub(crate) fn field<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
}

impl ServerInfo {
    /// Reads the lines `name:value` of INFO.
    pub(crate) fn parse(info: &str) -> Self {
        let field = |name: &str| field(info, name);
        let mut version = field("redis_version").split('.').map(|part| part.parse().unwrap_or(0));
        Self {
            version: (version.next().unwrap_or(0), version.next().unwrap_or(0)),
            is_valkey: !field("valkey_version").is_empty(),
            is_replica: field("role") == "slave",
            memory_max: field("maxmemory").parse().unwrap_or(0),
            eviction: field("maxmemory_policy").to_owned(),
            has_aof: field("aof_enabled") == "1",
            replicas: field("connected_slaves").parse().unwrap_or(0),
        }
    }

    /// Returns the same, as if it were a primary.
    pub(crate) fn into_primary(self) -> Self {
        Self { is_replica: false, ..self }
    }

    /// Validates the server for a durability. Returns the confirmation to use and the warnings, or the reason to
    /// refuse.
    pub(crate) fn validate(
        &self,
        demand: Demand,
        fsync: Option<&str>,
    ) -> std::result::Result<(Confirmation, Vec<ServerIssue>), ServerIssue> {
        if self.version < VERSION_MIN {
            let issue = format!("redis {}.{} is too old", self.version.0, self.version.1);
            return Err(ServerIssue::new(issue, "7.0 or newer is needed"));
        }
        if self.is_replica {
            return Err(ServerIssue::new("this redis is a read-only replica", "give the address of the primary"));
        }
        let (eviction, evicts) = (&self.eviction, !self.eviction.is_empty() && self.eviction != "noeviction");
        if evicts && self.memory_max > 0 {
            let issue = format!("maxmemory-policy is {eviction}, redis would delete tasks");
            return Err(ServerIssue::new(issue, "set it to noeviction"));
        }
        let mut warnings = Vec::new();
        if evicts {
            let issue = format!("maxmemory-policy is {eviction}");
            warnings.push(ServerIssue::new(issue, "set it to noeviction before you set maxmemory"));
        }
        if !self.has_aof {
            let issue = "redis has no append-only file, when it restarts all tasks are gone";
            warnings.push(ServerIssue::new(issue, "set appendonly yes"));
        }
        let confirm = match demand.durability {
            Durability::Local => Confirmation::Answer,
            Durability::Fsync if !self.has_aof => {
                return Err(ServerIssue::new("durability fsync needs an append-only file", "set appendonly yes"));
            }
            Durability::Fsync if fsync == Some("always") => Confirmation::Answer,
            // Valkey syncs at once when WAITAOF asks for it.
            Durability::Fsync if self.version >= VERSION_WAITAOF && self.is_valkey => Confirmation::LocalFsync,
            Durability::Fsync if self.version >= VERSION_WAITAOF => {
                let issue = "durability fsync, but redis syncs its file once a second: each write takes about a second";
                warnings.push(ServerIssue::new(issue, "set appendfsync always"));
                Confirmation::LocalFsyncEverySecond
            }
            Durability::Fsync => {
                let issue = "this redis cannot provide durability fsync with its current settings";
                return Err(ServerIssue::new(issue, "set appendfsync always, or take redis 7.2 or newer"));
            }
            Durability::Replica => {
                warnings.extend(self.replica_warning(demand.replicas));
                Confirmation::Replicas(demand.replicas)
            }
        };
        Ok((confirm, warnings))
    }

    /// Whether fewer replicas are connected than must confirm a write.
    pub(super) fn lacks_replicas(&self, demand: Demand) -> bool {
        demand.durability == Durability::Replica && self.replicas < demand.replicas
    }

    /// Compares the number of replicas with the number that confirms a write.
    fn replica_warning(&self, wanted: u32) -> Option<ServerIssue> {
        let found = self.replicas;
        if found < wanted {
            let issue =
                format!("durability replica waits for {wanted}, but the number of connected replicas is {found}");
            return Some(ServerIssue::new(
                issue,
                "connect more, or set a smaller number; writes are refused until then",
            ));
        }
        (found > wanted).then(|| {
            let issue = format!(
                "of {found} replicas {wanted} must confirm a write: one that did not may be promoted, and the write is lost"
            );
            ServerIssue::new(issue, "set --durability-replicas to the number of replicas")
        })
    }
}

/// A problem of the server and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{issue}: {remedy}")]
pub struct ServerIssue {
    /// The problem.
    pub issue: String,
    /// The remedy.
    pub remedy: &'static str,
}

impl ServerIssue {
    fn new(issue: impl Into<String>, remedy: &'static str) -> Self {
        Self { issue: issue.into(), remedy }
    }
}

/// Checks the server that holds our slot. Logs warnings; refuses with [`Error::Unusable`]. Returns the check to repeat.
pub(crate) async fn check(caller: &ScriptCaller, demand: Demand) -> Result<(Confirmation, Recheck)> {
    let checked = validate(caller, demand).await?;
    let (confirm, warnings) = checked.validated.map_err(|no| Error::Unusable(no.to_string()))?;
    let mut recheck = Recheck::default();
    recheck.report_warnings(warnings);
    recheck.fitness().set_unfit(false);
    recheck.fitness().set_unconfirmed(checked.lacks_replicas);
    Ok((confirm, recheck))
}

/// Result of a check.
pub(super) struct Checked {
    /// Confirmation and warnings, or the reason to refuse.
    pub(super) validated: std::result::Result<(Confirmation, Vec<ServerIssue>), ServerIssue>,
    pub(super) lacks_replicas: bool,
}

pub(super) async fn validate(caller: &ScriptCaller, demand: Demand) -> Result<Checked> {
    let info = ServerInfo::parse(&info(caller).await?);
    let fsync = if demand.durability == Durability::Fsync { fsync_policy(caller).await? } else { None };
    Ok(Checked { validated: info.validate(demand, fsync.as_deref()), lacks_replicas: info.lacks_replicas(demand) })
}

/// Reads INFO of the server that holds our slot.
pub(crate) async fn info(caller: &ScriptCaller) -> Result<String> {
    match caller.call(Verb::RedisInfo, Vec::new()).await {
        Ok(mut reply) => reply.parse(),
        // To servers before 7.0 the first line, `#!lua`, is a syntax error.
        Err(Error::Corrupt(details)) if details.contains("unexpected symbol near '#'") => {
            Err(Error::Unusable("redis is too old: 7.0 or newer is needed".to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// Reads `appendfsync`; `None` where CONFIG is not allowed (managed servers).
pub(crate) async fn fsync_policy(caller: &ScriptCaller) -> Result<Option<String>> {
    setting(caller, "appendfsync").await
}

/// Reads a setting of the server; `None` where CONFIG is not allowed.
pub(crate) async fn setting(caller: &ScriptCaller, name: &'static str) -> Result<Option<String>> {
    setting_of(&caller.pool.next().client(), caller.root.slot(), name).await
}

/// Reads a setting of the node that owns a slot, over this client.
pub(crate) async fn setting_of(client: &Client, slot: u16, name: &'static str) -> Result<Option<String>> {
    let command = CustomCommand::new_static("CONFIG", ClusterHash::Custom(slot), false);
    let answer = match client.custom::<Value, _>(command, vec!["GET", name]).await.map_err(from_fred) {
        Ok(answer) => answer,
        // Unknown, not forbidden: the caller retries.
        Err(error @ Error::Unavailable(_)) => return Err(error),
        Err(_not_allowed) => return Ok(None),
    };
    Ok(answer.convert::<Vec<String>>().ok().and_then(|pair| pair.into_iter().nth(1)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::{Confirmation, Demand, ServerInfo};
    use crate::settings::Durability;

    const LOCAL: Demand = Demand { durability: Durability::Local, replicas: 1 };
    const FSYNC: Demand = Demand { durability: Durability::Fsync, replicas: 1 };

    fn info(more: &str) -> ServerInfo {
        ServerInfo::parse(&format!(
            "# Server\r\nredis_version:7.0.15\r\n{more}\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\nconnected_slaves:0\r\n"
        ))
    }

    #[test]
    fn a_good_server_is_accepted_without_warnings() {
        assert_eq!(info("").validate(LOCAL, None).unwrap(), (Confirmation::Answer, vec![]));
    }

    #[test]
    fn a_server_that_would_lose_tasks_is_refused() {
        let old = ServerInfo { version: (6, 2), ..info("") };
        let replica = ServerInfo { is_replica: true, ..info("") };
        let evicting = ServerInfo { memory_max: 1, eviction: "allkeys-lru".to_owned(), ..info("") };
        for (info, word) in [(old, "too old"), (replica, "replica"), (evicting, "noeviction")] {
            let refusal = info.validate(LOCAL, None).unwrap_err().to_string();
            assert!(refusal.contains(word), "{refusal}");
        }
    }

    #[test]
    fn fsync_needs_always_or_waitaof() {
        assert!(info("").validate(FSYNC, Some("everysec")).is_err());
        assert_eq!(info("").validate(FSYNC, Some("always")).unwrap().0, Confirmation::Answer);
        let newer = ServerInfo { version: (7, 2), ..info("") };
        let (confirm, warnings) = newer.validate(FSYNC, Some("everysec")).unwrap();
        assert_eq!((confirm, warnings[0].remedy), (Confirmation::LocalFsyncEverySecond, "set appendfsync always"));
        let valkey = ServerInfo { is_valkey: true, ..newer.clone() };
        assert_eq!(valkey.validate(FSYNC, None).unwrap(), (Confirmation::LocalFsync, vec![]));
        assert!(ServerInfo { has_aof: false, ..newer }.validate(FSYNC, Some("always")).is_err());
    }

    #[test]
    fn a_number_of_replicas_that_loses_or_refuses_writes_is_warned_about() {
        let check = |connected, replicas| {
            let info = ServerInfo { replicas: connected, ..info("") };
            info.validate(Demand { durability: Durability::Replica, replicas }, None).unwrap()
        };
        assert_eq!(check(2, 2), (Confirmation::Replicas(2), vec![]));
        for (connected, wanted, word) in
            [(0, 1, "writes are refused"), (1, 2, "writes are refused"), (2, 1, "promoted")]
        {
            let (confirm, warnings) = check(connected, wanted);
            assert_eq!(confirm, Confirmation::Replicas(wanted));
            assert!(warnings.len() == 1 && warnings[0].to_string().contains(word), "{warnings:?}");
        }
    }

    #[test]
    fn a_missing_append_only_file_is_warned_about() {
        let bare = ServerInfo { has_aof: false, eviction: "allkeys-lru".to_owned(), ..info("") };
        assert_eq!(bare.validate(LOCAL, None).unwrap().1.len(), 2);
    }
}

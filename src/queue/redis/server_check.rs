//! Checks whether a Redis server can hold a queue.
//!
//! Refused: older than 7.0 · a read-only replica · a memory limit with an eviction policy (it would delete tasks) · a
//! durability that this server cannot give. Warned about: no append-only file (a restart of Redis loses everything) ·
//! an eviction policy without a limit · `replica` with no replica connected (writes are refused until there is one).

use super::{
    script_call::{ScriptCaller, from_fred},
    scripts::Verb,
};
use crate::{
    metrics,
    queue::{Error, Result},
    settings::Durability,
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
    /// `WAIT 1`.
    Replica,
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
        durability: Durability,
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
        let confirm = match durability {
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
                if self.replicas == 0 {
                    let issue = "durability replica, but no replica is connected";
                    warnings.push(ServerIssue::new(issue, "connect one, writes are refused until then"));
                }
                Confirmation::Replica
            }
        };
        Ok((confirm, warnings))
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

/// Checks the server that holds our slot. Logs warnings; refuses with [`Error::Unusable`].
pub(crate) async fn check(caller: &ScriptCaller, durability: Durability) -> Result<Confirmation> {
    let (confirm, warnings) = validate(caller, durability).await?.map_err(|no| Error::Unusable(no.to_string()))?;
    for warning in warnings {
        tracing::warn!(%warning, "redis server check");
    }
    metrics::redis_unfit(false);
    Ok(confirm)
}

type Validated = std::result::Result<(Confirmation, Vec<ServerIssue>), ServerIssue>;

async fn validate(caller: &ScriptCaller, durability: Durability) -> Result<Validated> {
    let info = info(caller).await?;
    let fsync = if durability == Durability::Fsync { fsync_policy(caller).await? } else { None };
    Ok(ServerInfo::parse(&info).validate(durability, fsync.as_deref()))
}

/// The check of a running process: its settings may be changed, or another server may take its place.
#[derive(Debug, Default)]
pub(crate) struct Recheck {
    found: Option<String>,
}

impl Recheck {
    /// Checks the server. Logs what has changed since the last time.
    pub(crate) async fn run(&mut self, caller: &ScriptCaller, durability: Durability) {
        let refusal = match validate(caller, durability).await {
            Ok(validated) => validated.err().map(|refusal| refusal.to_string()),
            Err(Error::Unusable(why)) => Some(why),
            // Unanswered or refused for another reason, which is logged by the calls that it concerns.
            Err(_unknown) => return,
        };
        metrics::redis_unfit(refusal.is_some());
        if refusal == self.found {
            return;
        }
        match &refusal {
            Some(issue) => tracing::error!(issue, "redis would be refused at a start; tasks are in danger"),
            None => tracing::warn!("redis is fit for the queue again"),
        }
        self.found = refusal;
    }
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
    use super::{Confirmation, ServerInfo};
    use crate::settings::Durability;

    fn info(more: &str) -> ServerInfo {
        ServerInfo::parse(&format!(
            "# Server\r\nredis_version:7.0.15\r\n{more}\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\nconnected_slaves:0\r\n"
        ))
    }

    #[test]
    fn a_good_server_is_accepted_without_warnings() {
        assert_eq!(info("").validate(Durability::Local, None).unwrap(), (Confirmation::Answer, vec![]));
    }

    #[test]
    fn a_server_that_would_lose_tasks_is_refused() {
        let old = ServerInfo { version: (6, 2), ..info("") };
        let replica = ServerInfo { is_replica: true, ..info("") };
        let evicting = ServerInfo { memory_max: 1, eviction: "allkeys-lru".to_owned(), ..info("") };
        for (info, word) in [(old, "too old"), (replica, "replica"), (evicting, "noeviction")] {
            let refusal = info.validate(Durability::Local, None).unwrap_err().to_string();
            assert!(refusal.contains(word), "{refusal}");
        }
    }

    #[test]
    fn fsync_needs_always_or_waitaof() {
        assert!(info("").validate(Durability::Fsync, Some("everysec")).is_err());
        assert_eq!(info("").validate(Durability::Fsync, Some("always")).unwrap().0, Confirmation::Answer);
        let newer = ServerInfo { version: (7, 2), ..info("") };
        let (confirm, warnings) = newer.validate(Durability::Fsync, Some("everysec")).unwrap();
        assert_eq!((confirm, warnings[0].remedy), (Confirmation::LocalFsyncEverySecond, "set appendfsync always"));
        let valkey = ServerInfo { is_valkey: true, ..newer.clone() };
        assert_eq!(valkey.validate(Durability::Fsync, None).unwrap(), (Confirmation::LocalFsync, vec![]));
        assert!(ServerInfo { has_aof: false, ..newer }.validate(Durability::Fsync, Some("always")).is_err());
    }

    #[test]
    fn a_missing_append_only_file_or_replica_is_warned_about() {
        let bare = ServerInfo { has_aof: false, eviction: "allkeys-lru".to_owned(), ..info("") };
        assert_eq!(bare.validate(Durability::Local, None).unwrap().1.len(), 2);
        assert_eq!(info("").validate(Durability::Replica, None).unwrap().1.len(), 1);
    }
}

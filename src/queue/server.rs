//! Whether the Redis server can hold a queue: what is refused at the start, and what is only warned of.
//!
//! Refused: older than 7.0 · a read-only replica · a memory limit with an eviction policy (it would delete tasks) · a
//! durability that this server cannot give. Warned: no append-only file (a restart of Redis forgets everything) · an eviction
//! policy without a limit · `replica` with no replica connected (writes will be refused until there is one).

use super::{
    Error, Result,
    call::{Caller, from_fred},
    scripts::Verb,
};
use crate::settings::Durability;
use fred::{
    interfaces::ClientLike,
    types::{ClusterHash, CustomCommand, Value},
};

/// Oldest server: `#!lua`, XCLAIM that drops deleted entries.
const VERSION_MIN: (u32, u32) = (7, 0);
/// WAITAOF.
const VERSION_WAITAOF: (u32, u32) = (7, 2);

/// What makes a write count as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirm {
    /// The answer itself.
    Answer,
    /// WAITAOF 1 0.
    LocalFsync,
    /// WAIT 1.
    Replica,
}

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Facts {
    version: (u32, u32),
    is_replica: bool,
    memory_max: u64,
    eviction: String,
    has_aof: bool,
    replicas: u32,
}

impl Facts {
    /// Reads the lines `name:value` of INFO.
    fn parse(info: &str) -> Self {
        let field = |name: &str| {
            info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
        };
        let mut version = field("redis_version").split('.').map(|part| part.parse().unwrap_or(0));
        Self {
            version: (version.next().unwrap_or(0), version.next().unwrap_or(0)),
            is_replica: field("role") == "slave",
            memory_max: field("maxmemory").parse().unwrap_or(0),
            eviction: field("maxmemory_policy").to_owned(),
            has_aof: field("aof_enabled") == "1",
            replicas: field("connected_slaves").parse().unwrap_or(0),
        }
    }

    /// Refuses, or gives what to warn of.
    fn judge(&self, durability: Durability, fsync: Option<&str>) -> Result<(Confirm, Vec<String>)> {
        let refuse = |message: String| Err(Error::Unusable(message));
        if self.version < VERSION_MIN {
            return refuse(format!("redis {}.{} is too old: 7.0 or newer is needed", self.version.0, self.version.1));
        }
        if self.is_replica {
            return refuse("this redis is a read-only replica: give the address of the primary".to_owned());
        }
        let evicts = !self.eviction.is_empty() && self.eviction != "noeviction";
        if evicts && self.memory_max > 0 {
            let eviction = &self.eviction;
            return refuse(format!("maxmemory-policy is {eviction}: redis would delete tasks; set it to noeviction"));
        }
        let mut warnings = Vec::new();
        if evicts {
            warnings
                .push(format!("maxmemory-policy is {}: set it to noeviction before you set maxmemory", self.eviction));
        }
        if !self.has_aof {
            warnings.push(
                "redis has no append-only file: when it restarts, all tasks are gone; set appendonly yes".to_owned(),
            );
        }
        let confirm = match durability {
            Durability::Local => Confirm::Answer,
            Durability::Fsync if !self.has_aof => {
                return refuse("durability fsync needs redis with appendonly yes".to_owned());
            }
            Durability::Fsync if fsync == Some("always") => Confirm::Answer,
            Durability::Fsync if self.version >= VERSION_WAITAOF => Confirm::LocalFsync,
            Durability::Fsync => {
                return refuse(
                    "durability fsync needs redis with appendfsync always, or redis 7.2 or newer".to_owned(),
                );
            }
            Durability::Replica => {
                if self.replicas == 0 {
                    warnings.push(
                        "durability replica: no replica is connected, writes are refused until one is".to_owned(),
                    );
                }
                Confirm::Replica
            }
        };
        Ok((confirm, warnings))
    }
}

/// Asks the server that holds our slot, refuses or warns.
pub(super) async fn check(caller: &Caller, durability: Durability) -> Result<Confirm> {
    let info: String = match caller.call(Verb::Server, Vec::new()).await {
        Ok(mut reply) => reply.parse()?,
        // Servers before 7.0 take the first line for a syntax error.
        Err(Error::Corrupt(details)) if details.contains("unexpected symbol near '#'") => {
            return Err(Error::Unusable("redis is too old: 7.0 or newer is needed".to_owned()));
        }
        Err(error) => return Err(error),
    };
    let fsync = if durability == Durability::Fsync { fsync_policy(caller).await? } else { None };
    let (confirm, warnings) = Facts::parse(&info).judge(durability, fsync.as_deref())?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(confirm)
}

/// `appendfsync`; `None` where CONFIG is not allowed (managed servers).
async fn fsync_policy(caller: &Caller) -> Result<Option<String>> {
    let command = CustomCommand::new_static("CONFIG", ClusterHash::Random, false);
    let answer: Value = match caller.pool.custom(command, vec!["GET", "appendfsync"]).await.map_err(from_fred) {
        Ok(answer) => answer,
        // No answer says nothing about the server: asked again.
        Err(error @ Error::Unavailable(_)) => return Err(error),
        Err(_not_allowed) => return Ok(None),
    };
    Ok(answer.convert::<Vec<String>>().ok().and_then(|pair| pair.into_iter().nth(1)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::{Confirm, Facts};
    use crate::settings::Durability;

    fn facts(more: &str) -> Facts {
        Facts::parse(&format!(
            "# Server\r\nredis_version:7.0.15\r\n{more}\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\nconnected_slaves:0\r\n"
        ))
    }

    #[test]
    fn a_good_server_is_taken_without_a_word() {
        assert_eq!(facts("").judge(Durability::Local, None).unwrap(), (Confirm::Answer, vec![]));
    }

    #[test]
    fn what_would_lose_tasks_is_refused() {
        let old = Facts { version: (6, 2), ..facts("") };
        let replica = Facts { is_replica: true, ..facts("") };
        let evicting = Facts { memory_max: 1, eviction: "allkeys-lru".to_owned(), ..facts("") };
        for (facts, word) in [(old, "too old"), (replica, "replica"), (evicting, "noeviction")] {
            let refusal = facts.judge(Durability::Local, None).unwrap_err().to_string();
            assert!(refusal.contains(word), "{refusal}");
        }
    }

    #[test]
    fn fsync_needs_always_or_waitaof() {
        assert!(facts("").judge(Durability::Fsync, Some("everysec")).is_err());
        assert_eq!(facts("").judge(Durability::Fsync, Some("always")).unwrap().0, Confirm::Answer);
        let newer = Facts { version: (7, 2), ..facts("") };
        assert_eq!(newer.judge(Durability::Fsync, Some("everysec")).unwrap().0, Confirm::LocalFsync);
        assert!(Facts { has_aof: false, ..newer }.judge(Durability::Fsync, Some("always")).is_err());
    }

    #[test]
    fn what_may_surprise_is_warned_of() {
        let bare = Facts { has_aof: false, eviction: "allkeys-lru".to_owned(), ..facts("") };
        assert_eq!(bare.judge(Durability::Local, None).unwrap().1.len(), 2);
        assert_eq!(facts("").judge(Durability::Replica, None).unwrap().1.len(), 1);
    }
}

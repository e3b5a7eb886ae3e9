//! Names of the keys that Rust uses itself. All other keys are made in `lua/lib/base.lua` from the same root.

use crate::{
    queue::{Error, Result},
    task::TaskId,
};
use std::sync::Arc;

/// Prefix and hash tag of every key, `{<namespace>}:`. All keys of a namespace are therefore in one slot.
#[derive(Debug, Clone)]
pub(crate) struct Root(Arc<str>);

impl Root {
    /// Maximum length of a namespace.
    const BYTES_MAX: usize = 64;

    /// Makes the root of a namespace: 1–64 of `[A-Za-z0-9._-]`, nothing that could end the hash tag or look like a
    /// pattern.
    pub(crate) fn new(namespace: &str) -> Result<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if namespace.is_empty() || namespace.len() > Self::BYTES_MAX || !namespace.bytes().all(is_plain) {
            return Err(Error::Unusable(format!(
                "namespace `{namespace}` is not usable: write 1 to {} of A-Z a-z 0-9 . _ -",
                Self::BYTES_MAX
            )));
        }
        Ok(Self(format!("{{{namespace}}}:").into()))
    }

    /// Returns the root itself, `KEYS[1]` of every script.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the cluster slot of every key.
    pub(crate) fn slot(&self) -> u16 {
        fred::util::redis_keyslot(self.0.as_bytes())
    }

    /// HASH: a task.
    pub(crate) fn task(&self, id: TaskId) -> String {
        format!("{}task:{id}", self.0)
    }

    /// STRING: payload of a task, zstd of JSON.
    pub(crate) fn payload(&self, id: TaskId) -> String {
        format!("{}payload:{id}", self.0)
    }

    /// HASH: run times of a workflow hash by instance, and `nodes`, those of its nodes.
    pub(crate) fn run_times(&self, workflow_hash: &str) -> String {
        format!("{}speeds-at:{workflow_hash}", self.0)
    }

    /// STREAM: wake-ups of dispatchers.
    pub(crate) fn jobs(&self) -> String {
        format!("{}jobs", self.0)
    }

    /// HASH `document`, `version`: the fleet config.
    pub(crate) fn config(&self) -> String {
        format!("{}config", self.0)
    }

    /// SET: disabled instances.
    pub(crate) fn disabled(&self) -> String {
        format!("{}disabled", self.0)
    }

    /// HASH `installation`, `run_id`, `claims_from`.
    pub(crate) fn meta(&self) -> String {
        format!("{}meta", self.0)
    }

    /// STRING, the time from which tasks may be claimed: exists while this Redis holds the installation.
    pub(crate) fn installation(&self, id: &str) -> String {
        format!("{}installation:{id}", self.0)
    }

    /// ZSET: dispatchers by the deadline of their heartbeat.
    pub(crate) fn dispatchers(&self) -> String {
        format!("{}dispatchers", self.0)
    }

    /// HASH `record`, `created`, `task`, `object`, …: a stored file.
    pub(crate) fn file(&self, id: impl std::fmt::Display) -> String {
        format!("{}file:{id}", self.0)
    }

    /// HASH: ids of uploads by owner and name, the latest first.
    pub(crate) fn upload_names(&self) -> String {
        format!("{}upload-names", self.0)
    }

    /// STRING: a node catalog, zstd of JSON, by the hash of its content.
    pub(crate) fn catalog(&self, hash: &str) -> String {
        format!("{}catalog:{hash}", self.0)
    }

    /// STRING: content type, line break, bytes of the latest preview of a running task; expires after seconds.
    pub(crate) fn preview(&self, id: TaskId) -> String {
        format!("{}preview:{id}", self.0)
    }

    /// STRING: marks that a client watches the previews of this task; expires after seconds.
    pub(crate) fn preview_wanted(&self, id: TaskId) -> String {
        format!("{}preview-wanted:{id}", self.0)
    }

    /// HASH `count`, `nonce`: failed logins; expires with the window.
    pub(crate) fn login(&self, scope: &str) -> String {
        format!("{}login:{scope}", self.0)
    }

    /// Channel of the events on which dispatchers act.
    pub(crate) fn control_channel(&self) -> String {
        format!("{}control", self.0)
    }

    /// Channel of all events.
    pub(crate) fn channel(&self) -> String {
        format!("{}events", self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::Root;

    #[test]
    fn a_namespace_is_one_hash_tag() {
        assert_eq!(Root::new("prod-1").unwrap().jobs(), "{prod-1}:jobs");
        for wrong in ["", "a}b", "{a", "a b", "a*", "ä", &"x".repeat(65)] {
            assert!(Root::new(wrong).is_err(), "{wrong}");
        }
    }
}

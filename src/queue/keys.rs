//! The few keys that Rust spells itself; all others are made in `lua/lib/base.lua` from the same root.

use super::{Error, Result};
use crate::task::TaskId;
use std::sync::Arc;

/// `{<namespace>}:`, the beginning and hash tag of every key: all keys of a namespace are in one slot.
#[derive(Debug, Clone)]
pub(super) struct Root(Arc<str>);

impl Root {
    /// The longest namespace.
    const BYTES_MAX: usize = 64;

    /// Accepts 1–64 of `[A-Za-z0-9._-]`: nothing that could end the hash tag or look like a pattern.
    pub(super) fn new(namespace: &str) -> Result<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if namespace.is_empty() || namespace.len() > Self::BYTES_MAX || !namespace.bytes().all(is_plain) {
            return Err(Error::Unusable(format!(
                "namespace `{namespace}` is not usable: write 1 to {} of A-Z a-z 0-9 . _ -",
                Self::BYTES_MAX
            )));
        }
        Ok(Self(format!("{{{namespace}}}:").into()))
    }

    /// The root itself, `KEYS[1]` of every script.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// HASH: a task.
    pub(super) fn task(&self, id: TaskId) -> String {
        format!("{}task:{id}", self.0)
    }

    /// STRING: what a task runs, zstd of JSON.
    pub(super) fn payload(&self, id: TaskId) -> String {
        format!("{}payload:{id}", self.0)
    }

    /// STREAM: the ledger, one entry per waiting or running task.
    pub(super) fn jobs(&self) -> String {
        format!("{}jobs", self.0)
    }

    /// HASH `document`, `version`.
    pub(super) fn config(&self) -> String {
        format!("{}config", self.0)
    }

    /// HASH `installation`, `run`, …
    pub(super) fn meta(&self) -> String {
        format!("{}meta", self.0)
    }

    /// ZSET: dispatchers by the time until which they are alive.
    pub(super) fn dispatchers(&self) -> String {
        format!("{}dispatchers", self.0)
    }

    /// HASH `record`, `created`, `task`.
    pub(super) fn file(&self, id: impl std::fmt::Display) -> String {
        format!("{}file:{id}", self.0)
    }

    /// STRING: what an instance can run, zstd of JSON, by the hash of its content.
    pub(super) fn catalog(&self, hash: &str) -> String {
        format!("{}catalog:{hash}", self.0)
    }

    /// STRING: content type, line break, the latest picture of a running task; for some seconds.
    pub(super) fn preview(&self, id: TaskId) -> String {
        format!("{}preview:{id}", self.0)
    }

    /// STRING, for some seconds: somebody looks at the pictures of this task.
    pub(super) fn preview_wanted(&self, id: TaskId) -> String {
        format!("{}preview-wanted:{id}", self.0)
    }

    /// HASH `count`, `nonce`, with the window as its lifetime.
    pub(super) fn login(&self, scope: &str) -> String {
        format!("{}login:{scope}", self.0)
    }

    /// Channel of everything that is published.
    pub(super) fn channel(&self) -> String {
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

//! The error of every verb, with variants by what the caller can do.

/// The reason a verb failed. A lost lease is not an error but an answer, see [`super::Written`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Redis is unreachable or did not answer in time. The write may or may not have happened; every verb is safe to
    /// repeat.
    #[error("redis is not available: {0}")]
    Unavailable(String),
    /// The memory of Redis is full. Nothing new is accepted; what runs can end. Retry later; the operator must act.
    #[error("redis memory is full: {0}")]
    MemoryFull(String),
    /// Redis refuses writes (read-only replica, disk full, missing permission). Retry later; the operator must act.
    #[error("redis refuses writes: {0}")]
    Refused(String),
    /// Redis does not hold the data of this system any more: it was emptied, or replaced by another (whose name this
    /// is; empty = none). The data must be restored, or all processes restarted to begin with an empty system.
    #[error("redis lost the data of this system: {}", if .0.is_empty() { "it was emptied".to_owned() } else { format!("it holds another system, {}", .0) })]
    Lost(String),
    /// The URL, the password or the server is unusable. Reported at start.
    #[error("{0}")]
    Unusable(String),
    /// Redis holds content in a form that this program does not write.
    #[error("unexpected content in redis: {0}")]
    Corrupt(String),
}

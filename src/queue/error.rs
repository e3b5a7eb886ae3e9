//! The error of every verb, with variants by what the caller can do.

/// The reason a verb failed. A lost lease is not an error but an answer, see [`super::Written`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Redis is unreachable or did not answer in time. The write may or may not have happened; every verb is safe to
    /// repeat.
    #[error("redis is not available: {0}")]
    Unavailable(String),
    /// Redis refuses writes (read-only replica, out of memory, disk full). Retry later; the operator must act.
    #[error("redis refuses writes: {0}")]
    Refused(String),
    /// The URL, the password or the server is unusable. Reported at start.
    #[error("{0}")]
    Unusable(String),
    /// Redis holds content in a form that this program does not write.
    #[error("unexpected content in redis: {0}")]
    Corrupt(String),
}

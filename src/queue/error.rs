//! Why a verb did not happen, named by what the caller can do about it.

/// Why a verb did not happen. A lost lease is no error but an answer, see [`super::Written`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Redis did not answer in time or is away. The verb may or may not have happened; every verb is safe to repeat.
    #[error("redis is not available: {0}")]
    Unavailable(String),
    /// Redis refuses writes (read-only replica, out of memory, disk full): try again later, tell the operator.
    #[error("redis refuses writes: {0}")]
    Refused(String),
    /// The URL, the password or the server cannot be used at all; said at start.
    #[error("{0}")]
    Unusable(String),
    /// Redis holds something that we did not write like that.
    #[error("unexpected content in redis: {0}")]
    Corrupt(String),
}

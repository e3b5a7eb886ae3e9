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
    /// Redis has the write, but fewer replicas, or not the disk, confirmed it in time. It may be lost; every verb is safe to
    /// repeat.
    #[error("the write is not confirmed: {0}")]
    NotConfirmed(String),
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

impl Error {
    /// Returns the reason of a refusal in words for clients; `None` if Redis did not answer, or for another error.
    pub fn refusal(&self) -> Option<String> {
        let details = match self {
            Self::Unusable(_) => return Some("redis refuses the user or the password of this system".to_owned()),
            Self::Refused(details) => details,
            Self::Unavailable(details) if details.starts_with("BUSY ") => details,
            Self::Unavailable(_) | Self::MemoryFull(_) | Self::NotConfirmed(_) | Self::Lost(_) | Self::Corrupt(_) => {
                return None;
            }
        };
        let words = match details.split_whitespace().next().unwrap_or_default() {
            "MISCONF" => "redis cannot write to its disk and refuses every write until the disk has space",
            "READONLY" => "redis is a read-only replica",
            "NOREPLICAS" => "redis has fewer replicas than its min-replicas-to-write and refuses every write",
            "BUSY" => "redis runs a script that does not end; SCRIPT KILL or a restart of redis ends it",
            "NOPERM" => "redis denies a command to this system's user",
            _ => return Some(details.clone()),
        };
        Some(words.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn a_refusal_is_not_silence() {
        let said = |error: Error| error.refusal().unwrap_or_default();
        let misconf = "MISCONF Errors writing to the AOF file: No space left on device";
        assert!(said(Error::Refused(misconf.to_owned())).contains("disk"));
        assert!(said(Error::Unusable("WRONGPASS".to_owned())).contains("password"));
        let busy = "BUSY Redis is busy running a script.";
        assert!(said(Error::Unavailable(busy.to_owned())).contains("script"));
        assert_eq!(Error::Unavailable("no answer".to_owned()).refusal(), None);
    }
}

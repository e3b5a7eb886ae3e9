//! Errors of the store, and their classification by cause.

use super::DiskRoom;
use std::io::ErrorKind;

/// Texts by which S3-compatible servers report a full store: MinIO, Ceph, and by status.
const FULL: [&str; 5] = [
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "QuotaExceeded",
    "InsufficientStorage",
    "507 Insufficient Storage",
];

/// Error of storing or reading bytes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file does not exist.
    #[error("no such file")]
    NotFound,
    /// No space is left, or the quota is exceeded (507).
    #[error("the store is full")]
    Full,
    /// Less than the reserve of the disk is free (507).
    #[error("the disk of the file store has only {} bytes free, and {} are reserved", .0.free, .0.reserve)]
    ReserveReached(DiskRoom),
    /// The file has more bytes than allowed (413).
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// Maximum number of bytes.
        limit: u64,
    },
    /// The URL cannot be used; reported at start.
    #[error("{0}")]
    Unusable(String),
    /// The store does not respond or fails (503).
    #[error("the store failed: {0}")]
    Unavailable(String),
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        match error {
            // A missing bucket is not a missing file.
            object_store::Error::NotFound { .. } if !mentions(&error, &["NoSuchBucket"]) => Self::NotFound,
            error if is_full(&error) || mentions(&error, &FULL) => Self::Full,
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            kind if is_full_kind(kind) => Self::Full,
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// Whether the store's response contains one of these words. object_store keeps it as a text.
fn mentions(error: &object_store::Error, words: &[&str]) -> bool {
    let text = error.to_string();
    words.iter().any(|word| text.contains(word))
}

/// Whether a cause is a full disk. object_store wraps causes in private types, so the whole chain is searched.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| is_full_kind(error.kind())) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether it is ENOSPC, EDQUOT or EFBIG.
fn is_full_kind(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::Error;
    use rustix::io::Errno;
    use std::io;

    fn wrapped(errno: Errno) -> Error {
        let source = Box::new(io::Error::from(errno));
        object_store::Error::Generic { store: "test", source }.into()
    }

    /// Makes the error that object_store returns for a response of a bucket.
    fn answered(text: &str) -> Error {
        let source = Box::new(io::Error::other(text.to_owned()));
        object_store::Error::NotFound { path: "x".to_owned(), source }.into()
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_file() {
        assert!(matches!(answered("404 Not Found: <Code>NoSuchKey</Code>"), Error::NotFound));
        assert!(matches!(answered("404 Not Found: <Code>NoSuchBucket</Code>"), Error::Unavailable(_)));
    }

    #[test]
    fn every_report_of_a_full_bucket_is_recognised() {
        for text in ["507 Insufficient Storage: ", "<Code>XMinioStorageFull</Code>", "403: <Code>QuotaExceeded</Code>"]
        {
            let source = Box::new(io::Error::other(text));
            assert!(matches!(object_store::Error::Generic { store: "S3", source }.into(), Error::Full), "{text}");
        }
    }

    #[test]
    fn every_errno_of_a_full_disk_is_recognised() {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert!(matches!(wrapped(errno), Error::Full), "{errno}");
            assert!(matches!(Error::from(io::Error::from(errno)), Error::Full), "{errno}");
        }
        assert!(matches!(wrapped(Errno::IO), Error::Unavailable(_)));
        assert!(matches!(Error::from(io::Error::from(Errno::NOENT)), Error::NotFound));
    }
}

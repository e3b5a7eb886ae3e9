//! A submission with its caller, and the idempotency that makes a repeat harmless.

use super::{
    spans::Origin,
    submission::{OwnedSubmission, Submission},
};
use crate::{
    auth::Caller,
    secrets::{Encryption, NoSecretKey},
    task::TaskId,
};
use sha2::{Digest, Sha256};

/// Longest idempotency key, bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// A submission and the caller it belongs to. It has its own copy of every text.
#[derive(Debug)]
pub struct Request {
    pub(super) caller: Caller,
    pub(super) submission: OwnedSubmission,
    /// Id of the task, or of the first task of the batch.
    pub(super) id: TaskId,
    /// Whether the id was made from an idempotency key, so that an earlier request may have used it.
    pub(super) is_keyed: bool,
    /// SHA-256 of the body, hex. Empty without a key: a fresh id meets no other body.
    pub(super) fingerprint: String,
    /// Encrypts the keys for API nodes; set when the request is submitted.
    pub(super) encryption: Encryption,
    pub(super) origin: Origin,
    /// Host that the client used, for links to our own files.
    pub(super) host: Option<String>,
}

/// Idempotency key of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKey(TaskId);

impl IdempotencyKey {
    /// Reads a key; `None` unless it is 1 to [`KEY_BYTES_MAX`] visible ASCII characters.
    ///
    /// User and key always lead to the same task id, so that the check for the task is the check for the key.
    pub fn new(username: &str, key: &[u8]) -> Option<Self> {
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) || !key.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut hasher = Sha256::new();
        // The length comes first, so that one user's name and key never equal those of another user.
        hasher.update((username.len() as u64).to_be_bytes());
        hasher.update(username);
        hasher.update(key);
        Some(Self(TaskId::from_digest(hasher.finalize().into())))
    }
}

impl Request {
    /// Returns a request that makes new tasks each time it is submitted.
    pub fn new(caller: &Caller, submission: Submission<'_>) -> Self {
        let (id, origin) = (TaskId::new(), Origin::now());
        let (caller, submission) = (caller.clone(), submission.into_owned());
        let encryption = Encryption::default();
        Self { caller, submission, id, is_keyed: false, fingerprint: String::new(), encryption, origin, host: None }
    }

    /// Sets the host that the client used: links to it are our own files.
    #[must_use]
    pub fn at_host(self, host: Option<String>) -> Self {
        Self { host, ..self }
    }

    /// Makes the request idempotent: a repeat with the same key and `body` returns the tasks of the first one, and a
    /// repeat with another body is [`KeyReused`](super::Error::KeyReused).
    #[must_use]
    pub fn with_key(self, key: IdempotencyKey, body: &[u8]) -> Self {
        Self { id: key.0, is_keyed: true, fingerprint: format!("{:x}", Sha256::digest(body)), ..self }
    }

    /// Makes a request with keys for API nodes ready: its fingerprint must reveal nothing of them.
    ///
    /// # Errors
    /// [`NoSecretKey`] if it has keys and they cannot be encrypted.
    pub(super) fn encrypting(mut self, encryption: &Encryption) -> Result<Self, NoSecretKey> {
        if self.submission.keys.is_empty() {
            return Ok(self);
        }
        encryption.check()?;
        if self.is_keyed {
            self.fingerprint = encryption.fingerprint(&self.fingerprint)?;
        }
        Ok(Self { encryption: encryption.clone(), ..self })
    }

    /// Returns the keys for API nodes, encrypted for this task; `None` if there are none.
    pub(super) fn encrypted_keys(&self, task: TaskId) -> Result<Option<String>, NoSecretKey> {
        let keys = &self.submission.keys;
        let encrypted = || self.encryption.encrypt_keys(&task.key_owner(), keys);
        (!keys.is_empty()).then(encrypted).transpose()
    }

    /// Sets the start of the request and the trace that it belongs to; without it, the request starts now.
    #[must_use]
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::IdempotencyKey;

    #[test]
    fn a_key_leads_to_one_id_per_user() {
        let id = |user: &str, key: &[u8]| IdempotencyKey::new(user, key).unwrap();
        assert_eq!(id("lin", b"k"), id("lin", b"k"));
        assert_ne!(id("lin", b"k"), id("lin", b"K"));
        assert_ne!(id("lin", b"k"), id("kim", b"k"));
        assert_ne!(id("lin", b"gk"), id("ling", b"k"));
    }

    #[test]
    fn keys_are_visible_and_bounded() {
        let long = [b'k'; 256];
        for bad in [&b""[..], b" ", b"a b", b"a\tb", &long, "\u{e9}".as_bytes(), b"\xff"] {
            assert!(IdempotencyKey::new("lin", bad).is_none(), "{bad:?}");
        }
        assert!(IdempotencyKey::new("lin", &long[..255]).is_some());
    }
}

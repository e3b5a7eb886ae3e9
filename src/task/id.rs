//! What names tasks, files, attempts and instances.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};
use uuid::Uuid;

/// What names a task to users: a lowercase hyphenated UUID (v7; v8 when made from an `Idempotency-Key`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Uuid)]
pub struct TaskId(Uuid);

impl TaskId {
    /// Makes a new id, ordered by time.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// Makes the id that `seed` (a SHA-256 of user and idempotency key) always leads to: the id of the first task, where the
    /// request makes a whole [batch](super::BatchId).
    pub fn from_digest(digest: [u8; 32]) -> Self {
        let mut bytes = [0; 16];
        bytes[..14].copy_from_slice(&digest[..14]);
        Self(Uuid::new_v8(bytes))
    }

    /// Its 128 bits: the id of its trace.
    pub fn bits(self) -> u128 {
        self.0.as_u128()
    }

    pub(super) fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    pub(super) fn uuid(self) -> Uuid {
        self.0
    }

    /// The id ComfyUI gets for one attempt: UUIDv5(task, attempt), so that two attempts are never mistaken for one
    /// another and every dispatcher computes the same (protocol §17.1).
    pub fn prompt_id(self, attempt: Attempt) -> Uuid {
        Uuid::new_v5(&self.0, &attempt.get().to_be_bytes())
    }
}

impl Default for TaskId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl FromStr for TaskId {
    type Err = NotAnId;

    /// Accepts the canonical 36-character form only, in lower case: nothing else ever becomes part of a Redis key.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        canonical_uuid(text).map(Self)
    }
}

/// What names a stored file to users: a random (v4) UUID, because a file's link needs no login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Uuid)]
pub struct FileId(Uuid);

impl FileId {
    /// Makes a new unguessable id.
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

impl Default for FileId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl FromStr for FileId {
    type Err = NotAnId;

    /// Accepts the canonical 36-character lower-case form only.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        canonical_uuid(text).map(Self)
    }
}

/// What names bytes in the store: the id of the file that brought them first. Files of the same content share one object, so
/// a file's own id need not lead to its bytes: its record says which object has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectId(FileId);

impl From<FileId> for ObjectId {
    /// What is stored for a new file is stored under its id.
    fn from(id: FileId) -> Self {
        Self(id)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ObjectId {
    type Err = NotAnId;

    /// Accepts the canonical 36-character lower-case form only.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        text.parse().map(Self)
    }
}

fn canonical_uuid(text: &str) -> Result<Uuid, NotAnId> {
    let uuid = Uuid::try_parse(text).map_err(|_| NotAnId)?;
    let mut buffer = Uuid::encode_buffer();
    if uuid.as_hyphenated().encode_lower(&mut buffer) != text {
        return Err(NotAnId);
    }
    Ok(uuid)
}

/// The text is not an id of ours; the answer to a user is 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct NotAnId;

/// One try at a task, numbered from 1, never reused: the fencing token of its writes. 0 = not tried yet.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Attempt(u32);

impl Attempt {
    /// Wraps a number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One ComfyUI process: `host:port` (`[v6]:port`). Only made from a validated fleet config or read back from Redis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "127.0.0.1:8001")]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// Wraps a text that is known to be an instance's id.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Attempt, FileId, TaskId};

    #[test]
    fn only_the_canonical_form_is_an_id() {
        let id = TaskId::new().to_string();
        assert!(id.parse::<TaskId>().is_ok());
        for wrong in [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!("{id} "), String::new()] {
            assert!(wrong.parse::<TaskId>().is_err(), "{wrong}");
            assert!(wrong.parse::<FileId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prompt_id_is_a_function_of_task_and_attempt() {
        let id = TaskId::new();
        assert_eq!(id.prompt_id(Attempt::new(1)), id.prompt_id(Attempt::new(1)));
        assert_ne!(id.prompt_id(Attempt::new(1)), id.prompt_id(Attempt::new(2)));
    }
}

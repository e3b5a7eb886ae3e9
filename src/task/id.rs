//! Ids of tasks, files, attempts and instances.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};
use uuid::Uuid;

/// Id of a task: a lowercase hyphenated UUID (v7; v8 if made from an `Idempotency-Key`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Uuid)]
pub struct TaskId(Uuid);

impl TaskId {
    /// Makes a new id; ids are ordered by time.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// Makes the id for `digest` (a SHA-256 of user and idempotency key): the same digest always gives the same id. In
    /// a [batch](super::BatchId) it is the id of the first task.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        let mut bytes = [0; 16];
        bytes[..14].copy_from_slice(&digest[..14]);
        Self(Uuid::new_v8(bytes))
    }

    /// Returns the 128 bits of the id, which are also the id of its trace.
    pub fn bits(self) -> u128 {
        self.0.as_u128()
    }

    pub(super) fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    pub(super) fn uuid(self) -> Uuid {
        self.0
    }

    /// Returns the owner that its encrypted keys name.
    pub fn key_owner(self) -> String {
        format!("task {self}")
    }

    /// Returns the prompt id of one attempt, UUIDv5(task, attempt): distinct attempts have distinct ids, and every
    /// dispatcher computes the same one (protocol §17.1).
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

    /// Accepts only the canonical 36-character lower-case form, so that no other text becomes part of a Redis key.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        canonical_uuid(text).map(Self)
    }
}

/// Id of a stored file: a random (v4) UUID, because the link of a file needs no login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Uuid)]
pub struct FileId(Uuid);

impl FileId {
    /// Makes a new, unguessable id.
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// Reads an id in any spelling of a UUID: capitals, without dashes, in braces. For people's input; [`FromStr`] is
    /// strict.
    pub fn from_spelling(text: &str) -> Option<Self> {
        let id = Uuid::try_parse(text.trim()).ok()?;
        // Other 32 hex digits are names, such as hashes.
        (id.get_version_num() == 4).then_some(Self(id))
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

/// Id of stored bytes: the id of the first file with this content. Files with the same content share one object; the
/// record of a file names its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectId(FileId);

impl From<FileId> for ObjectId {
    /// Returns the object id for the bytes of a new file.
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

/// Error of a text that is not a valid id; users get a 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct NotAnId;

/// Number of an attempt at a task, from 1, never reused: the fencing token of its writes. 0 = no attempt yet.
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

    /// Returns the number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Id of a ComfyUI process: `host:port` (`[v6]:port`). Only made from a validated fleet config or read from Redis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "127.0.0.1:8001")]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// Wraps a text that is known to be an instance id.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the id as a text.
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

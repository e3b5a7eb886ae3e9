//! Batch ids: the tasks of a batch share all bytes of their ids but the last two.

use super::{NotAnId, TaskId};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Last two bytes of a batch id; no task id ends with them.
const OWN: [u8; 2] = [0xff, 0xff];

/// Id of a batch: a lowercase hyphenated UUID that ends with `ffff`. The ids of its tasks end with `0000`, `0001`, … in
/// the order of the batch, so one is computed from the other (`lua/lib/base.lua` cuts a task id to find its batch).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Uuid)]
pub struct BatchId(Uuid);

impl BatchId {
    /// Makes a new batch id.
    pub fn new() -> Self {
        Self::of(TaskId::new())
    }

    /// Returns the id of the batch that the task belongs to, if it belongs to any.
    pub fn of(task: TaskId) -> Self {
        Self(with_end(task.uuid(), OWN))
    }

    /// Returns the id of the task at `index`.
    pub fn task(self, index: u16) -> TaskId {
        TaskId::from_uuid(with_end(self.0, index.to_be_bytes()))
    }
}

impl Default for BatchId {
    fn default() -> Self {
        Self::new()
    }
}

fn with_end(uuid: Uuid, end: [u8; 2]) -> Uuid {
    let mut bytes = uuid.into_bytes();
    bytes[14..].copy_from_slice(&end);
    Uuid::from_bytes(bytes)
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl FromStr for BatchId {
    type Err = NotAnId;

    /// Accepts only the canonical form of a batch id.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let task: TaskId = text.parse()?;
        let id = Self::of(task);
        if id.0 == task.uuid() { Ok(id) } else { Err(NotAnId) }
    }
}

/// Position of a task in its batch: `{"index","size"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchPlace {
    /// Index, from 0.
    pub index: u16,
    /// Number of tasks when the batch was created.
    pub size: u16,
}

#[cfg(test)]
mod tests {
    use super::{BatchId, TaskId};

    #[test]
    fn task_ids_of_a_batch_share_its_prefix_and_order() {
        let batch = BatchId::new();
        let ids: Vec<TaskId> = (0..300).map(|index| batch.task(index)).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| BatchId::of(*id) == batch));
        assert!(ids.iter().all(|id| id.to_string()[..32] == batch.to_string()[..32]));
        assert_ne!(BatchId::new(), batch);
    }

    #[test]
    fn only_a_batch_id_is_accepted() {
        let batch = BatchId::new();
        assert_eq!(batch.to_string().parse(), Ok(batch));
        for wrong in [batch.task(0).to_string(), batch.to_string().to_uppercase(), String::new(), "ffff".to_owned()] {
            assert!(wrong.parse::<BatchId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_task_of_an_idempotency_key_has_the_id_of_a_single_submit() {
        let id = TaskId::from_digest([7; 32]);
        assert_eq!(BatchId::of(id).task(0), id);
    }
}

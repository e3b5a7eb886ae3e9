//! What names a batch: the ids of its tasks differ in their last two bytes only, and what comes before is the batch's.

use super::{NotAnId, TaskId};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The last two bytes of a batch's own id: no task has them.
const OWN: [u8; 2] = [0xff, 0xff];

/// What names a batch to users: a lowercase hyphenated UUID that ends with `ffff`. Its tasks end with `0000`, `0001`, …: in
/// the order of the batch, and found from it (`lua/lib/base.lua` cuts a task's id to find its batch).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(Uuid);

impl BatchId {
    /// Makes a new id.
    pub fn new() -> Self {
        Self::of(TaskId::new())
    }

    /// The batch that a task with this id belongs to, if to any.
    pub fn of(task: TaskId) -> Self {
        Self(with_end(task.uuid(), OWN))
    }

    /// The id of its task at `index`.
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

    /// Accepts the canonical form of a batch's own id only.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let task: TaskId = text.parse()?;
        let id = Self::of(task);
        if id.0 == task.uuid() { Ok(id) } else { Err(NotAnId) }
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchId, TaskId};

    #[test]
    fn tasks_of_a_batch_have_its_id_but_for_the_end_and_its_order() {
        let batch = BatchId::new();
        let ids: Vec<TaskId> = (0..300).map(|index| batch.task(index)).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| BatchId::of(*id) == batch));
        assert!(ids.iter().all(|id| id.to_string()[..32] == batch.to_string()[..32]));
        assert_ne!(BatchId::new(), batch);
    }

    #[test]
    fn only_a_batchs_own_id_is_one() {
        let batch = BatchId::new();
        assert_eq!(batch.to_string().parse(), Ok(batch));
        for wrong in [batch.task(0).to_string(), batch.to_string().to_uppercase(), String::new(), "ffff".to_owned()] {
            assert!(wrong.parse::<BatchId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_task_of_a_key_is_the_one_that_a_single_submit_would_make() {
        let id = TaskId::from_digest([7; 32]);
        assert_eq!(BatchId::of(id).task(0), id);
    }
}

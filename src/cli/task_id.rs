//! Ids as they are typed.

use super::fault::Fault;
use crate::task::TaskId;

/// Refuses what is no task id: it would be part of a path.
pub(super) fn check_ids(ids: &[String]) -> Result<(), Fault> {
    match ids.iter().find(|id| id.parse::<TaskId>().is_err()) {
        Some(id) => Err(Fault::NotFound(format!("`{id}` is no task id"))),
        None => Ok(()),
    }
}

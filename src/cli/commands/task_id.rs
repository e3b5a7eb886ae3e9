//! Ids as they are typed.

use crate::{
    cli::client::error::Fault,
    task::{BatchId, TaskId},
};

/// Refuses what is no task id: it would be part of a path.
pub(crate) fn check_ids(ids: &[String]) -> Result<(), Fault> {
    match ids.iter().find(|id| id.parse::<TaskId>().is_err()) {
        Some(id) => Err(Fault::NotFound(format!("`{id}` is no task id"))),
        None => Ok(()),
    }
}

/// About a task that is not there, and perhaps a batch.
pub(crate) fn about(fault: Fault, id: &str) -> Fault {
    match fault.about(id) {
        Fault::NotFound(why) if id.parse::<BatchId>().is_ok() => {
            Fault::NotFound(format!("{why}; of a batch: shuzhiren batches show {id}"))
        }
        fault => fault,
    }
}

//! Task ids on the command line.

use crate::{
    cli::client::error::Fault,
    task::{BatchId, TaskId},
};

/// Checks that all ids are task ids, because they become part of a path.
pub(crate) fn check_ids(ids: &[String]) -> Result<(), Fault> {
    match ids.iter().find(|id| id.parse::<TaskId>().is_err()) {
        Some(id) => Err(Fault::NotFound(format!("`{id}` is not a task id"))),
        None => Ok(()),
    }
}

/// Adds the id to an error; if a task was not found, also how to show a batch of that id.
pub(crate) fn about(fault: Fault, id: &str) -> Fault {
    match fault.about(id) {
        Fault::NotFound(why) if id.parse::<BatchId>().is_ok() => {
            Fault::NotFound(format!("{why}; if it is a batch: shuzhiren batches show {id}"))
        }
        fault => fault,
    }
}

//! Arguments that name several things: checks of ids, and a command run for each argument.

use crate::{
    cli::{error::Error, term::output},
    task::{BatchId, TaskId},
};

/// Checks that all ids are task ids, because they become part of a path.
pub(crate) fn check_ids(ids: &[String]) -> Result<(), Error> {
    match ids.iter().find(|id| id.parse::<TaskId>().is_err()) {
        Some(id) => Err(Error::NotFound(format!("`{id}` is not a task id"))),
        None => Ok(()),
    }
}

/// Adds the id to an error; if a task was not found, also how to show a batch of that id.
pub(crate) fn about(error: Error, id: &str) -> Error {
    match error.about(id) {
        Error::NotFound(why) if id.parse::<BatchId>().is_ok() => {
            Error::NotFound(format!("{why}; if it is a batch: shuzhiren batches show {id}"))
        }
        error => error,
    }
}

/// Runs `act` for each item, also after an error. The first error becomes the result of the command.
pub(crate) async fn each<T>(things: &[T], act: impl AsyncFn(&T) -> Result<(), Error>) -> Result<(), Error> {
    let mut first = None;
    for thing in things {
        match act(thing).await {
            Ok(()) => {}
            Err(Error::ReaderGone) => return Err(Error::ReaderGone),
            Err(error) if first.is_none() => first = Some(error),
            Err(error) => output::hint(&format!("error: {error}")),
        }
    }
    first.map_or(Ok(()), Err)
}

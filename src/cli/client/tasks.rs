//! REST calls about tasks and batches that several commands make.

use super::{
    envelope::Answer,
    pagination::Pages,
    rest::{Api, Repeat},
};
use crate::{cli::error::Error, task::BatchId};
use reqwest::Method;

/// Cancels a task. If it is refused, the task is read: it may have been cancelled by a first request whose answer was
/// lost.
pub(crate) async fn cancel_task(api: &Api, id: &str) -> Result<Answer, Error> {
    let path = format!("/api/tasks/{id}");
    match api.call(Repeat::Safe, async || Ok(api.request(Method::DELETE, &path))).await {
        Err(Error::Refused(why)) => match api.get(&path).await {
            Ok(task) if task.text("status") == "cancelled" => Ok(task),
            _ => Err(Error::Refused(why)),
        },
        answer => answer,
    }
}

/// Reads a batch.
pub(crate) async fn find_batch(api: &Api, id: BatchId) -> Result<Answer, Error> {
    api.get(&format!("/api/batches/{id}")).await
}

/// Cancels the tasks of a batch that have not ended. Idempotent.
pub(crate) async fn cancel_batch(api: &Api, id: BatchId) -> Result<Answer, Error> {
    let path = format!("/api/batches/{id}");
    api.call(Repeat::Safe, async || Ok(api.request(Method::DELETE, &path))).await
}

/// Reads the tasks of a batch that still exist, as list items in the order of the batch.
pub(crate) async fn tasks_of_batch(api: &Api, id: BatchId) -> Result<Vec<Answer>, Error> {
    let mut pages = Pages::new(api, format!("/api/tasks?batchId={id}"));
    let mut tasks = Vec::new();
    while let Some(items) = pages.next().await? {
        tasks.extend(items);
    }
    // Lists start with the newest.
    tasks.reverse();
    Ok(tasks)
}

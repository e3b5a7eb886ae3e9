//! Tasks to follow, given by task or batch id.

use crate::{
    cli::{
        client::{
            envelope::Answer,
            error::Fault,
            rest::{Api, Repeat},
        },
        commands::{batches, task_id::check_ids},
        term::{format::text, output},
    },
    task::BatchId,
};
use reqwest::Method;
use serde_json::Value;
use std::collections::HashSet;

/// Tasks to follow, and the ids that named them.
pub(crate) struct Watched {
    named: Vec<Named>,
    tasks: Vec<String>,
}

enum Named {
    Task(String),
    Batch(BatchId),
}

impl Watched {
    /// Creates the target of one task.
    pub(crate) fn task(id: &str) -> Self {
        Self { named: vec![Named::Task(id.to_owned())], tasks: vec![id.to_owned()] }
    }

    /// Creates the targets of a batch from the answer to its submit.
    pub(crate) fn batch(id: &str, tasks: &Value) -> Self {
        let named = id.parse().map_or_else(|_| Named::Task(id.to_owned()), Named::Batch);
        let tasks = tasks.as_array().into_iter().flatten().map(|task| text(task, "id").to_owned());
        Self { named: vec![named], tasks: tasks.collect() }
    }

    /// Looks up ids of tasks and batches. Each task is followed once, even if it is named twice.
    pub(crate) async fn look_up(api: &Api, ids: &[String]) -> Result<Self, Fault> {
        check_ids(ids)?;
        let (mut watched, mut seen) = (Self { named: Vec::new(), tasks: Vec::new() }, HashSet::new());
        for id in ids {
            let batch = match id.parse::<BatchId>() {
                // The id of a single task may look like that of a batch.
                Ok(batch) => found(batches::find(api, batch).await)?.map(|_| batch),
                Err(_) => None,
            };
            let tasks = match batch {
                Some(batch) => {
                    batches::tasks_of(api, batch).await?.iter().map(|task| task.text("id").to_owned()).collect()
                }
                None => vec![id.clone()],
            };
            watched.named.push(batch.map_or_else(|| Named::Task(id.clone()), Named::Batch));
            watched.tasks.extend(tasks.into_iter().filter(|task| seen.insert(task.clone())));
        }
        Ok(watched)
    }

    /// Returns the tasks, in their order.
    pub(crate) fn tasks(&self) -> &[String] {
        &self.tasks
    }

    /// Returns the batches among the targets.
    pub(crate) fn batches(&self) -> impl Iterator<Item = BatchId> {
        self.named.iter().filter_map(|named| match named {
            Named::Batch(id) => Some(*id),
            Named::Task(_) => None,
        })
    }

    /// Returns the ids as given, for `shuzhiren watch`.
    pub(crate) fn name(&self) -> String {
        let names = self.named.iter().map(|named| match named {
            Named::Task(id) => id.clone(),
            Named::Batch(id) => id.to_string(),
        });
        names.collect::<Vec<_>>().join(" ")
    }

    /// Returns the number of tasks as text: `1 task`, `6 tasks`.
    pub(crate) fn size(&self) -> String {
        if let [_] = self.tasks.as_slice() { "1 task".to_owned() } else { format!("{} tasks", self.tasks.len()) }
    }

    /// Cancels all tasks that have not ended, and reports each on standard error.
    pub(crate) async fn cancel(&self, api: &Api) {
        for named in &self.named {
            let (id, done) = match named {
                Named::Task(id) => (id.clone(), cancel(api, id).await),
                Named::Batch(id) => (id.to_string(), batches::cancel(api, *id).await),
            };
            match done {
                Ok(_) => output::hint(&format!("{id} cancelled")),
                // It has already ended.
                Err(Fault::Refused(why)) => output::hint(&format!("{id}: {why}")),
                Err(fault) => output::hint(&format!("error: {id}: {fault}")),
            }
        }
    }
}

fn found(answer: Result<Answer, Fault>) -> Result<Option<Answer>, Fault> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Fault::NotFound(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Cancels a task. If it is refused, the task is read: it may have been cancelled by a first request whose answer was lost.
pub(crate) async fn cancel(api: &Api, id: &str) -> Result<Answer, Fault> {
    let path = format!("/api/tasks/{id}");
    match api.call(Repeat::Safe, async || Ok(api.request(Method::DELETE, &path))).await {
        Err(Fault::Refused(why)) => match api.get(&path).await {
            Ok(task) if task.text("status") == "cancelled" => Ok(task),
            _ => Err(Fault::Refused(why)),
        },
        answer => answer,
    }
}

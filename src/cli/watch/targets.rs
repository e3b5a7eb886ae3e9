//! Tasks to follow, given by task or batch id.

use crate::{
    cli::{
        client::{
            envelope::Answer,
            rest::Api,
            tasks::{cancel_batch, cancel_task, find_batch, tasks_of_batch},
        },
        error::Error,
        term::{format::text, output},
    },
    task::BatchId,
};
use serde_json::Value;
use std::collections::HashSet;

/// Tasks to follow, and the ids that named them.
pub(crate) struct Targets {
    named: Vec<Target>,
    tasks: Vec<String>,
}

enum Target {
    Task(String),
    Batch(BatchId),
}

impl Targets {
    /// Creates the target of one task.
    pub(crate) fn task(id: &str) -> Self {
        Self { named: vec![Target::Task(id.to_owned())], tasks: vec![id.to_owned()] }
    }

    /// Creates the targets of a batch from the answer to its submit.
    pub(crate) fn batch(id: &str, answer: &Value) -> Self {
        let listed = || answer["tasks"].as_array().into_iter().flatten().map(|task| text(task, "id").to_owned());
        let Ok(batch) = id.parse::<BatchId>() else {
            return Self { named: vec![Target::Task(id.to_owned())], tasks: listed().collect() };
        };
        // An answer that would be too large does not list all tasks.
        let count = answer["count"].as_u64().filter(|_| answer["truncated"] == true);
        let count = count.and_then(|count| u16::try_from(count).ok());
        let tasks = match count {
            Some(count) => (0..count).map(|index| batch.task(index).to_string()).collect(),
            None => listed().collect(),
        };
        Self { named: vec![Target::Batch(batch)], tasks }
    }

    /// Looks up ids of tasks and batches. Each task is followed once, even if it is named twice.
    pub(crate) async fn look_up(api: &Api, ids: &[String]) -> Result<Self, Error> {
        let (mut targets, mut seen) = (Self { named: Vec::new(), tasks: Vec::new() }, HashSet::new());
        for id in ids {
            let batch = match id.parse::<BatchId>() {
                // The id of a single task may look like that of a batch.
                Ok(batch) => found(find_batch(api, batch).await)?.map(|_| batch),
                Err(_) => None,
            };
            let tasks = match batch {
                Some(batch) => {
                    tasks_of_batch(api, batch).await?.iter().map(|task| task.text("id").to_owned()).collect()
                }
                None => vec![id.clone()],
            };
            targets.named.push(batch.map_or_else(|| Target::Task(id.clone()), Target::Batch));
            targets.tasks.extend(tasks.into_iter().filter(|task| seen.insert(task.clone())));
        }
        Ok(targets)
    }

    /// Returns the tasks, in their order.
    pub(crate) fn tasks(&self) -> &[String] {
        &self.tasks
    }

    /// Returns the batches among the targets.
    pub(crate) fn batches(&self) -> impl Iterator<Item = BatchId> {
        self.named.iter().filter_map(|named| match named {
            Target::Batch(id) => Some(*id),
            Target::Task(_) => None,
        })
    }

    /// Returns the ids as given, for `shuzhiren watch`.
    pub(crate) fn name(&self) -> String {
        let names = self.named.iter().map(|named| match named {
            Target::Task(id) => id.clone(),
            Target::Batch(id) => id.to_string(),
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
                Target::Task(id) => (id.clone(), cancel_task(api, id).await),
                Target::Batch(id) => (id.to_string(), cancel_batch(api, *id).await),
            };
            match done {
                Ok(_) => output::hint(&format!("{id} cancelled")),
                // It has already ended.
                Err(Error::Refused(why)) => output::hint(&format!("{id}: {why}")),
                Err(error) => output::hint(&format!("error: {id}: {error}")),
            }
        }
    }
}

fn found(answer: Result<Answer, Error>) -> Result<Option<Answer>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

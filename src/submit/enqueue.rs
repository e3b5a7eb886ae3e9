//! The last step of a submission: its tasks are written to the queue, all of them or none.

use super::{Error, Request, Result, expand::Expansion, template::Draft};
use crate::{
    queue::{BatchEnqueued, Enqueued, PackedTask, Queue},
    settings::limits::BATCH_BYTES_MAX,
    task::{BatchId, BatchPlace, NewTask, Payload, Task, TaskFacts, TaskId},
};

/// Result of a submission.
#[derive(Debug)]
pub struct Submitted {
    /// Task or batch, as it is now.
    pub accepted: Accepted,
    /// Whether an earlier request with the same idempotency key made the tasks.
    pub is_replay: bool,
}

/// Tasks of an accepted submission.
#[derive(Debug)]
pub enum Accepted {
    /// A single task.
    Task(Box<Task>),
    /// A batch.
    Batch {
        /// Id of the batch.
        id: BatchId,
        /// Tasks it was made with.
        count: u16,
        /// Tasks in their order; of a replayed batch those that still exist.
        tasks: Vec<Task>,
    },
}

impl Accepted {
    /// Returns the tasks in their order.
    pub fn tasks(&self) -> &[Task] {
        match self {
            Self::Task(task) => std::slice::from_ref(task),
            Self::Batch { tasks, .. } => tasks,
        }
    }
}

/// Tasks that are ready to be enqueued.
pub(super) enum ReadyTasks {
    One(Box<NewTask>),
    Batch(Vec<PackedTask>),
}

impl ReadyTasks {
    /// Makes the tasks of a plan ready: the first one from its draft, the others are packed already.
    pub(super) async fn new(queue: &Queue, request: &Request, first: Draft, rest: Vec<PackedTask>) -> Result<Self> {
        let Some(expansion) = &request.submission.expansion else {
            return Ok(Self::One(Box::new(new_task(request, 0, first)?)));
        };
        let mut tasks = Vec::with_capacity(1 + rest.len());
        tasks.push(queue.pack(new_task(request, 0, first)?).await?);
        tasks.extend(rest);
        refuse_too_large(expansion, tasks.iter().map(PackedTask::size).sum())?;
        Ok(Self::Batch(tasks))
    }

    /// Enqueues all tasks or none.
    pub(super) async fn enqueue(self, queue: &Queue, request: &Request) -> Result<Submitted> {
        // Without a key, a replay is our own repetition of a call whose reply was lost: new to the caller.
        let is_replay = request.is_keyed;
        match self {
            Self::One(task) => match queue.enqueue(&task).await? {
                Enqueued::Created(task) => Ok(Submitted { accepted: Accepted::Task(task), is_replay: false }),
                Enqueued::Replayed(task) => Ok(Submitted { accepted: Accepted::Task(task), is_replay }),
                Enqueued::Conflict => Err(Error::KeyReused),
                Enqueued::Full(wait) => Err(Error::QueueFull(wait)),
                Enqueued::OverQuota(exceeded) => Err(Error::WaitingQuota(exceeded)),
                Enqueued::NoSuchFile(id) => Err(Error::NoSuchFile(id)),
            },
            Self::Batch(tasks) => match queue.enqueue_batch(&tasks).await? {
                BatchEnqueued::Created(tasks) => Ok(Submitted { accepted: request.batch(tasks), is_replay: false }),
                BatchEnqueued::Replayed(tasks) => Ok(Submitted { accepted: request.batch(tasks), is_replay }),
                BatchEnqueued::Conflict => Err(Error::KeyReused),
                BatchEnqueued::Full(wait) => Err(Error::QueueFull(wait)),
                BatchEnqueued::OverQuota(exceeded) => Err(Error::WaitingQuota(exceeded)),
                BatchEnqueued::NoSuchFile(id) => Err(Error::NoSuchFile(id)),
            },
        }
    }
}

impl Submitted {
    /// Returns the tasks that an earlier request with the same key made: of a batch those that still exist. `None` if
    /// there was no such request, or its single task no longer exists.
    ///
    /// # Errors
    /// [`Error::KeyReused`] if the earlier request had another body.
    pub(super) async fn earlier(queue: &Queue, request: &Request) -> Result<Option<Self>> {
        if !request.is_keyed {
            return Ok(None);
        }
        match queue.was_accepted(request.id, &request.fingerprint).await? {
            None => Ok(None),
            Some(false) => Err(Error::KeyReused),
            Some(true) => {
                let accepted = match &request.submission.expansion {
                    None => queue.task(request.id).await?.map(|task| Accepted::Task(Box::new(task))),
                    Some(expansion) => {
                        let ids: Vec<TaskId> =
                            (0..expansion.task_count()).map(|index| request.task_id(index)).collect();
                        Some(request.batch(queue.all_entries(&ids).await?))
                    }
                };
                Ok(accepted.map(|accepted| Self { accepted, is_replay: true }))
            }
        }
    }
}

impl Request {
    /// Returns the id of the task at `index`.
    fn task_id(&self, index: u16) -> TaskId {
        match self.submission.expansion {
            None => self.id,
            Some(_) => BatchId::of(self.id).task(index),
        }
    }

    fn batch(&self, tasks: Vec<Task>) -> Accepted {
        let count = self.submission.expansion.as_ref().map_or(1, |expansion| expansion.task_count());
        Accepted::Batch { id: BatchId::of(self.id), count, tasks }
    }
}

/// Refuses a batch whose packed tasks are larger than Redis should get at once.
pub(super) fn refuse_too_large(expansion: &Expansion<'_>, bytes: usize) -> Result<()> {
    if bytes <= BATCH_BYTES_MAX {
        return Ok(());
    }
    let count = expansion.task_count();
    Err(Error::batch_too_large(format!(
        "{count} tasks of this workflow are more than {BATCH_BYTES_MAX} bytes: make smaller batches"
    )))
}

/// Packs the task at `index` on this thread: compressed, without its graph in memory.
pub(super) fn pack(request: &Request, index: u16, draft: Draft) -> Result<PackedTask> {
    Ok(PackedTask::new(new_task(request, index, draft)?)?)
}

fn new_task(request: &Request, index: u16, draft: Draft) -> Result<NewTask> {
    let submission = &request.submission;
    let facts = TaskFacts {
        metadata: submission.metadata.clone(),
        seeds: draft.seeds,
        mapped: draft.mapped,
        warnings: draft.warnings,
        timeout_ms: submission.timeout_ms,
        eligible: draft.eligible.unwrap_or_default(),
        workflow: draft.published,
        batch: submission.expansion.as_ref().map(|expansion| BatchPlace { index, size: expansion.task_count() }),
        needs: draft.needs,
        workflow_hash: Some(draft.workflow_hash).filter(|hash| !hash.is_empty()),
        nodes_total: draft.nodes_total,
    };
    let id = request.task_id(index);
    Ok(NewTask {
        id,
        keys: request.encrypted_keys(id)?,
        owner: request.caller.username.clone(),
        is_unlisted: request.caller.only_owner().is_none(),
        priority: submission.priority,
        fingerprint: request.fingerprint.clone(),
        max_attempts: submission.max_attempts,
        start_by_ms: submission.start_by_ms,
        payload: Payload {
            workflow: draft.workflow,
            params: draft.params,
            original: draft.original,
            files: draft.files,
            is_editor: draft.is_editor,
            png_info: draft.png_info,
        },
        facts,
    })
}

//! Batches: tasks that are accepted all or none by one call, and read and cancelled together.

use super::{
    enqueue_batcher::{self, FIELDS},
    task_hash::created,
    verbs::status_words,
};
use crate::{
    metrics,
    queue::{
        Error, Queue, QuotaExceeded, Result, TaskPage, TaskQuery, compression,
        redis::{
            script_call::{Reply, ms, number, switch},
            scripts::Verb,
        },
    },
    settings::limits,
    task::{BatchId, FileId, NewTask, Payload, Status, Task, TaskFacts, TaskId},
};
use fred::types::Value;
use serde_json::value::RawValue;
use std::time::Duration;

/// Tasks cancelled by one script call: a few milliseconds of Redis.
const CANCELS: u64 = 100;

/// A task whose payload is already compressed, so that a thousand of them fit in memory.
#[derive(Debug)]
pub struct PackedTask {
    fields: enqueue_batcher::Fields,
    /// The task with an empty payload.
    new: NewTask,
}

impl PackedTask {
    /// Compresses a task on this thread, for [`Queue::enqueue_batch`]. A large one takes tens of milliseconds.
    pub fn new(new: NewTask) -> Result<Self> {
        let fields = enqueue_batcher::fields_of(&new, compression::pack_here(&new.payload)?)?;
        Ok(Self::of(fields, new))
    }

    fn of(fields: enqueue_batcher::Fields, new: NewTask) -> Self {
        let null = || RawValue::NULL.to_owned();
        let payload = Payload {
            workflow: null(),
            params: null(),
            original: None,
            files: Vec::new(),
            is_editor: false,
            png_info: None,
        };
        Self { fields, new: NewTask { payload, ..new } }
    }

    /// Returns the number of bytes sent to Redis.
    pub fn size(&self) -> usize {
        self.fields.iter().map(|field| field.as_bytes().map_or(0, <[u8]>::len)).sum()
    }
}

/// Answer of [`Queue::enqueue_batch`].
#[derive(Debug, Clone)]
pub enum BatchEnqueued {
    /// All tasks, accepted at the configured durability, in the order given.
    Created(Vec<Task>),
    /// The same request was accepted before; its tasks that are still kept, with long outputs cut.
    Replayed(Vec<Task>),
    /// An id exists with another fingerprint (same Idempotency-Key, other body).
    Conflict,
    /// The queue has no room for all of them; retry after this time.
    Full(Duration),
    /// The payloads of the waiting tasks would exceed this quota of bytes.
    OverQuota(QuotaExceeded),
    /// A file of one of the tasks does not exist or was deleted.
    NoSuchFile(FileId),
}

/// Answer of [`Queue::batch`]: overview of a batch's tasks.
#[derive(Debug, Clone)]
pub struct BatchOverview {
    /// Owner of the batch.
    pub owner: String,
    /// Time of acceptance, Unix ms.
    pub created_ms: u64,
    /// Time of the last change of any task, Unix ms.
    pub updated_ms: u64,
    /// Facts of one of the tasks.
    pub facts: TaskFacts,
    /// Number of kept tasks by status, in the order of [`Status::ALL`].
    pub counts: [u64; 5],
    /// Sum of the tasks' percentages; an ended task counts as 100.
    pub percent_sum: u64,
}

impl Queue {
    /// Compresses a task for [`Queue::enqueue_batch`].
    pub async fn pack(&self, new: NewTask) -> Result<PackedTask> {
        let fields = enqueue_batcher::fields(&new).await?;
        Ok(PackedTask::of(fields, new))
    }

    /// Accepts all tasks or none, at most once. Their ids belong to one [`BatchId`]; at most 1,000. One round trip,
    /// about 50 µs of Redis for each task.
    pub async fn enqueue_batch(&self, tasks: &[PackedTask]) -> Result<BatchEnqueued> {
        if let Err(full) = self.check_memory() {
            return self.batch_accepted_earlier(tasks, full).await;
        }
        let mut args = Vec::with_capacity(4 + tasks.len() * FIELDS);
        args.extend([number(self.limits().waiting_max), number(FIELDS as u64)]);
        args.extend(self.payload_quota().args());
        args.extend(tasks.iter().flat_map(|task| task.fields.iter().cloned()));
        let mut reply = match self.call_durably(Verb::EnqueueBatch, args).await {
            Err(full @ Error::MemoryFull(_)) => return self.batch_accepted_earlier(tasks, full).await,
            reply => reply?,
        };
        match reply.tag() {
            "created" => {
                let now_ms = reply.parse()?;
                Ok(BatchEnqueued::Created(tasks.iter().map(|task| created(&task.new, now_ms)).collect()))
            }
            "replayed" => Ok(BatchEnqueued::Replayed(self.all_entries(&ids_of(tasks)).await?)),
            "conflict" => Ok(BatchEnqueued::Conflict),
            "full" => Ok(BatchEnqueued::Full(Duration::from_secs(limits::RETRY_AFTER_SECONDS))),
            "over_quota" => Ok(BatchEnqueued::OverQuota(self.payload_quota().exceeded(&mut reply)?)),
            "no_such_file" => Ok(BatchEnqueued::NoSuchFile(reply.parse()?)),
            _ => Err(reply.unexpected()),
        }
    }

    /// Answers a batch while the memory of Redis is full: as a repeat if it was accepted before.
    async fn batch_accepted_earlier(&self, tasks: &[PackedTask], full: Error) -> Result<BatchEnqueued> {
        let ids = ids_of(tasks);
        // Some tasks may have been deleted since.
        let known = self.versions(&ids).await?.iter().position(Option::is_some);
        let Some(known) = known.map(|index| &tasks[index].new) else { return Err(full) };
        match self.was_accepted(known.id, &known.fingerprint).await? {
            None => Err(full),
            Some(false) => Ok(BatchEnqueued::Conflict),
            Some(true) => {
                self.confirm_earlier().await?;
                Ok(BatchEnqueued::Replayed(self.all_entries(&ids).await?))
            }
        }
    }

    /// Returns whether a task with this id was accepted: `Some(true)` from a request with this fingerprint, `Some(false)`
    /// from a different request.
    pub async fn was_accepted(&self, id: TaskId, fingerprint: &str) -> Result<Option<bool>> {
        let known: Option<String> =
            self.command("HGET", vec![self.root().task(id).into(), "fingerprint".into()]).await?;
        Ok(known.map(|known| known == fingerprint))
    }

    /// Summarises a batch; `None` when none of its tasks is kept.
    pub async fn batch(&self, id: BatchId) -> Result<Option<BatchOverview>> {
        let mut reply = self.call(Verb::Batch, vec![id_arg(id)]).await?;
        match reply.tag() {
            "batch" => overview(&mut reply).map(Some),
            "not_found" => Ok(None),
            _ => Err(reply.unexpected()),
        }
    }

    /// Returns one page of a batch's tasks, the last first. Ignores the query's `failures` and `workflow`.
    pub async fn batch_tasks(&self, id: BatchId, query: &TaskQuery) -> Result<TaskPage> {
        let args = vec![
            id_arg(id),
            status_words(&query.statuses).into(),
            query.owner.clone().unwrap_or_default().into(),
            switch(query.owner.is_some()),
            number(if query.cursor.is_some() { 0 } else { query.offset.min(1 << 20) }),
            number(query.limit.clamp(1, limits::PAGE_MAX)),
            query.cursor.map(|cursor| cursor.id.to_string()).unwrap_or_default().into(),
        ];
        let reply = self.call(Verb::BatchList, args).await?;
        self.page(reply).await
    }

    /// Cancels every task of a batch that has not ended, and returns their number. Idempotent.
    pub async fn cancel_batch(&self, id: BatchId) -> Result<u64> {
        let mut cancelled = 0;
        loop {
            let (count, is_more) = self.cancel_some(id, CANCELS).await?;
            cancelled += count;
            if !is_more {
                return Ok(cancelled);
            }
        }
    }

    /// Cancels at most `limit` tasks of a batch, the last first. Returns their number and whether more are left.
    pub async fn cancel_some(&self, id: BatchId, limit: u64) -> Result<(u64, bool)> {
        let args = vec![id_arg(id), ms(self.limits().keep_tasks), number(limit)];
        let mut reply = self.call_durably(Verb::BatchCancel, args).await?;
        let count: u64 = reply.parse()?;
        (0..count).for_each(|_| metrics::task_ended("cancelled"));
        Ok((count, reply.parse::<u8>()? == 1))
    }
}

fn ids_of(tasks: &[PackedTask]) -> Vec<TaskId> {
    tasks.iter().map(|task| task.new.id).collect()
}

fn id_arg(id: BatchId) -> Value {
    id.to_string().into()
}

fn overview(reply: &mut Reply) -> Result<BatchOverview> {
    let (owner, created_ms, updated_ms) = (reply.parse()?, reply.parse()?, reply.parse()?);
    let facts: String = reply.parse()?;
    let facts = serde_json::from_str(&facts).map_err(|_| reply.unexpected())?;
    let mut counts = [0; Status::ALL.len()];
    for count in &mut counts {
        *count = reply.parse()?;
    }
    Ok(BatchOverview { owner, created_ms, updated_ms, facts, counts, percent_sum: reply.parse()? })
}

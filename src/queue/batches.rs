//! Batches: many tasks accepted by one call or none of them, read and cancelled together.

use super::{
    Queue, Result, TaskPage, TaskQuery,
    call::{Reply, ms, number, switch},
    hash::created,
    intake::{self, FIELDS},
    scripts::Verb,
    tasks::{page, words},
};
use crate::{
    metrics,
    settings::limits,
    task::{BatchId, FileId, NewTask, Payload, Status, Task, TaskFacts, TaskId},
};
use fred::{interfaces::HashesInterface, types::Value};
use serde_json::value::RawValue;
use std::time::Duration;

/// Tasks cancelled by one call: some milliseconds of Redis.
const CANCELS: u64 = 100;

/// A task ready to be sent: its payload is packed already, so that a thousand of them are small.
#[derive(Debug)]
pub struct PackedTask {
    fields: intake::Fields,
    /// Without its payload.
    new: NewTask,
}

impl PackedTask {
    /// Bytes that Redis gets.
    pub fn size(&self) -> usize {
        self.fields.iter().map(|field| field.as_bytes().map_or(0, <[u8]>::len)).sum()
    }
}

/// Answer of [`Queue::enqueue_batch`].
#[derive(Debug, Clone)]
pub enum BatchEnqueued {
    /// All accepted at the configured durability, in their order.
    Created(Vec<Task>),
    /// The same request was accepted before; those of its tasks that are still kept.
    Replayed(Vec<Task>),
    /// An id exists with another fingerprint (same Idempotency-Key, other body).
    Conflict,
    /// They are too many for the queue now; try again after this.
    Full(Duration),
    /// A file of theirs does not exist (any more).
    NoSuchFile(FileId),
}

/// Answer of [`Queue::batch`]: what stands of a batch.
#[derive(Debug, Clone)]
pub struct BatchStand {
    /// Whose.
    pub owner: String,
    /// Accepted, Unix ms.
    pub created_ms: u64,
    /// Last change of any of its tasks, Unix ms.
    pub updated_ms: u64,
    /// Of one of its tasks.
    pub facts: TaskFacts,
    /// Tasks that are kept, in the order of [`Status::ALL`].
    pub counts: [u64; 5],
    /// Percents of all of them together; an ended task counts as 100.
    pub percent_sum: u64,
}

impl Queue {
    /// Readies a task for [`Queue::enqueue_batch`].
    pub async fn pack(&self, new: NewTask) -> Result<PackedTask> {
        let fields = intake::fields(&new).await?;
        let null = || RawValue::NULL.to_owned();
        let payload = Payload { workflow: null(), params: null(), original: None, files: Vec::new() };
        Ok(PackedTask { fields, new: NewTask { payload, ..new } })
    }

    /// Accepts all tasks or none, at most once; their ids are those of one [`BatchId`], at most 1,000. One round trip, of some
    /// 50 µs of Redis for each task.
    pub async fn enqueue_batch(&self, tasks: &[PackedTask]) -> Result<BatchEnqueued> {
        let mut args = Vec::with_capacity(2 + tasks.len() * FIELDS);
        args.extend([number(self.limits().waiting_max), number(FIELDS as u64)]);
        args.extend(tasks.iter().flat_map(|task| task.fields.iter().cloned()));
        let mut reply = self.call_durably(Verb::EnqueueBatch, args).await?;
        match reply.tag() {
            "created" => {
                let now_ms = reply.parse()?;
                Ok(BatchEnqueued::Created(tasks.iter().map(|task| created(&task.new, now_ms)).collect()))
            }
            "replayed" => {
                let ids: Vec<TaskId> = tasks.iter().map(|task| task.new.id).collect();
                Ok(BatchEnqueued::Replayed(self.tasks(&ids).await?.into_iter().flatten().collect()))
            }
            "conflict" => Ok(BatchEnqueued::Conflict),
            "full" => Ok(BatchEnqueued::Full(Duration::from_secs(limits::RETRY_AFTER_SECONDS))),
            "no_such_file" => Ok(BatchEnqueued::NoSuchFile(reply.parse()?)),
            _ => Err(reply.unexpected()),
        }
    }

    /// Whether a task with this id was accepted: `Some(true)` from the request with this fingerprint, `Some(false)` from another.
    pub async fn was_accepted(&self, id: TaskId, fingerprint: &str) -> Result<Option<bool>> {
        let known: Option<String> = super::call::within(self.pool().hget(self.root().task(id), "fingerprint")).await?;
        Ok(known.map(|known| known == fingerprint))
    }

    /// What stands of a batch; `None` when none of its tasks is kept.
    pub async fn batch(&self, id: BatchId) -> Result<Option<BatchStand>> {
        let mut reply = self.call(Verb::Batch, vec![name(id)]).await?;
        match reply.tag() {
            "batch" => stand(&mut reply).map(Some),
            "not_found" => Ok(None),
            _ => Err(reply.unexpected()),
        }
    }

    /// One page of a batch's tasks, the last first; of the query's `failures` and `flow` nothing is read.
    pub async fn batch_tasks(&self, id: BatchId, query: &TaskQuery) -> Result<TaskPage> {
        let args = vec![
            name(id),
            words(&query.statuses).into(),
            query.owner.clone().unwrap_or_default().into(),
            switch(query.owner.is_some()),
            number(if query.cursor.is_some() { 0 } else { query.offset.min(1 << 20) }),
            number(query.limit.clamp(1, limits::PAGE_MAX)),
            query.cursor.map(|cursor| cursor.id.to_string()).unwrap_or_default().into(),
        ];
        page(self.call(Verb::BatchList, args).await?)
    }

    /// Cancels every task of a batch that has not ended; gives how many that were. Said twice it does it once.
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

    /// The same for at most `limit` of them, the last first; gives also whether more are left.
    pub async fn cancel_some(&self, id: BatchId, limit: u64) -> Result<(u64, bool)> {
        let args = vec![name(id), ms(self.limits().keep_tasks), number(limit)];
        let mut reply = self.call_durably(Verb::BatchCancel, args).await?;
        let count: u64 = reply.parse()?;
        (0..count).for_each(|_| metrics::task_ended("cancelled"));
        Ok((count, reply.parse::<u8>()? == 1))
    }
}

fn name(id: BatchId) -> Value {
    id.to_string().into()
}

fn stand(reply: &mut Reply) -> Result<BatchStand> {
    let (owner, created_ms, updated_ms) = (reply.parse()?, reply.parse()?, reply.parse()?);
    let facts: String = reply.parse()?;
    let facts = serde_json::from_str(&facts).map_err(|_| reply.unexpected())?;
    let mut counts = [0; Status::ALL.len()];
    for count in &mut counts {
        *count = reply.parse()?;
    }
    Ok(BatchStand { owner, created_ms, updated_ms, facts, counts, percent_sum: reply.parse()? })
}

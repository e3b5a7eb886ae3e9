//! Verbs of the API: enqueue, read, list, cancel, revive, count.

use super::{
    enqueue_batcher,
    task_hash::{Fields, comma_list, created},
};
use crate::{
    fleet::{Counts, FileTotals, Total},
    metrics,
    queue::{
        Cancelled, Enqueued, Error, Queue, Result, Revived, TaskPage, TaskQuery, WaitFacts,
        redis::{
            script_call::{Reply, ms, number, switch},
            scripts::Verb,
        },
    },
    settings::limits,
    task::{NewTask, Payload, Priority, Status, Task, TaskId, TaskState, WorkflowName},
};
use fred::types::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Largest offset sent to a script; it is past the end of every list.
const OFFSET_MAX: u64 = 1 << 50;

impl Queue {
    /// Accepts a task, at most once per id. One round trip (plus WAIT at durability `replica`).
    pub async fn enqueue(&self, new: &NewTask) -> Result<Enqueued> {
        if let Err(full) = self.check_memory() {
            return self.accepted_earlier(new, full).await;
        }
        let mut reply = match self.batcher().accept(enqueue_batcher::fields(new).await?).await {
            Err(full @ Error::MemoryFull(_)) => return self.accepted_earlier(new, full).await,
            reply => reply?,
        };
        match reply.tag() {
            "created" => Ok(Enqueued::Created(Box::new(created(new, reply.parse()?)))),
            "replayed" => Ok(Enqueued::Replayed(Box::new(one_task(new.id, &mut reply)?))),
            "conflict" => Ok(Enqueued::Conflict),
            "full" => Ok(Enqueued::Full(Duration::from_secs(limits::RETRY_AFTER_SECONDS))),
            "over_quota" => Ok(Enqueued::OverQuota(self.payload_quota().exceeded(&mut reply)?)),
            "no_such_file" => Ok(Enqueued::NoSuchFile(reply.parse()?)),
            _ => Err(reply.unexpected()),
        }
    }

    /// Answers a request while the memory of Redis is full: as a repeat if it was accepted before.
    async fn accepted_earlier(&self, new: &NewTask, full: Error) -> Result<Enqueued> {
        match self.was_accepted(new.id, &new.fingerprint).await? {
            None => Err(full),
            Some(false) => Ok(Enqueued::Conflict),
            Some(true) => {
                self.confirm_earlier().await?;
                let task = self.task(new.id).await?;
                task.map(|task| Enqueued::Replayed(Box::new(task))).ok_or(full)
            }
        }
    }

    /// Returns once all writes before this call have the configured durability.
    pub(super) async fn confirm_earlier(&self) -> Result<()> {
        self.call_durably(Verb::ReplicationMark, Vec::new()).await.map(drop)
    }

    /// Reads a task.
    pub async fn task(&self, id: TaskId) -> Result<Option<Task>> {
        Ok(self.tasks(&[id]).await?.pop().flatten())
    }

    /// Reads several tasks at once, in the order asked (at most 1,000).
    pub async fn tasks(&self, ids: &[TaskId]) -> Result<Vec<Option<Task>>> {
        let mut reply = self.call(Verb::TaskGet, vec![comma_list(ids).into()]).await?;
        let hashes = reply.lists()?;
        if hashes.len() != ids.len() {
            return Err(reply.unexpected());
        }
        ids.iter().zip(hashes).map(|(id, hash)| Fields::new(id, hash).map(|fields| fields.task()).transpose()).collect()
    }

    /// Reads the versions and states of several tasks in one round trip, for gap recovery of the WebSocket feed.
    pub async fn versions(&self, ids: &[TaskId]) -> Result<Vec<Option<(u64, TaskState)>>> {
        let mut reply = self.call(Verb::TaskVersions, vec![comma_list(ids).into()]).await?;
        let found = reply.lists()?;
        if found.len() != ids.len() {
            return Err(reply.unexpected());
        }
        let parse = |row: Vec<Value>| {
            let mut texts = row.into_iter().map(Value::into_string);
            let Some(version) = texts.next() else { return Ok(None) };
            let version = version.and_then(|text| text.parse().ok()).ok_or_else(|| reply.unexpected())?;
            let state = texts.next().flatten().and_then(|text| text.parse().ok()).ok_or_else(|| reply.unexpected())?;
            Ok(Some((version, state)))
        };
        found.into_iter().map(parse).collect()
    }

    /// Reads workflow, params and files of a task.
    pub async fn payload(&self, id: TaskId) -> Result<Option<Payload>> {
        let key = self.root().payload(id);
        let value: Value = self.command("GET", vec![key.into()]).await?;
        value.into_bytes().map(|bytes| crate::queue::compression::unpack(&bytes)).transpose()
    }

    /// Returns what a pending task's start depends on.
    pub async fn wait_facts(&self, task: &Task) -> Result<WaitFacts> {
        self.read_wait_facts(task.id.to_string(), task.priority, task.facts.workflow_hash.as_deref()).await
    }

    /// Returns the same for a task with a workflow of this hash that would be accepted now.
    pub async fn wait_facts_of_new(&self, priority: Priority, workflow_hash: Option<&str>) -> Result<WaitFacts> {
        self.read_wait_facts(String::new(), priority, workflow_hash).await
    }

    async fn read_wait_facts(&self, id: String, priority: Priority, workflow_hash: Option<&str>) -> Result<WaitFacts> {
        let args = vec![id.into(), number(priority.lane().into()), workflow_hash.unwrap_or_default().into()];
        let mut reply = self.call(Verb::WaitFacts, args).await?;
        Ok(WaitFacts {
            position: reply.parse::<String>()?.parse().ok(),
            urgent: reply.parse()?,
            dispatchers: reply.parse()?,
            leases: reply.parse()?,
            claims_pause: Duration::from_millis(reply.parse()?),
            run_ms: reply.parse::<String>()?.parse().ok(),
            any_run_ms: reply.parse::<String>()?.parse().ok(),
            run_ms_on: run_times(reply.list()?),
            memory_spent: self.inner.memory.is_spent(),
        })
    }

    /// Returns the ids of the tasks created after `since_ms`, at most `limit` of each status, and whether these are all.
    pub async fn created_since(&self, since_ms: u64, limit: u64) -> Result<(Vec<TaskId>, bool)> {
        let mut reply = self.call(Verb::CreatedSince, vec![number(since_ms), number(limit)]).await?;
        let is_whole = reply.parse::<u8>()? == 1;
        let ids = reply.list()?.into_iter().filter_map(Value::into_string);
        // An invalid id was not written by this program; the sweep removes it.
        Ok((ids.filter_map(|id| id.parse().ok()).collect(), is_whole))
    }

    /// Returns one page of tasks and the exact total, at any offset. Long outputs are cut, and a page of very long tasks
    /// has fewer than `limit`.
    pub async fn list(&self, query: &TaskQuery) -> Result<TaskPage> {
        let cursor = query.cursor;
        let args: Vec<Value> = vec![
            status_words(&query.statuses).into(),
            query.owner.clone().unwrap_or_default().into(),
            switch(query.owner.is_some()),
            number(if cursor.is_some() { 0 } else { query.offset.min(OFFSET_MAX) }),
            number(query.limit.clamp(1, limits::PAGE_MAX)),
            cursor.map(|cursor| cursor.created_ms.to_string()).unwrap_or_default().into(),
            cursor.map(|cursor| cursor.id.to_string()).unwrap_or_default().into(),
            query
                .failures
                .iter()
                .map(|kind| kind.as_str())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
                .join(",")
                .into(),
            query.workflow.as_ref().map(WorkflowName::as_str).unwrap_or_default().into(),
        ];
        let reply = self.call(Verb::TaskList, args).await?;
        self.page(reply).await
    }

    /// Cancels a task in any state that has not ended. The task is `cancelled` at once.
    pub async fn cancel(&self, id: TaskId) -> Result<Cancelled> {
        let args = vec![id.to_string().into(), ms(self.limits().keep_tasks)];
        let mut reply = self.call_durably(Verb::Cancel, args).await?;
        match reply.tag() {
            "cancelled" => {
                metrics::task_ended("cancelled");
                Ok(Cancelled::Cancelled(Box::new(one_task(id, &mut reply)?)))
            }
            "cancelled_before" => Ok(Cancelled::Cancelled(Box::new(one_task(id, &mut reply)?))),
            "ended" => Ok(Cancelled::AlreadyEnded(Box::new(one_task(id, &mut reply)?))),
            "not_found" => Ok(Cancelled::NotFound),
            _ => Err(reply.unexpected()),
        }
    }

    /// Queues a failed or cancelled task again under the same id, with a new budget of attempts. Idempotent.
    pub async fn revive(&self, id: TaskId) -> Result<Revived> {
        self.revive_with(id, None).await
    }

    /// Does the same with `keys` for API nodes, encrypted: those of an ended task are gone.
    pub async fn revive_with(&self, id: TaskId, keys: Option<&str>) -> Result<Revived> {
        self.check_memory()?;
        let mut args = vec![id.to_string().into(), number(self.limits().waiting_max)];
        args.extend(self.payload_quota().args());
        args.push(keys.unwrap_or_default().into());
        let mut reply = self.call_durably(Verb::Revive, args).await?;
        match reply.tag() {
            "revived" => Ok(Revived::Revived(Box::new(one_task(id, &mut reply)?))),
            "not_found" => Ok(Revived::NotFound),
            "completed" => Ok(Revived::Completed),
            "not_ended" => Ok(Revived::NotEnded(reply.parse::<TaskState>()?.status())),
            "stopping" => Ok(Revived::Stopping),
            "payload_gone" => Ok(Revived::PayloadGone),
            "keys_gone" => Ok(Revived::KeysGone),
            "no_such_file" => Ok(Revived::NoSuchFile(reply.parse()?)),
            "full" => Ok(Revived::Full(Duration::from_secs(limits::RETRY_AFTER_SECONDS))),
            "over_quota" => Ok(Revived::OverQuota(self.payload_quota().exceeded(&mut reply)?)),
            _ => Err(reply.unexpected()),
        }
    }

    /// Reads all counts at one instant.
    pub async fn counts(&self) -> Result<Counts> {
        let mut reply = self.call(Verb::Counts, Vec::new()).await?;
        Ok(Counts {
            pending: reply.parse()?,
            running: reply.parse()?,
            completed: reply.parse()?,
            failed: reply.parse()?,
            cancelled: reply.parse()?,
            oldest_waiting_ms: reply.parse::<String>()?.parse().ok(),
            completed_last_minute: reply.parse()?,
            waiting_by_lane: [reply.parse()?, reply.parse()?, reply.parse()?],
            files: FileTotals { uploads: total(&mut reply)?, outputs: total(&mut reply)?, stored: total(&mut reply)? },
            memory_full: self.check_memory().is_err(),
        })
    }
}

fn total(reply: &mut Reply) -> Result<Total> {
    Ok(Total { count: reply.parse()?, bytes: reply.parse()? })
}

/// Joins the words of these statuses by commas, each once; none = all statuses.
pub(crate) fn status_words(statuses: &[Status]) -> String {
    let asked = if statuses.is_empty() { &Status::ALL[..] } else { statuses };
    let words: BTreeSet<&str> = asked.iter().map(|status| status.as_str()).collect();
    words.into_iter().collect::<Vec<_>>().join(",")
}

fn one_task(id: TaskId, reply: &mut Reply) -> Result<Task> {
    let hash = reply.list()?;
    Fields::new(id, hash).ok_or_else(|| reply.unexpected())?.task()
}

/// Reads `instance, ms, …`.
fn run_times(items: Vec<Value>) -> BTreeMap<String, u64> {
    let mut texts = items.into_iter().filter_map(Value::into_string);
    let mut times = BTreeMap::new();
    while let (Some(instance), Some(ms)) = (texts.next(), texts.next()) {
        times.extend(ms.parse().ok().map(|ms| (instance, ms)));
    }
    times
}

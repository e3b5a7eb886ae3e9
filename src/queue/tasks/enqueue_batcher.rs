//! Group commit of new tasks: tasks that arrive during a call of `enqueue.lua` are sent together by the next call.
//!
//! A single task is sent at once. Under load, the cost of a call (the client's request, the start of the script, a WAIT
//! for durability) is shared by all tasks that arrived meanwhile, which would otherwise queue up at Redis.

use crate::{
    queue::{
        Error, PayloadQuota, Result, compression,
        redis::{
            durability::Durable,
            script_call::{CALL_TIMEOUT, Reply, ScriptCaller, number},
            scripts::Verb,
        },
    },
    task::{InstanceId, NewTask},
};
use fred::types::Value;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// Concurrent calls: while Redis runs one, the next is on its way.
const CALLS: usize = 2;
/// Maximum number of tasks in one call: at most a millisecond of Redis.
const BATCH_MAX: usize = 32;
/// Maximum size of one call, bytes, unless a single task is larger.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Maximum number of tasks that wait for a call.
const WAITING_MAX: usize = 1_024;
/// Number of arguments that `lua/lib/accept.lua` reads for each task.
pub(crate) const FIELDS: usize = 14;

/// Arguments of one task, in the order of `lua/lib/accept.lua`.
pub(crate) type Fields = [Value; FIELDS];

/// Encodes a task and compresses its payload.
pub(crate) async fn fields(new: &NewTask) -> Result<Fields> {
    fields_of(new, compression::pack(&new.payload).await?)
}

/// Encodes a task whose payload is compressed.
pub(crate) fn fields_of(new: &NewTask, packed: Vec<u8>) -> Result<Fields> {
    let facts = serde_json::to_string(&new.facts).map_err(|error| Error::Corrupt(format!("facts: {error}")))?;
    let files: BTreeSet<String> = new.payload.files.iter().map(|input| input.file_id.to_string()).collect();
    Ok([
        new.id.to_string().into(),
        new.owner.as_str().into(),
        number(new.priority.lane().into()),
        number(new.max_attempts.into()),
        new.fingerprint.as_str().into(),
        new.start_by_ms.map(|ms| ms.to_string()).unwrap_or_default().into(),
        facts.into(),
        Value::Bytes(packed.into()),
        files.into_iter().collect::<Vec<_>>().join(",").into(),
        only(&new.facts.eligible).into(),
        new.facts.workflow_hash.as_deref().unwrap_or_default().into(),
        new.facts.workflow.as_ref().map(|workflow| workflow.name.as_str()).unwrap_or_default().into(),
        if new.is_unlisted { "1" } else { "" }.into(),
        new.keys.as_deref().unwrap_or_default().into(),
    ])
}

/// Encodes a list of instances as `,a,b,`: each id between commas, so that a search finds whole ids only. Empty = all
/// instances.
pub(crate) fn only(eligible: &[InstanceId]) -> String {
    let mut only: String = eligible.iter().flat_map(|id| [",", id.as_str()]).collect();
    if !only.is_empty() {
        only.push(',');
    }
    only
}

struct QueuedTask {
    fields: Fields,
    answer: oneshot::Sender<Result<Reply>>,
}

impl QueuedTask {
    fn answer(self, reply: Result<Reply>) {
        // Fails only if the caller has timed out.
        let _gone = self.answer.send(reply);
    }
}

/// Handle of the senders.
pub(crate) struct EnqueueBatcher {
    tasks: mpsc::Sender<QueuedTask>,
    timeout: Duration,
    _senders: Vec<AbortOnDropHandle<()>>,
}

/// State shared by the senders.
struct Shared {
    caller: ScriptCaller,
    durable: Option<Arc<Durable>>,
    waiting_max: u64,
    payload_quota: Arc<PayloadQuota>,
    tasks: tokio::sync::Mutex<mpsc::Receiver<QueuedTask>>,
}

impl EnqueueBatcher {
    /// Starts the senders. They stop when it is dropped.
    pub(crate) fn start(
        caller: ScriptCaller,
        durable: Option<Arc<Durable>>,
        waiting_max: u64,
        payload_quota: Arc<PayloadQuota>,
    ) -> Self {
        let (tasks, received) = mpsc::channel(WAITING_MAX);
        let timeout = durable.as_ref().map_or(CALL_TIMEOUT, |durable| durable.timeout());
        let tasks_received = tokio::sync::Mutex::new(received);
        let shared = Arc::new(Shared { caller, durable, waiting_max, payload_quota, tasks: tasks_received });
        let sender = || AbortOnDropHandle::new(tokio::spawn(run(Arc::clone(&shared))));
        Self { tasks, timeout, _senders: (0..CALLS).map(|_| sender()).collect() }
    }

    /// Sends one task and returns the script's reply about it. After an error the task may or may not have been
    /// accepted; repeating the call is safe.
    pub(crate) async fn accept(&self, fields: Fields) -> Result<Reply> {
        let sent = async {
            let (answer, answered) = oneshot::channel();
            self.tasks.send(QueuedTask { fields, answer }).await.map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())?
        };
        tokio::time::timeout(self.timeout, sent)
            .await
            .unwrap_or_else(|_elapsed| Err(Error::Unavailable(format!("no answer within {:?}", self.timeout))))
    }
}

fn stopped() -> Error {
    Error::Unavailable("the enqueue batcher has stopped".to_owned())
}

async fn run(shared: Arc<Shared>) {
    let mut tasks = Vec::with_capacity(BATCH_MAX);
    loop {
        if shared.tasks.lock().await.recv_many(&mut tasks, BATCH_MAX).await == 0 {
            return;
        }
        // Callers that timed out got an error, so their tasks need not be sent.
        tasks.retain(|task| !task.answer.is_closed());
        while !tasks.is_empty() {
            let rest = tasks.split_off(batch_len(&tasks));
            Box::pin(shared.send(std::mem::replace(&mut tasks, rest))).await;
        }
    }
}

/// Returns how many of the first tasks fit into one call.
fn batch_len(tasks: &[QueuedTask]) -> usize {
    let mut bytes = 0;
    let fits = tasks.iter().take_while(|task| {
        bytes += task.fields.iter().map(|field| field.as_bytes().map_or(0, <[u8]>::len)).sum::<usize>();
        bytes <= BATCH_BYTES_MAX
    });
    fits.count().max(1)
}

impl Shared {
    async fn send(&self, tasks: Vec<QueuedTask>) {
        match self.call_for(&tasks).await {
            Ok(replies) => tasks.into_iter().zip(replies).for_each(|(task, reply)| task.answer(Ok(reply))),
            // A task that makes the script fail must not fail the others. Tasks already accepted are replayed.
            Err(Error::Corrupt(_)) if tasks.len() > 1 => {
                for task in tasks {
                    let reply = self.call_for(std::slice::from_ref(&task)).await;
                    task.answer(reply.map(|mut replies| replies.remove(0)));
                }
            }
            Err(error) => tasks.into_iter().for_each(|task| task.answer(Err(error.clone()))),
        }
    }

    /// Sends these tasks in one call. Returns a reply for each.
    async fn call_for(&self, tasks: &[QueuedTask]) -> Result<Vec<Reply>> {
        let mut args = Vec::with_capacity(4 + tasks.len() * FIELDS);
        args.extend([number(self.waiting_max), number(FIELDS as u64)]);
        args.extend(self.payload_quota.args());
        args.extend(tasks.iter().flat_map(|task| task.fields.iter().cloned()));
        let mut reply = self.call(args).await?;
        let replies = reply.replies()?;
        if replies.len() == tasks.len() { Ok(replies) } else { Err(reply.unexpected()) }
    }

    async fn call(&self, args: Vec<Value>) -> Result<Reply> {
        match &self.durable {
            Some(durable) => durable.call(&self.caller, Verb::Enqueue, args).await,
            None => self.caller.call(Verb::Enqueue, args).await,
        }
    }
}

//! Writes the progress of all attempts of a process: the newest of each, many in one call.

use super::shared::lock;
use crate::{
    queue::{Lease, ProgressOf, Queue, Result, Written},
    task::{Attempt, Progress, TaskId},
};
use std::{collections::HashMap, sync::Mutex, time::Duration};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

/// Shortest interval between two writes, unless a start is to be recorded.
const INTERVAL: Duration = Duration::from_millis(200);
/// Time for which the record of a start waits for others.
const START_GATHER: Duration = Duration::from_millis(10);
/// Maximum number of attempts in one call: about a millisecond of Redis.
const BATCH_MAX: usize = 64;

/// Progress that waits to be written.
#[derive(Debug, Default)]
pub(crate) struct ProgressWriter {
    waiting: Mutex<HashMap<(TaskId, Attempt), Waiting>>,
    added: Notify,
}

#[derive(Debug)]
struct Waiting {
    lease: Lease,
    progress: Progress,
    /// The start of the run, if it is recorded with it.
    start: Option<Instant>,
    answer: oneshot::Sender<Result<Written>>,
}

impl ProgressWriter {
    /// Queues the progress of an attempt, with its start if that was not recorded before. Replaces a progress that still
    /// waits; then the answer goes to the earlier receiver and `None` is returned.
    pub(crate) fn put(
        &self,
        lease: &Lease,
        (task, attempt): (TaskId, Attempt),
        progress: Progress,
        start: Option<Instant>,
    ) -> Option<oneshot::Receiver<Result<Written>>> {
        let mut waiting = lock(&self.waiting);
        match waiting.get_mut(&(task, attempt)) {
            Some(earlier) if !earlier.answer.is_closed() => {
                earlier.progress = progress;
                None
            }
            _ => {
                let (answer, answered) = oneshot::channel();
                waiting.insert((task, attempt), Waiting { lease: lease.clone(), progress, start, answer });
                self.added.notify_one();
                Some(answered)
            }
        }
    }

    /// Writes until it is dropped.
    pub(crate) async fn run(&self, queue: &Queue) {
        let mut next = Instant::now();
        loop {
            self.added.notified().await;
            let mut deadline = next;
            loop {
                if lock(&self.waiting).values().any(|waiting| waiting.start.is_some()) {
                    deadline = deadline.min(Instant::now() + START_GATHER);
                }
                tokio::select! {
                    () = tokio::time::sleep_until(deadline) => break,
                    () = self.added.notified() => {}
                }
            }
            next = Instant::now() + INTERVAL;
            let taken = std::mem::take(&mut *lock(&self.waiting));
            // An attempt that has ended does not wait for the answer.
            let taken: Vec<_> = taken.into_iter().filter(|(_, waiting)| !waiting.answer.is_closed()).collect();
            let mut rest = taken.into_iter();
            loop {
                let batch: Vec<_> = rest.by_ref().take(BATCH_MAX).collect();
                if batch.is_empty() {
                    break;
                }
                write(queue, batch).await;
            }
        }
    }
}

async fn write(queue: &Queue, batch: Vec<((TaskId, Attempt), Waiting)>) {
    let attempts: Vec<ProgressOf<'_>> = batch
        .iter()
        .map(|((task, attempt), waiting)| ProgressOf {
            lease: &waiting.lease,
            task: *task,
            attempt: *attempt,
            progress: &waiting.progress,
            ran: waiting.start.map_or(Duration::ZERO, |start| start.elapsed()),
        })
        .collect();
    let written = queue.progress_of_many(&attempts).await;
    drop(attempts);
    for (index, (_, waiting)) in batch.into_iter().enumerate() {
        let answer = match &written {
            Ok(written) => written[index].clone(),
            Err(error) => Err(error.clone()),
        };
        // Fails only if the attempt has ended.
        let _ended = waiting.answer.send(answer);
    }
}

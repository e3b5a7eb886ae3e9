//! The worker of a process: takes one prompt at a time from the queue, runs it and adds it to the history.

use crate::sim::{
    engine::{
        cache::Cache,
        event_log::LogEvent,
        history::FinishedPrompt,
        process::Process,
        prompt_heap::{self, QueueItem},
        run::{self, RunEnd, RunResult},
    },
    lock::lock,
};
use serde_json::json;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Runs prompts until the process is killed.
pub(crate) async fn work(process: Arc<Process>) {
    tokio::select! {
        () = process.token.cancelled() => {}
        () = prompts(&process) => {}
    }
}

async fn prompts(process: &Arc<Process>) {
    let mut cache = Cache::new(process.instance.options.caching);
    let mut last_gc: Option<Instant> = None;
    loop {
        let Some(item) = next(process, &mut cache).await else { return };
        process.instance.log.add(process.number, LogEvent::Started, &item.id);
        let ran = Box::pin(run::run(process, &item, &mut cache)).await;
        match ran.ended {
            RunEnd::Succeeded | RunEnd::Failed | RunEnd::Interrupted => {}
            RunEnd::WorkerDied => {
                process.zombie.store(true, Ordering::SeqCst);
                return;
            }
            RunEnd::ProcessDied => {
                process.instance.kill_soon(None);
                return std::future::pending().await;
            }
        }
        if ran.ended == RunEnd::Succeeded {
            tokio::time::sleep(process.instance.options.success_gap).await;
        }
        process.gate.pass().await;
        if process.instance.strikes(|faults| &mut faults.worker_dies) {
            process.zombie.store(true, Ordering::SeqCst);
            return;
        }
        finish(process, &item, ran);
        collect_garbage(process, &mut last_gc);
    }
}

/// Waits for the next prompt; `None` when the worker has ended.
async fn next(process: &Process, cache: &mut Cache) -> Option<QueueItem> {
    loop {
        process.gate.pass().await;
        if process.free_memory.swap(false, Ordering::SeqCst) {
            cache.clear();
        }
        if process.zombie.load(Ordering::SeqCst) {
            return None;
        }
        let taken = take(process);
        match taken {
            Ok(Some(item)) => {
                if process.instance.strikes(|faults| &mut faults.zombie) {
                    process.zombie.store(true, Ordering::SeqCst);
                    return None;
                }
                return Some(item);
            }
            Ok(None) => process.work.notified().await,
            Err(prompt_heap::Tie) => {
                process.zombie.store(true, Ordering::SeqCst);
                return None;
            }
        }
    }
}

fn take(process: &Process) -> Result<Option<QueueItem>, prompt_heap::Tie> {
    let mut queue = lock(&process.queue);
    let item = prompt_heap::pop(&mut queue.pending)?;
    if item.is_some() {
        queue.running.clone_from(&item);
        process.broadcast_status(&queue);
    }
    Ok(item)
}

/// Moves a prompt from the queue to the history under one lock, then sends the last message.
fn finish(process: &Arc<Process>, item: &QueueItem, ran: RunResult) {
    let RunResult { ended, messages, outputs, meta, client } = ran;
    let is_success = ended == RunEnd::Succeeded;
    let event = match ended {
        RunEnd::Succeeded => LogEvent::Succeeded,
        RunEnd::Interrupted => LogEvent::Interrupted,
        RunEnd::Failed | RunEnd::WorkerDied | RunEnd::ProcessDied => LogEvent::Failed,
    };
    let finished = FinishedPrompt::new(item, is_success, messages, outputs, &meta);
    let forget = process.instance.strikes(|faults| &mut faults.history_forget);
    let late_ms = lock(&process.instance.faults).history_late_ms;
    {
        let mut queue = lock(&process.queue);
        queue.running = None;
        if !forget && late_ms == 0 {
            queue.history.add(finished.clone());
        }
        process.broadcast_status(&queue);
    }
    process.instance.log.add(process.number, event, &item.id);
    if let Some(client) = client {
        process.hub.send(Some(&client), "executing", &json!({"node": null, "prompt_id": item.id}));
    }
    if late_ms > 0 && !forget {
        let process = Arc::clone(process);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(late_ms)).await;
            lock(&process.queue).history.add(finished);
        });
    }
}

/// Freezes the process for a while, but at most once per interval.
fn collect_garbage(process: &Arc<Process>, last: &mut Option<Instant>) {
    let (pause, every) = {
        let faults = lock(&process.instance.faults);
        (Duration::from_millis(faults.gc_pause_ms), Duration::from_millis(faults.gc_every_ms))
    };
    if !pause.is_zero() && last.is_none_or(|last| last.elapsed() >= every) {
        *last = Some(Instant::now());
        process.freeze(pause);
    }
}

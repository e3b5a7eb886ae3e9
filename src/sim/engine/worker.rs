//! The worker of one life: one prompt at a time, from the heap to the history.

use super::{
    cache::Cache,
    history::Finished,
    incarnation::Life,
    prompt_heap::{self, Item},
    run::{self, Ended, Ran},
};
use crate::sim::{Happened, lock};
use serde_json::json;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Ends with the life.
pub(crate) async fn work(life: Arc<Life>) {
    tokio::select! {
        () = life.token.cancelled() => {}
        () = prompts(&life) => {}
    }
}

async fn prompts(life: &Arc<Life>) {
    let mut cache = Cache::new(life.shared.options.caching);
    let mut last_gc: Option<Instant> = None;
    loop {
        let Some(item) = next(life, &mut cache).await else { return };
        life.shared.record.add(life.number, Happened::Started, &item.id);
        let ran = Box::pin(run::run(life, &item, &mut cache)).await;
        match ran.ended {
            Ended::Succeeded | Ended::Failed | Ended::Interrupted => {}
            Ended::WorkerDied => {
                life.zombie.store(true, Ordering::SeqCst);
                return;
            }
            Ended::ProcessDied => {
                life.shared.down_soon(None);
                return std::future::pending().await;
            }
        }
        if ran.ended == Ended::Succeeded {
            tokio::time::sleep(life.shared.options.success_gap).await;
        }
        life.gate.pass().await;
        finish(life, &item, ran);
        collect_garbage(life, &mut last_gc);
    }
}

/// Waits for the next prompt; `None` when the worker has died.
async fn next(life: &Life, cache: &mut Cache) -> Option<Item> {
    loop {
        life.gate.pass().await;
        if life.free_memory.swap(false, Ordering::SeqCst) {
            cache.clear();
        }
        if life.zombie.load(Ordering::SeqCst) {
            return None;
        }
        let taken = take(life);
        match taken {
            Ok(Some(item)) => {
                if life.shared.strikes(|faults| &mut faults.zombie) {
                    life.zombie.store(true, Ordering::SeqCst);
                    return None;
                }
                return Some(item);
            }
            Ok(None) => life.work.notified().await,
            Err(prompt_heap::Tie) => {
                life.zombie.store(true, Ordering::SeqCst);
                return None;
            }
        }
    }
}

fn take(life: &Life) -> Result<Option<Item>, prompt_heap::Tie> {
    let mut queue = lock(&life.queue);
    let item = prompt_heap::pop(&mut queue.pending)?;
    if item.is_some() {
        queue.running.clone_from(&item);
        life.tell_status(&queue);
    }
    Ok(item)
}

/// Out of the queue and into the history under one lock; then the last message.
fn finish(life: &Arc<Life>, item: &Item, ran: Ran) {
    let Ran { ended, messages, outputs, meta, client } = ran;
    let is_success = ended == Ended::Succeeded;
    let event = match ended {
        Ended::Succeeded => Happened::Succeeded,
        Ended::Interrupted => Happened::Interrupted,
        Ended::Failed | Ended::WorkerDied | Ended::ProcessDied => Happened::Failed,
    };
    let finished = Finished::new(item, is_success, messages, outputs, &meta);
    let forget = life.shared.strikes(|faults| &mut faults.history_forget);
    let late_ms = lock(&life.shared.faults).history_late_ms;
    {
        let mut queue = lock(&life.queue);
        queue.running = None;
        if !forget && late_ms == 0 {
            queue.history.add(finished.clone());
        }
        life.tell_status(&queue);
    }
    life.shared.record.add(life.number, event, &item.id);
    if let Some(client) = client {
        life.hub.send(Some(&client), "executing", &json!({"node": null, "prompt_id": item.id}));
    }
    if late_ms > 0 && !forget {
        let life = Arc::clone(life);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(late_ms)).await;
            lock(&life.queue).history.add(finished);
        });
    }
}

/// Everything stands still for a while, at most every so often.
fn collect_garbage(life: &Arc<Life>, last: &mut Option<Instant>) {
    let (pause, every) = {
        let faults = lock(&life.shared.faults);
        (Duration::from_millis(faults.gc_pause_ms), Duration::from_millis(faults.gc_every_ms))
    };
    if !pause.is_zero() && last.is_none_or(|last| last.elapsed() >= every) {
        *last = Some(Instant::now());
        life.freeze(pause);
    }
}

//! Admits this instance to waiting tasks that were restricted to others but that it can run by now: it has gained the
//! models or nodes since, or joined the fleet later. Every owner checks for its own instances, in small batches.

use super::state::Instance;
use crate::{
    dispatcher::shared::jitter,
    graph::{Catalog, Workflow},
    queue::{self, Restricted},
    task::TaskId,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::sleep;

/// Interval between two checks, and thereby the longest delay of such a task.
const INTERVAL: Duration = Duration::from_secs(5);
/// First size of a batch.
const BATCH: u64 = 50;
/// Largest size of a batch, and thereby the number of tasks that may have been restricted in the same millisecond.
const BATCH_MAX: u64 = 10_000;
/// Largest number of batches of one check.
const BATCHES_MAX: usize = 20;

/// Position of the check in the restricted tasks, valid for one catalog.
#[derive(Default)]
struct Cursor {
    catalog: Option<String>,
    since_ms: u64,
    /// Checked tasks of that millisecond.
    checked: HashSet<TaskId>,
    /// The restricted tasks, all of which were checked.
    complete: Option<Restricted>,
}

/// Checks periodically, and whenever the catalog changes.
pub(crate) async fn run(instance: Arc<Instance>) {
    let mut cursor = Cursor::default();
    loop {
        tokio::select! {
            () = instance.wake.eligibility.notified() => {}
            () = sleep(INTERVAL + jitter(INTERVAL / 4)) => {}
        }
        if let Err(error) = check(&instance, &mut cursor).await {
            tracing::debug!(instance = %instance.target.id, %error, "eligibility check failed; retrying");
        }
    }
}

async fn check(instance: &Instance, cursor: &mut Cursor) -> queue::Result<()> {
    let Some(hash) = instance.catalog.hash() else { return Ok(()) };
    if cursor.catalog.as_ref() != Some(&hash) {
        *cursor = Cursor { catalog: Some(hash.clone()), ..Cursor::default() };
    }
    // Read before the check: tasks restricted meanwhile are left to the next one.
    let now = *instance.shared.restricted.borrow();
    if now.is_some() && cursor.complete == now {
        return Ok(());
    }
    let (mut catalog, mut batch) = (None, BATCH);
    let mut _permit = None;
    for _ in 0..BATCHES_MAX {
        let restricted = instance.queue().restricted_tasks(&instance.lease, cursor.since_ms, batch).await?;
        let fresh: Vec<(TaskId, u64)> =
            restricted.tasks.iter().filter(|(id, _)| !cursor.checked.contains(id)).copied().collect();
        if !fresh.is_empty() {
            if catalog.is_none() {
                let json = instance.queue().catalog(&hash).await?;
                _permit = instance.shared.catalog_permit(json.as_ref().map_or(0, String::len)).await;
                // Megabytes of JSON: parsed off the runtime's threads.
                let parsed = tokio::task::spawn_blocking(move || json.and_then(|json| Catalog::from_json(&json))).await;
                catalog = parsed.ok().flatten().map(Arc::new);
            }
            // Without a catalog nothing was checked, so the cursor must stay.
            let Some(catalog) = &catalog else { return Ok(()) };
            admit(instance, catalog, &fresh).await?;
        }
        if !cursor.advance(&restricted, &mut batch) {
            cursor.complete = now;
            return Ok(());
        }
    }
    Ok(())
}

impl Cursor {
    /// Advances behind the checked tasks. Returns true if there are more.
    fn advance(&mut self, restricted: &queue::RestrictedTasks, batch: &mut u64) -> bool {
        let Some(last_ms) = restricted.last_ms else { return false };
        let is_full = restricted.looked_at >= *batch;
        if last_ms > self.since_ms {
            self.checked.clear();
            self.since_ms = last_ms;
            *batch = BATCH;
        } else if is_full {
            *batch *= 2;
        }
        let here = restricted.tasks.iter().filter(|(_, since_ms)| *since_ms == last_ms);
        self.checked.extend(here.map(|(id, _)| *id));
        is_full && *batch <= BATCH_MAX
    }
}

async fn admit(instance: &Instance, catalog: &Arc<Catalog>, tasks: &[(TaskId, u64)]) -> queue::Result<()> {
    let ids: Vec<TaskId> = tasks.iter().map(|(id, _)| *id).collect();
    let mut fitting = Vec::new();
    let files = instance.catalog.input_files();
    for (id, task) in ids.iter().zip(instance.queue().tasks(&ids).await?) {
        let (Some(task), Some(payload)) = (task, instance.queue().payload(*id).await?) else { continue };
        let Some(workflow) = Workflow::from_stored(&payload.workflow) else { continue };
        let has_files = || files.as_ref().is_none_or(|(_, files)| workflow.has_files(catalog, files));
        if workflow.fits(catalog, &task.facts.warnings) && has_files() {
            fitting.push(*id);
        }
        // A large graph takes a millisecond; other tasks of this thread must run in between.
        tokio::task::yield_now().await;
    }
    if !fitting.is_empty() && instance.queue().admit(&instance.lease, &fitting).await? > 0 {
        tracing::info!(instance = %instance.target.id, tasks = fitting.len(), "instance admitted to tasks restricted to others");
        instance.wake.claimer.notify_one();
    }
    Ok(())
}

//! Lets this instance join in: tasks that were left to others because they had what it lacked then, and it has now, or because
//! it was not there yet. Each owner looks for its own instance, in small bites.

use super::{instance::Instance, jitter, unfit};
use crate::{
    graph::{Catalog, Workflow},
    queue,
    task::TaskId,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::sleep;

/// Between two looks: how much later than it could such a task begins.
const EVERY: Duration = Duration::from_secs(5);
/// Tasks of one bite.
const BITE: u64 = 50;
/// Most tasks of one bite: so many may have been left to others in the same millisecond.
const BITE_MAX: u64 = 10_000;
/// Bites of one look.
const BITES_MAX: usize = 20;

/// How far it has looked, with one catalog.
#[derive(Default)]
struct Place {
    catalog: Option<String>,
    since_ms: u64,
    /// Those of that millisecond that were judged.
    judged: HashSet<TaskId>,
}

/// Looks again and again while the lease lasts.
pub(super) async fn run(instance: Arc<Instance>) {
    let mut place = Place::default();
    loop {
        tokio::select! {
            () = instance.catalog_known.notified() => {}
            () = sleep(EVERY + jitter(EVERY / 4)) => {}
        }
        if let Err(error) = look(&instance, &mut place).await {
            tracing::debug!(instance = %instance.target.id, %error, "which tasks it could run as well is looked at later");
        }
    }
}

async fn look(instance: &Instance, place: &mut Place) -> queue::Result<()> {
    let Some(hash) = instance.catalog.hash() else { return Ok(()) };
    if place.catalog.as_ref() != Some(&hash) {
        *place = Place { catalog: Some(hash.clone()), ..Place::default() };
    }
    let (mut catalog, mut bite) = (None, BITE);
    for _ in 0..BITES_MAX {
        let narrowed = instance.queue().narrowed(&instance.lease, place.since_ms, bite).await?;
        let fresh: Vec<(TaskId, u64)> =
            narrowed.tasks.iter().filter(|(id, _)| !place.judged.contains(id)).copied().collect();
        if !fresh.is_empty() {
            if catalog.is_none() {
                let json = instance.queue().catalog(&hash).await?;
                catalog = json.and_then(|json| Catalog::from_json(&json)).map(Arc::new);
            }
            // Without one nothing was judged, and the place must stay.
            let Some(catalog) = &catalog else { return Ok(()) };
            admit(instance, catalog, &fresh).await?;
        }
        if !place.advance(&narrowed, &mut bite) {
            return Ok(());
        }
    }
    Ok(())
}

impl Place {
    /// Goes on behind what was judged; whether more is there.
    fn advance(&mut self, narrowed: &queue::Narrowed, bite: &mut u64) -> bool {
        let Some(last_ms) = narrowed.last_ms else { return false };
        let is_full = narrowed.looked_at >= *bite;
        if last_ms > self.since_ms {
            self.judged.clear();
            self.since_ms = last_ms;
            *bite = BITE;
        } else if is_full {
            *bite *= 2;
        }
        let here = narrowed.tasks.iter().filter(|(_, since_ms)| *since_ms == last_ms);
        self.judged.extend(here.map(|(id, _)| *id));
        is_full && *bite <= BITE_MAX
    }
}

async fn admit(instance: &Instance, catalog: &Arc<Catalog>, tasks: &[(TaskId, u64)]) -> queue::Result<()> {
    let ids: Vec<TaskId> = tasks.iter().map(|(id, _)| *id).collect();
    let mut fitting = Vec::new();
    for (id, task) in ids.iter().zip(instance.queue().tasks(&ids).await?) {
        let (Some(task), Some(payload)) = (task, instance.queue().payload(*id).await?) else { continue };
        let Some(workflow) = Workflow::from_stored(&payload.workflow) else { continue };
        if workflow.fits(catalog, &unfit::unchecked_values(&task.facts.warnings)) {
            fitting.push(*id);
        }
        // Large graphs take a millisecond each, and this thread has other work.
        tokio::task::yield_now().await;
    }
    if !fitting.is_empty() && instance.queue().admit(&instance.lease, &fitting).await? > 0 {
        tracing::info!(instance = %instance.target.id, tasks = fitting.len(), "it can run tasks that were left to others");
        instance.changed.notify_one();
    }
    Ok(())
}

//! A graph that this instance refused although others may run it: the instance came to the fleet after the task was judged, or has
//! lost since what the task needs. The task is left to those others, and the refusal is no ending.

use super::{
    catalog,
    instance::Instance,
    scene::{Exit, Scene, until_answered},
};
use crate::{
    graph::{Catalog, Workflow},
    queue::Result,
    task::{Failure, FailureKind, InstanceId, Warning},
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// The code of the warning that names a value which no instance offers; whether it fits only the instance knows.
const NOT_OFFERED: &str = "value_not_offered";

/// A look at what the instance can run is believed for so long when it has refused a graph: a storm of bad graphs must not become
/// one of looks.
const FRESH: Duration = Duration::from_secs(5);

/// What becomes of a refusal.
pub(super) async fn judge(scene: &Scene, refused: Failure) -> Exit {
    if refused.kind != FailureKind::InvalidWorkflow {
        return Exit::failed(refused);
    }
    let instance = &scene.instance;
    if !instance.catalog.is_fresh(FRESH)
        && let Err(reason) = catalog::look(instance).await
    {
        tracing::debug!(instance = %instance.target.id, reason, "what the instance can run now is not known");
        if instance.catalog.hash().is_none() {
            return Exit::failed(refused);
        }
    }
    let others = until_answered(|| others(scene)).await;
    if others.is_empty() { Exit::failed(refused) } else { Exit::Unfit { others, reason: refused.message } }
}

/// Those of the config that have what the task needs; none when this instance has it too.
async fn others(scene: &Scene) -> Result<Vec<InstanceId>> {
    let queue = scene.instance.queue();
    let (Some(workflow), Some(task)) =
        (Workflow::from_stored(&scene.claim.payload.workflow), queue.task(scene.claim.task).await?)
    else {
        return Ok(Vec::new());
    };
    let spared = spared(&task.facts.warnings);
    let mut judged = HashMap::new();
    let own = scene.instance.catalog.hash();
    if fits(&scene.instance, own, &workflow, &spared, &mut judged).await? {
        return Ok(Vec::new());
    }
    let targets = queue.config().await?.targets();
    let ids: Vec<InstanceId> = targets.iter().map(|target| target.id.clone()).collect();
    let mut others = Vec::new();
    for (target, status) in targets.iter().zip(queue.instances(&ids).await?) {
        let is_other = target.id != scene.instance.target.id;
        let hash = status.and_then(|status| status.report.catalog);
        if is_other && hash.is_some() && fits(&scene.instance, hash, &workflow, &spared, &mut judged).await? {
            others.push(target.id.clone());
        }
    }
    Ok(others)
}

/// Whether whoever has this catalog has what the graph needs; one that is not known counts as if.
async fn fits(
    instance: &Instance,
    hash: Option<String>,
    workflow: &Workflow,
    spared: &[&str],
    judged: &mut HashMap<String, bool>,
) -> Result<bool> {
    let Some(hash) = hash else { return Ok(true) };
    if let Some(&fits) = judged.get(&hash) {
        return Ok(fits);
    }
    let json = instance.queue().catalog(&hash).await?;
    // Some megabytes of JSON, beside a thread that has other work.
    let catalog = tokio::task::spawn_blocking(move || json.and_then(|json| Catalog::from_json(&json))).await;
    let fits = catalog.ok().flatten().is_none_or(|catalog| workflow.fits(&Arc::new(catalog), spared));
    judged.insert(hash, fits);
    Ok(fits)
}

/// Addresses of values that instances judge by themselves.
pub(super) fn spared(warnings: &[Warning]) -> Vec<&str> {
    let spared = warnings.iter().filter(|warning| warning.code == NOT_OFFERED);
    spared.filter_map(|warning| warning.param.as_deref()).collect()
}

//! Reroutes a task whose graph this instance refused although other instances can run it.
//!
//! Happens when the instance joined the fleet after the task was validated, or has since lost a model or node that the
//! task needs. The task is restricted to those other instances, and the attempt is not counted.

use super::{context::AttemptContext, stage_error::StageError};
use crate::{
    dispatcher::{instance::catalog_refresh, redis_retry::until_answered},
    graph::{Catalog, Workflow},
    queue::Result,
    task::{Failure, FailureKind, InstanceId, Warning},
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Code of the warning about a value that no instance lists; only the instance can validate the value.
const NOT_OFFERED: &str = "value_not_offered";

/// Age up to which the catalog is not read again after a refusal, so that a burst of bad graphs does not become a burst
/// of catalog reads.
const FRESH_AGE: Duration = Duration::from_secs(5);

/// Decides how an attempt ends after the instance refused its graph.
pub(crate) async fn on_refusal(context: &AttemptContext, refusal: Failure) -> StageError {
    if refusal.kind != FailureKind::InvalidWorkflow {
        return StageError::failed(refusal);
    }
    let instance = &context.instance;
    if !instance.catalog.is_fresh(FRESH_AGE)
        && let Err(reason) = catalog_refresh::read(instance).await
    {
        tracing::debug!(instance = %instance.target.id, reason, "catalog not read after a refusal");
        if instance.catalog.hash().is_none() {
            return StageError::failed(refusal);
        }
    }
    let others = until_answered(context.call("find_others"), || others(context)).await;
    if others.is_empty() {
        StageError::failed(refusal)
    } else {
        StageError::Unsuitable { others, reason: refusal.message }
    }
}

/// Returns the other instances of the config that can run the task; none if this instance can, too.
async fn others(context: &AttemptContext) -> Result<Vec<InstanceId>> {
    let queue = context.instance.queue();
    let (Some(workflow), Some(task)) = (&context.workflow, queue.task(context.claim.task).await?) else {
        return Ok(Vec::new());
    };
    let unchecked = unchecked_values(&task.facts.warnings);
    let mut fit_of = FitCache { context, workflow, unchecked, fits: HashMap::new() };
    if fit_of.fits(context.instance.catalog.hash()).await? {
        return Ok(Vec::new());
    }
    let targets = queue.config().await?.targets();
    let ids: Vec<InstanceId> = targets.iter().map(|target| target.id.clone()).collect();
    let mut others = Vec::new();
    for (target, status) in targets.iter().zip(queue.instances(&ids).await?) {
        let is_other = target.id != context.instance.target.id;
        let hash = status.and_then(|status| status.report.catalog);
        if is_other && hash.is_some() && fit_of.fits(hash).await? {
            others.push(target.id.clone());
        }
    }
    Ok(others)
}

/// Verdicts on one graph, by the hash of the catalog that it was checked against.
struct FitCache<'a> {
    context: &'a AttemptContext,
    workflow: &'a Workflow,
    unchecked: Vec<&'a str>,
    fits: HashMap<String, bool>,
}

impl FitCache<'_> {
    /// Whether instances with this catalog can run the graph. An unknown catalog counts as if they can.
    async fn fits(&mut self, hash: Option<String>) -> Result<bool> {
        let Some(hash) = hash else { return Ok(true) };
        if let Some(&fits) = self.fits.get(&hash) {
            return Ok(fits);
        }
        let instance = &self.context.instance;
        let json = instance.queue().catalog(&hash).await?;
        let _permit = instance.shared.catalog_permit(json.as_ref().map_or(0, String::len)).await;
        // Megabytes of JSON: parsed off the runtime's threads.
        let catalog = tokio::task::spawn_blocking(move || json.and_then(|json| Catalog::from_json(&json))).await;
        let catalog = catalog.ok().flatten();
        let fits = catalog.is_none_or(|catalog| self.workflow.fits(&Arc::new(catalog), &self.unchecked));
        self.fits.insert(hash, fits);
        Ok(fits)
    }
}

/// Returns the parameters whose values only the instances can validate.
pub(crate) fn unchecked_values(warnings: &[Warning]) -> Vec<&str> {
    let unchecked = warnings.iter().filter(|warning| warning.code == NOT_OFFERED);
    unchecked.filter_map(|warning| warning.param.as_deref()).collect()
}

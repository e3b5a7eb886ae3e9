//! Reroutes a task whose graph this instance refused although other instances can run it.
//!
//! Happens when the instance joined the fleet after the task was validated, or has since lost a model or node that the
//! task needs. The task is restricted to those other instances, also if none of them is up, and the attempt is not
//! counted.

use super::{context::AttemptContext, stage_error::StageError};
use crate::{
    dispatcher::{instance::catalog_refresh, redis_retry::until_answered},
    graph::{Catalog, Workflow},
    queue::Result,
    task::{Failure, FailureKind, InstanceId, Warning},
};
use std::{collections::HashMap, sync::Arc};
use tokio::time::Instant;

/// Decision after a refusal.
pub(crate) enum AfterRefusal {
    /// The instance was read again, and takes the graph as it is now: submit once more.
    SubmitAgain,
    /// The attempt ends.
    End(StageError),
}

/// Reads the catalog of the instance again, and decides how the attempt goes on after the refusal of its graph.
/// `is_first` = no other submit of the attempt was refused.
pub(crate) async fn on_refusal(context: &AttemptContext, refusal: Failure, is_first: bool) -> AfterRefusal {
    let refused_at = Instant::now();
    if refusal.kind != FailureKind::InvalidWorkflow {
        return AfterRefusal::End(StageError::failed(refusal));
    }
    let instance = &context.instance;
    let known = instance.catalog.hash();
    if let Err(reason) = catalog_refresh::read_after(instance, refused_at).await {
        tracing::debug!(instance = %instance.target.id, reason, "catalog not read after a refusal");
        if instance.catalog.hash().is_none() {
            return AfterRefusal::End(StageError::failed(refusal));
        }
    }
    match until_answered(context.call("find_others"), || placement(context)).await {
        Placement::Here if is_first && instance.catalog.hash() != known => AfterRefusal::SubmitAgain,
        Placement::Others(others) if !others.is_empty() => {
            AfterRefusal::End(StageError::Unsuitable { others, reason: refusal.message })
        }
        Placement::Here | Placement::Others(_) => AfterRefusal::End(StageError::failed(refusal)),
    }
}

/// The instances that can run a task.
enum Placement {
    /// This instance can.
    Here,
    /// Only these others can.
    Others(Vec<InstanceId>),
}

/// Finds the instances of the config that can run the task.
async fn placement(context: &AttemptContext) -> Result<Placement> {
    let queue = context.instance.queue();
    let (Some(workflow), Some(task)) = (&context.workflow, queue.task(context.claim.task).await?) else {
        return Ok(Placement::Others(Vec::new()));
    };
    let mut fit_of = FitCache { context, workflow, warnings: &task.facts.warnings, fits: HashMap::new() };
    if fit_of.fits(context.instance.catalog.hash()).await? {
        return Ok(Placement::Here);
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
    Ok(Placement::Others(others))
}

/// Verdicts on one graph, by the hash of the catalog that it was checked against.
struct FitCache<'a> {
    context: &'a AttemptContext,
    workflow: &'a Workflow,
    warnings: &'a [Warning],
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
        let fits = catalog.is_none_or(|catalog| self.workflow.fits(&Arc::new(catalog), self.warnings));
        self.fits.insert(hash, fits);
        Ok(fits)
    }
}

//! A dry run: the plan of a submission, with an estimate of its start and run, and nothing stored or enqueued.

use super::{
    Error, Request, Result, Submitter,
    eta::{eta_ms, run_ms},
    plan::{Plan, Purpose},
};
use crate::task::{InstanceId, Warning};
use serde_json::value::RawValue;
use std::sync::Arc;

/// The first task of a submission as it would be enqueued.
#[derive(Debug)]
pub struct DryRun {
    /// Tasks of the batch; `None` for a single task.
    pub count: Option<u16>,
    /// Graph with the params in it. Inputs that take a file hold `null`.
    pub workflow: Box<RawValue>,
    /// Nodes of the graph.
    pub nodes_total: u32,
    /// Seeds drawn, by input.
    pub seeds: Vec<(String, u64)>,
    /// Well-known names with the input that each was mapped to.
    pub mapped: Vec<(String, String)>,
    /// Warnings for the submitter.
    pub warnings: Vec<Warning>,
    /// Enabled instances of the fleet config that have what the task needs, as far as is known.
    pub eligible_instances: Vec<InstanceId>,
    /// Eligible instances that are healthy and idle.
    pub free_instances: Vec<InstanceId>,
    /// Estimated time to its start, ms.
    pub eta_ms: Option<u64>,
    /// Estimated run, ms, by recent runs with the same hash, else by all recent runs.
    pub run_ms: Option<u64>,
    /// Hash of the graph without seeds, texts and file names.
    pub workflow_hash: String,
    /// Whether the graph was checked against the catalogs of instances; false before an instance was seen.
    pub is_checked: bool,
}

impl DryRun {
    /// Plans a request, and estimates the start and run of its first task.
    pub(super) async fn new(submitter: &Submitter, request: &Arc<Request>) -> Result<Self> {
        let submission = &request.submission;
        let Plan { first, incoming, stored, fleet, .. } = Plan::new(submitter, request, Purpose::Show).await?;
        for id in stored {
            if submitter.queue.file(id).await?.is_none() {
                return Err(Error::NoSuchFile(id));
            }
        }
        let (wait_facts, instances) = tokio::try_join!(
            submitter.queue.wait_facts_of_new(submission.priority, Some(&first.workflow_hash)),
            submitter.queue.instance_views()
        )?;
        let eligible = first.eligible.as_deref().unwrap_or_default();
        let is_enabled = |id: &&InstanceId| !instances.iter().any(|one| one.id == id.as_str() && !one.enabled);
        let eligible_now = first.eligible.as_ref().unwrap_or(&fleet.instances).iter().filter(is_enabled);
        let eligible_instances: Vec<InstanceId> = eligible_now.cloned().collect();
        let is_free = |id: &&InstanceId| instances.iter().any(|one| one.id == id.as_str() && one.is_free());
        Ok(Self {
            count: submission.expansion.as_ref().map(|expansion| expansion.task_count()),
            eta_ms: eta_ms(&wait_facts, eligible, &instances),
            run_ms: run_ms(&wait_facts, eligible, &instances),
            free_instances: eligible_instances.iter().filter(is_free).cloned().collect(),
            eligible_instances,
            workflow: first.workflow,
            nodes_total: first.nodes_total,
            seeds: first.seeds,
            mapped: first.mapped,
            warnings: first.warnings.into_iter().chain(incoming.not_fetched()).collect(),
            workflow_hash: first.workflow_hash,
            is_checked: !fleet.catalog.is_empty(),
        })
    }
}

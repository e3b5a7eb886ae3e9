//! What a submission comes to before anything is stored: the resolved graph, its files, who can run it. And showing only that
//! (`?dryRun=true`).

use super::{
    ApiState,
    answer::Answer,
    error::{ApiError, Result},
    inline::{self, Decoded},
    knowledge::Snapshot,
    remote::{self, Wanted},
    submission::Submission,
};
use crate::{
    graph::{self, GraphLimits, Problem, Resolved, Workflow},
    settings::limits::{GRAPH_DEPTH_MAX, NODES_MAX},
    task::{FileInput, InstanceId, ResolvedView, Warning},
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

const GRAPH_LIMITS: GraphLimits = GraphLimits { nodes_max: NODES_MAX, depth_max: GRAPH_DEPTH_MAX };

/// A submission, resolved.
pub(super) struct Draft {
    /// With the params in it.
    pub(super) workflow: Box<RawValue>,
    /// As submitted, where that is something else.
    pub(super) original: Option<Box<RawValue>>,
    /// As submitted, `{}` when absent.
    pub(super) params: Box<RawValue>,
    /// Stored files it names.
    pub(super) files: Vec<FileInput>,
    /// Files that came with it, to be stored.
    pub(super) inline: Vec<Decoded>,
    /// Files at URLs, to be fetched and stored.
    pub(super) remote: Vec<Wanted>,
    /// Drawn.
    pub(super) seeds: Vec<(String, u64)>,
    /// Well-known names, with the address found.
    pub(super) mapped: Vec<(String, String)>,
    pub(super) warnings: Vec<Warning>,
    /// Who has what it needs; `None` = everybody, as far as is known.
    pub(super) eligible: Option<Vec<InstanceId>>,
    pub(super) nodes_total: u32,
    known: Arc<Snapshot>,
}

/// Answer of a dry run: nothing was enqueued, nothing stored.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DryRun {
    dry_run: bool,
    /// The graph with the params in it; inputs that take a file hold `null`.
    #[schema(value_type = Object)]
    workflow: Box<RawValue>,
    nodes_total: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<ResolvedView>,
    warnings: Vec<Warning>,
    /// The instances of the config that have what it needs, as far as is known.
    eligible_instances: Vec<InstanceId>,
    /// Whether it was checked against what instances have: not before one was seen.
    checked: bool,
}

impl Draft {
    /// Resolves; every problem of graph and params in one answer.
    pub(super) async fn of(state: &ApiState, submission: &Submission<'_>) -> Result<Self> {
        Self::against(state.knowledge.now().await, state, submission)
    }

    /// The same whatever the instances have.
    pub(super) fn unchecked(state: &ApiState, submission: &Submission<'_>) -> Result<Self> {
        Self::against(Arc::default(), state, submission)
    }

    fn against(known: Arc<Snapshot>, state: &ApiState, submission: &Submission<'_>) -> Result<Self> {
        let workflow = Workflow::parse(submission.workflow, GRAPH_LIMITS).map_err(ApiError::InvalidWorkflow)?;
        let params = submission.params.map_or_else(empty_object, |params| Ok(params.to_owned()))?;
        let options = graph::Options {
            is_strict: submission.is_strict,
            randomizes_seeds: submission.randomizes_seeds,
            maps_names: submission.maps_names,
            pool: Some(&known.pool),
        };
        let resolved = graph::resolve(&workflow, &params, &options).map_err(refused)?;
        let Resolved { workflow, files, inline, remote, seeds, mapped, warnings, eligible } = resolved;
        let inline = inline::decode(&inline, state.file_bytes_max)?;
        let remote = remote::check(&state.fetcher, remote).map_err(refused)?;
        let names_files = !files.is_empty() || !remote.is_empty();
        let is_changed = submission.params.is_some_and(has_members) || !seeds.is_empty() || names_files;
        Ok(Self {
            workflow: workflow.to_json(),
            original: is_changed.then(|| submission.workflow.to_owned()),
            params,
            files,
            inline,
            remote,
            seeds,
            mapped,
            warnings,
            eligible,
            nodes_total: u32::try_from(workflow.node_count()).unwrap_or(u32::MAX),
            known,
        })
    }

    /// Shows it, once the stored files that it names are known to be there.
    pub(super) async fn show(mut self, state: &ApiState) -> Result<Answer<DryRun>> {
        for input in &self.files {
            if state.queue.file(input.file_id).await?.is_none() {
                return Err(ApiError::NoSuchFile(input.file_id));
            }
        }
        self.warnings.extend(remote::not_fetched(&self.remote));
        Ok(Answer(DryRun {
            dry_run: true,
            workflow: self.workflow,
            nodes_total: self.nodes_total,
            resolved: ResolvedView::new(&self.seeds, &self.mapped),
            warnings: self.warnings,
            eligible_instances: self.eligible.unwrap_or_else(|| self.known.instances.clone()),
            checked: !self.known.pool.is_empty(),
        }))
    }
}

/// What is wrong with the graph alone is told as that.
pub(super) fn refused(problems: Vec<Problem>) -> ApiError {
    if problems.iter().all(|problem| problem.pointer.starts_with("/workflow")) {
        ApiError::InvalidWorkflow(problems)
    } else {
        ApiError::InvalidParams(problems)
    }
}

fn has_members(params: &RawValue) -> bool {
    params.get().bytes().any(|byte| !matches!(byte, b'{' | b'}' | b'[' | b']') && !byte.is_ascii_whitespace())
}

fn empty_object() -> Result<Box<RawValue>> {
    RawValue::from_string("{}".to_owned()).map_err(|_| ApiError::Internal)
}

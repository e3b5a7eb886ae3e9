//! What a submission comes to before anything is stored: the resolved graph, its files, who can run it. And showing only that
//! (`?dryRun=true`).

use super::{
    ApiState,
    answer::Answer,
    error::{ApiError, Result},
    eta,
    inline::{self, Decoded},
    instances,
    knowledge::Snapshot,
    remote::{self, Wanted},
    submission::Submission,
};
use crate::{
    graph::{self, GraphLimits, Problem, Resolved, Workflow},
    settings::limits::{GRAPH_DEPTH_MAX, NODES_MAX},
    task::{FileInput, InstanceId, Priority, ResolvedView, Warning},
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
    /// What narrowed it to them.
    pub(super) needs: Vec<String>,
    /// Names the graph but for seeds, texts and file names.
    pub(super) workflow_hash: String,
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
    /// From now to its start, as far as it can be told.
    #[schema(required)]
    eta_ms: Option<u64>,
    /// Its run, by what recent ones took: of the same graph but for seeds, texts and file names, else of all.
    #[schema(required)]
    run_ms: Option<u64>,
    /// Names that graph.
    workflow_hash: String,
    /// Whether it was checked against what instances have: not before one was seen.
    checked: bool,
}

impl Draft {
    /// Resolves; every problem of graph and params in one answer.
    pub(super) async fn of(state: &ApiState, submission: &Submission<'_>) -> Result<Self> {
        Self::against(state.knowledge.now().await, state, submission)
    }

    /// The same whatever the instances have: of a request that was accepted before, and whose task will be the answer. The
    /// editor's format cannot be converted without them, and need not be.
    pub(super) fn unchecked(state: &ApiState, submission: &Submission<'_>) -> Result<Self> {
        match Self::against(Arc::default(), state, submission) {
            Err(ApiError::InvalidWorkflow(problems)) if problems.iter().any(|one| one.code == "workflow_format_ui") => {
                Ok(Self::nothing(submission))
            }
            draft => draft,
        }
    }

    fn nothing(submission: &Submission<'_>) -> Self {
        Self {
            workflow: submission.workflow.to_owned(),
            original: None,
            params: submission.params.unwrap_or(RawValue::NULL).to_owned(),
            files: Vec::new(),
            inline: Vec::new(),
            remote: Vec::new(),
            seeds: Vec::new(),
            mapped: Vec::new(),
            warnings: Vec::new(),
            eligible: None,
            needs: Vec::new(),
            workflow_hash: String::new(),
            nodes_total: 0,
            known: Arc::default(),
        }
    }

    fn against(known: Arc<Snapshot>, state: &ApiState, submission: &Submission<'_>) -> Result<Self> {
        let (workflow, converted) =
            Workflow::read(submission.workflow, GRAPH_LIMITS, &known.pool).map_err(ApiError::InvalidWorkflow)?;
        let params = submission.params.map_or_else(empty_object, |params| Ok(params.to_owned()))?;
        let options = graph::Options {
            is_strict: submission.is_strict,
            randomizes_seeds: submission.randomizes_seeds,
            maps_names: submission.maps_names,
            pool: Some(&known.pool),
        };
        let resolved = graph::resolve(&workflow, &params, &options).map_err(refused)?;
        let Resolved { workflow, files, inline, remote, seeds, mapped, mut warnings, eligible, needs } = resolved;
        let inline = inline::decode(&inline, state.file_bytes_max)?;
        let remote = remote::check(&state.fetcher, remote).map_err(refused)?;
        let names_files = !files.is_empty() || !remote.is_empty();
        let is_changed =
            submission.params.is_some_and(has_members) || !seeds.is_empty() || names_files || !converted.is_empty();
        warnings.splice(0..0, converted);
        Ok(Self {
            workflow_hash: workflow.hash(&known.pool),
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
            needs,
            nodes_total: u32::try_from(workflow.node_count()).unwrap_or(u32::MAX),
            known,
        })
    }

    /// Shows it, once the stored files that it names are known to be there.
    pub(super) async fn show(mut self, state: &ApiState, priority: Priority) -> Result<Answer<DryRun>> {
        for input in &self.files {
            if state.queue.file(input.file_id).await?.is_none() {
                return Err(ApiError::NoSuchFile(input.file_id));
            }
        }
        self.warnings.extend(remote::not_fetched(&self.remote));
        let (prospects, instances) = tokio::try_join!(
            async { Ok::<_, ApiError>(state.queue.prospects_of_new(priority, Some(&self.workflow_hash)).await?) },
            instances::views(&state.queue)
        )?;
        Ok(Answer(DryRun {
            dry_run: true,
            eta_ms: eta::start_ms(&prospects, self.eligible.as_deref().unwrap_or_default(), &instances),
            run_ms: prospects.run_ms.or(prospects.any_run_ms),
            workflow_hash: self.workflow_hash,
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

//! What a submission comes to before anything is stored: the resolved graph, its files, who can run it. And showing only that
//! (`?dryRun=true`).

use super::{
    ApiState,
    error::{ApiError, Result},
    eta,
    http::envelope::Answer,
    inline::{self, Decoded},
    knowledge::Snapshot,
    named::Named,
    remote::{self, Wanted},
    routes::instances,
    submission::Submission,
};
use crate::{
    graph::{self, GraphLimits, InlineFile, Problem, RemoteFile, Resolved, Workflow},
    settings::limits::{GRAPH_DEPTH_MAX, NODES_MAX},
    task::{FileId, FileInput, FlowVersion, InstanceId, Priority, ResolvedView, Warning},
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::{Arc, LazyLock};

pub(super) const GRAPH_LIMITS: GraphLimits = GraphLimits { nodes_max: NODES_MAX, depth_max: GRAPH_DEPTH_MAX };

/// What params are when there are none.
static EMPTY_OBJECT: LazyLock<Box<RawValue>> =
    LazyLock::new(|| RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"));

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
    /// The published workflow that it is made from.
    pub(super) flow: Option<FlowVersion>,
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
    /// How many tasks a batch would have; what is shown is its first.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u16>,
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

/// What is resolved, as often as there are tasks of it: a graph, and how.
pub(super) struct Source<'a> {
    submission: &'a Submission<'a>,
    named: Option<&'a Named>,
    /// As submitted or published.
    text: &'a RawValue,
    workflow: Workflow,
    /// What was done to read the editor's format.
    converted: Vec<Warning>,
}

/// Files that a draft needs and that are not stored yet.
#[derive(Debug, Default)]
pub(super) struct Coming {
    /// From inside the request.
    pub(super) inline: Vec<InlineFile>,
    /// From URLs.
    pub(super) remote: Vec<RemoteFile>,
}

impl Coming {
    pub(super) fn is_empty(&self) -> bool {
        self.inline.is_empty() && self.remote.is_empty()
    }
}

impl<'a> Source<'a> {
    /// Reads the graph of the submission, or of the published workflow that it names.
    pub(super) fn new(submission: &'a Submission<'a>, named: Option<&'a Named>, known: &Snapshot) -> Result<Self> {
        let text = named.map_or(submission.workflow, |named| &named.flow.graph);
        let (workflow, converted) =
            Workflow::read(text, GRAPH_LIMITS, &known.pool).map_err(ApiError::InvalidWorkflow)?;
        Ok(Self { submission, named, text, workflow, converted })
    }

    /// Puts params in, as `known` has it; gives the files too that are to come.
    pub(super) fn resolve(
        &self,
        known: &Arc<Snapshot>,
        given: Option<&RawValue>,
    ) -> Result<(Draft, Coming), Vec<Problem>> {
        let params = given.unwrap_or(&EMPTY_OBJECT);
        let options = graph::Options {
            is_strict: self.submission.is_strict,
            randomizes_seeds: self.submission.randomizes_seeds,
            maps_names: self.submission.maps_names,
            declared: self.named.map(|named| &named.declared),
            is_publishing: false,
            pool: Some(&known.pool),
        };
        let Resolved { workflow, files, inline, remote, seeds, mapped, mut warnings, eligible, needs } =
            graph::resolve(&self.workflow, params, &options)?;
        let names_files = !files.is_empty() || !remote.is_empty();
        let is_given = self.named.is_some() || given.is_some_and(has_members);
        let is_changed = is_given || !seeds.is_empty() || names_files || !self.converted.is_empty();
        warnings.splice(0..0, self.converted.iter().cloned());
        let draft = Draft {
            workflow_hash: workflow.hash(&known.pool),
            workflow: workflow.to_json(),
            original: is_changed.then(|| self.text.to_owned()),
            params: params.to_owned(),
            files,
            inline: Vec::new(),
            remote: Vec::new(),
            seeds,
            mapped,
            warnings,
            eligible,
            flow: self.named.map(Named::version),
            needs,
            nodes_total: u32::try_from(workflow.node_count()).unwrap_or(u32::MAX),
            known: known.clone(),
        };
        Ok((draft, Coming { inline, remote }))
    }
}

impl Draft {
    /// Resolves; every problem of graph and params in one answer.
    pub(super) async fn of(state: &ApiState, submission: &Submission<'_>, named: Option<&Named>) -> Result<Self> {
        let known = state.knowledge.now().await;
        let source = Source::new(submission, named, &known)?;
        let (draft, coming) = source.resolve(&known, submission.params).map_err(refused)?;
        let inline = inline::decode(&coming.inline, state.file_bytes_max)?;
        let remote = remote::check(&state.fetcher, coming.remote).map_err(refused)?;
        Ok(Self { inline, remote, ..draft })
    }

    /// Stored files that it needs.
    pub(super) fn file_ids(&self) -> impl Iterator<Item = FileId> {
        self.files.iter().map(|input| input.file_id)
    }

    /// Shows it, once the stored files that it names are known to be there.
    pub(super) async fn show(
        mut self,
        state: &ApiState,
        priority: Priority,
        count: Option<u16>,
    ) -> Result<Answer<DryRun>> {
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
            count,
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

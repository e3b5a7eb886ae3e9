//! The workflow of a submission, parsed once, and the task that it becomes with one set of params.

use super::{Result, catalog_cache::FleetSnapshot, published_workflow::PublishedWorkflow, submission::OwnedSubmission};
use crate::{
    graph::{self, Budget, GraphLimits, InlineFile, OwnFiles, RemoteFile, Resolved, UploadNames, Workflow},
    problem::Problem,
    settings::limits::{GRAPH_DEPTH_MAX, NODES_MAX},
    task::{FileInput, InstanceId, Warning, WorkflowVersion, png_info},
};
use serde_json::value::RawValue;
use std::sync::LazyLock;

/// Limits of a submitted or published graph.
pub(super) const GRAPH_LIMITS: GraphLimits = GraphLimits { nodes_max: NODES_MAX, depth_max: GRAPH_DEPTH_MAX };

/// Workflow of a submission, and the options to resolve it with.
pub(super) struct Template<'a> {
    submission: &'a OwnedSubmission,
    published: Option<&'a PublishedWorkflow<'a>>,
    /// Graph as submitted or published.
    text: &'a RawValue,
    workflow: Workflow,
    /// Warnings of the conversion from the editor's format.
    conversion: Vec<Warning>,
    /// Members of `extra_pnginfo` that every task has.
    png_info: Option<Box<RawValue>>,
    fleet: &'a FleetSnapshot,
    own: &'a OwnFiles,
    uploads: &'a UploadNames,
    budget: &'a Budget,
}

/// A task of a submission, resolved and not accepted yet.
pub(super) struct Draft {
    /// Graph with the params in it.
    pub(super) workflow: Box<RawValue>,
    /// Graph as submitted, if resolving changed it.
    pub(super) original: Option<Box<RawValue>>,
    /// Whether it is in the editor's format.
    pub(super) is_editor: bool,
    /// Members of `extra_pnginfo`.
    pub(super) png_info: Option<Box<RawValue>>,
    /// Params as submitted, `{}` without any.
    pub(super) params: Box<RawValue>,
    /// Inputs that use a file.
    pub(super) files: Vec<FileInput>,
    /// Seeds drawn.
    pub(super) seeds: Vec<(String, u64)>,
    /// Well-known names with the address that each was mapped to.
    pub(super) mapped: Vec<(String, String)>,
    /// Warnings for the submitter.
    pub(super) warnings: Vec<Warning>,
    /// Instances that have what the task needs; `None` = every instance, as far as is known.
    pub(super) eligible: Option<Vec<InstanceId>>,
    /// Published workflow that the task is made from.
    pub(super) published: Option<WorkflowVersion>,
    /// Requirements that narrowed the eligible instances.
    pub(super) needs: Vec<String>,
    /// Hash of the graph without seeds, texts and file names.
    pub(super) workflow_hash: String,
    /// Nodes of the graph.
    pub(super) nodes_total: u32,
}

/// Files that come with one task.
pub(super) struct TaskFiles {
    pub(super) inline: Vec<InlineFile>,
    pub(super) urls: Vec<RemoteFile>,
}

impl<'a> Template<'a> {
    /// Reads the graph of the submission, or of the published workflow that it names.
    pub(super) fn new(
        submission: &'a OwnedSubmission,
        published: Option<&'a PublishedWorkflow<'a>>,
        (fleet, own, uploads): (&'a FleetSnapshot, &'a OwnFiles, &'a UploadNames),
        budget: &'a Budget,
    ) -> Result<Self> {
        let text = published.map_or(&submission.workflow, |published| &published.workflow.graph);
        let (workflow, conversion) =
            Workflow::read_within(text, GRAPH_LIMITS, &fleet.catalog, budget).map_err(super::Error::InvalidWorkflow)?;
        let editor = published.and_then(|published| published.workflow.editor.as_deref());
        let png_info = png_info(submission.png_info.as_deref(), editor);
        Ok(Self { submission, published, text, workflow, conversion, png_info, fleet, own, uploads, budget })
    }

    /// Puts params into the graph. Returns the task, and the files that come with it.
    ///
    /// # Errors
    /// Every problem of graph and params.
    pub(super) fn resolve(&self, params: Option<&RawValue>) -> Result<(Draft, TaskFiles), Vec<Problem>> {
        let given = match params {
            Some(params) => params,
            None => no_params(),
        };
        let options = graph::Options {
            is_strict: self.submission.is_strict,
            randomizes_seeds: self.submission.draws_seeds(),
            maps_names: self.submission.maps_names,
            declared: self.published.map(|published| &published.declared),
            is_publishing: false,
            pool: Some(&self.fleet.catalog),
            own: Some(self.own),
            uploads: Some(self.uploads),
            now: Some(jiff::ZonedDateTime::now().datetime()),
            budget: self.budget,
        };
        let Resolved { workflow, files, inline, remote, seeds, mapped, mut warnings, eligible, needs } =
            graph::resolve(&self.workflow, given, &options)?;
        // Its hash and its text are made from all of it.
        self.budget.spend(workflow.node_count());
        self.budget.spend_text(2 * self.text.get().len());
        let names_files = !files.is_empty() || !remote.is_empty() || !inline.is_empty();
        let has_params = self.published.is_some() || params.is_some_and(has_members);
        let is_changed =
            has_params || !seeds.is_empty() || names_files || !self.conversion.is_empty() || workflow.is_changed();
        warnings.splice(0..0, self.submission.notes.iter().chain(&self.conversion).cloned());
        let draft = Draft {
            workflow_hash: workflow.hash(&self.fleet.catalog),
            workflow: workflow.to_json(),
            original: is_changed.then(|| self.text.to_owned()),
            is_editor: !self.conversion.is_empty(),
            png_info: self.png_info.clone(),
            params: given.to_owned(),
            files,
            seeds,
            mapped,
            warnings,
            eligible,
            published: self.published.map(PublishedWorkflow::version),
            needs,
            nodes_total: u32::try_from(workflow.node_count()).unwrap_or(u32::MAX),
        };
        Ok((draft, TaskFiles { inline, urls: remote }))
    }
}

/// Returns the params of a submission without any: `{}`.
pub(super) fn no_params() -> &'static RawValue {
    static NO_PARAMS: LazyLock<Box<RawValue>> =
        LazyLock::new(|| RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"));
    &NO_PARAMS
}

fn has_members(params: &RawValue) -> bool {
    params.get().bytes().any(|byte| !matches!(byte, b'{' | b'}' | b'[' | b']') && !byte.is_ascii_whitespace())
}

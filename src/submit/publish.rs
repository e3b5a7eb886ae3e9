//! Publication of a workflow: checked as a submission would be, as far as that is possible before one exists.

use super::{
    Error, Result, Submitter,
    catalog_cache::FleetSnapshot,
    files::check_urls,
    misses,
    published_workflow::PublishedWorkflow,
    template::{GRAPH_LIMITS, no_params},
};
use crate::{
    auth::Caller,
    fetch::Fetcher,
    graph::{self, Budget, Declared, OwnFiles, Published, Workflow},
    json,
    queue::{NewWorkflow, StoredWorkflow, WORKFLOW_LIMITS, WorkflowFound, WorkflowHead, WorkflowWritten},
    task::{FileId, Warning, WorkflowName},
};
use serde_json::value::RawValue;
use std::{collections::BTreeSet, sync::Arc};

/// User that all publications count as: there is one administrator.
const PUBLISHER: &str = "";

/// A new version of a published workflow.
#[derive(Debug)]
pub struct Publication<'a> {
    /// Graph, in the format of ComfyUI's API or of its editor.
    pub graph: &'a RawValue,
    /// Declared params: `{name: {"target"?,"type",…}}`; `None` = none.
    pub params: Option<&'a RawValue>,
    /// The publisher's description.
    pub description: Option<String>,
    /// Newest version to replace, 0 = none; `None` = any.
    pub expected: Option<u64>,
    /// Host that the client used: links to it are our own files.
    pub host: Option<String>,
}

/// A publication and everything that checking it reads, for another thread.
#[derive(Clone)]
struct Checking {
    graph: Box<RawValue>,
    params: Option<Box<RawValue>>,
    description: Option<String>,
    fleet: Arc<FleetSnapshot>,
    own: OwnFiles,
    fetcher: Fetcher,
}

/// A checked publication, in the form that is stored.
struct CheckedPublication {
    /// Graph in the format of the API, without white space.
    graph: Box<RawValue>,
    /// Graph as published, if that is the editor's format.
    editor: Option<Box<RawValue>>,
    head: WorkflowHead,
    /// Stored files that graph and defaults name.
    files: BTreeSet<FileId>,
    warnings: Vec<Warning>,
}

impl Publication<'_> {
    /// Checks the publication and stores it as a version of `name`.
    pub(super) async fn store(
        self,
        submitter: &Submitter,
        name: &WorkflowName,
    ) -> Result<(StoredWorkflow, Vec<Warning>)> {
        let (queue, expected) = (&submitter.queue, self.expected);
        let mut checking = Checking {
            graph: self.graph.to_owned(),
            params: self.params.map(ToOwned::to_owned),
            description: self.description,
            fleet: submitter.catalogs.current().await,
            own: submitter.own.clone().with_host(self.host.as_deref()),
            fetcher: submitter.fetcher.clone(),
        };
        let bytes = checking.graph.get().len() + checking.params.as_ref().map_or(0, |params| params.get().len());
        let first = checking.clone();
        let mut checked = submitter.cpu.run(PUBLISHER, bytes, move |budget| first.check(budget)).await;
        let is_miss = match &checked {
            Ok(checked) => misses::warns_of_miss(&checked.warnings),
            Err(error) => misses::is_missing(error),
        };
        if is_miss {
            let fleet = submitter.catalogs.refreshed().await;
            if !Arc::ptr_eq(&fleet, &checking.fleet) {
                checking.fleet = fleet;
                checked = submitter.cpu.run(PUBLISHER, bytes, move |budget| checking.check(budget)).await;
            }
        }
        let checked = checked.map_err(|error| misses::explain(error, submitter.catalogs.oldest_list()))?;
        let CheckedPublication { graph, editor, head, files, warnings } = checked;
        let new = NewWorkflow { head: &head, graph: &graph, editor: editor.as_deref(), files: &files };
        match queue.publish_workflow(name, new, expected, WORKFLOW_LIMITS).await? {
            WorkflowWritten::Written(version) | WorkflowWritten::Same(version) => {
                match queue.workflow(name, Some(version)).await? {
                    WorkflowFound::Found(workflow) => Ok((*workflow, warnings)),
                    WorkflowFound::NoSuchName(_) | WorkflowFound::NoSuchVersion(_) => Err(Error::WorkflowDeleted),
                }
            }
            WorkflowWritten::Outdated(version) => Err(Error::VersionConflict(version)),
            WorkflowWritten::Full => Err(Error::TooManyWorkflows(WORKFLOW_LIMITS.workflows_max)),
            WorkflowWritten::NoSuchFile(id) => Err(Error::NoSuchFile(id)),
        }
    }
}

impl Checking {
    fn check(&self, budget: &Budget) -> Result<CheckedPublication> {
        let graph = compact(&self.graph);
        let params = self.params.as_deref().map_or_else(|| no_params().to_owned(), compact);
        let head = WorkflowHead { description: self.description.clone(), params };
        let catalog = &self.fleet.catalog;
        let read = (Workflow::read_within(&graph, GRAPH_LIMITS, catalog, budget), Declared::read(&head.params));
        let ((workflow, conversion), declared) = match read {
            (Ok(workflow), Ok(declared)) => (workflow, declared),
            (workflow, declared) => {
                let problems: Vec<_> = workflow.err().into_iter().chain(declared.err()).flatten().collect();
                return Err(problems.into());
            }
        };
        let Published { files, remote, warnings } = graph::publish(&workflow, &declared, (catalog, &self.own), budget)?;
        check_urls(&self.fetcher, remote)?;
        let (graph, editor) =
            if conversion.is_empty() { (graph, None) } else { (compact(&workflow.to_json()), Some(graph)) };
        let files = files.into_iter().map(|input| input.file_id).collect();
        Ok(CheckedPublication {
            graph,
            editor,
            head,
            files,
            warnings: conversion.into_iter().chain(warnings).collect(),
        })
    }
}

/// Returns the JSON Schema of the params of a published workflow.
pub(super) async fn schema(
    submitter: &Submitter,
    caller: &Caller,
    workflow: StoredWorkflow,
) -> Result<serde_json::Value> {
    let fleet = submitter.catalogs.current().await;
    let bytes = workflow.graph.get().len() + workflow.head.params.get().len();
    let made = move |budget: &Budget| {
        let published = PublishedWorkflow::new(&workflow)?;
        let graph = Workflow::parse(&workflow.graph, GRAPH_LIMITS).map_err(Error::InvalidWorkflow)?;
        let title = published.version().to_string();
        let description = workflow.head.description.as_deref();
        Ok(graph::schema(&title, description, &graph, &published.declared, &fleet.catalog, budget))
    };
    submitter.cpu.run(&caller.username, bytes, made).await
}

/// Returns the value without white space, so that equal content is equal text.
fn compact(json: &RawValue) -> Box<RawValue> {
    RawValue::from_string(json::compact(json.get())).unwrap_or_else(|_| json.to_owned())
}

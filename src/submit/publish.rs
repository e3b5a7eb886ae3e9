//! Publication of a workflow: checked as a submission would be, as far as that is possible before one exists.

use super::{
    Error, Result, Submitter,
    files::check_urls,
    template::{GRAPH_LIMITS, no_params},
};
use crate::{
    graph::{self, Declared, Published, Workflow},
    json,
    queue::{NewWorkflow, StoredWorkflow, WORKFLOW_LIMITS, WorkflowFound, WorkflowHead, WorkflowWritten},
    task::{FileId, Warning, WorkflowName},
};
use serde_json::value::RawValue;
use std::collections::BTreeSet;

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
}

/// A checked publication, in the form that is stored.
struct CheckedPublication {
    /// Graph in the format of the API, without white space.
    graph: Box<RawValue>,
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
        let CheckedPublication { graph, head, files, warnings } = self.check(submitter).await?;
        let new = NewWorkflow { head: &head, graph: &graph, files: &files };
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

    async fn check(self, submitter: &Submitter) -> Result<CheckedPublication> {
        let graph = compact(self.graph);
        let params = self.params.map_or_else(|| no_params().to_owned(), compact);
        let head = WorkflowHead { description: self.description, params };
        let fleet = submitter.catalogs.current().await;
        let read = (Workflow::read(&graph, GRAPH_LIMITS, &fleet.catalog), Declared::read(&head.params));
        let ((workflow, conversion), declared) = match read {
            (Ok(workflow), Ok(declared)) => (workflow, declared),
            (workflow, declared) => {
                let problems: Vec<_> = workflow.err().into_iter().chain(declared.err()).flatten().collect();
                return Err(problems.into());
            }
        };
        let Published { files, remote, warnings } = graph::publish(&workflow, &declared, &fleet.catalog)?;
        check_urls(&submitter.fetcher, remote)?;
        let graph = if conversion.is_empty() { graph } else { compact(&workflow.to_json()) };
        let files = files.into_iter().map(|input| input.file_id).collect();
        Ok(CheckedPublication { graph, head, files, warnings: conversion.into_iter().chain(warnings).collect() })
    }
}

/// Returns the value without white space, so that equal content is equal text.
fn compact(json: &RawValue) -> Box<RawValue> {
    RawValue::from_string(json::compact(json.get())).unwrap_or_else(|_| json.to_owned())
}

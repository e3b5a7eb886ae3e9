//! The published workflow that a submission names: `"workflow": "name"` or `"name@3"`.

use super::{Error, Result};
use crate::{
    graph::Declared,
    problem::{Problem, suggest},
    queue::{Queue, StoredWorkflow, WorkflowFound},
    settings::limits::PAGE_MAX,
    task::{FileId, WorkflowName, WorkflowVersion},
};
use serde_json::value::RawValue;

/// Longest name or version shown in a message, characters.
const SHOWN_CHARS_MAX: usize = 80;

/// A published workflow and its declared params.
pub struct PublishedWorkflow {
    /// Version as stored.
    pub workflow: StoredWorkflow,
    /// Declared params.
    pub declared: Declared,
}

impl PublishedWorkflow {
    /// Reads the declared params of a stored version.
    ///
    /// # Errors
    /// [`Error::UnreadableWorkflow`].
    pub fn new(workflow: StoredWorkflow) -> Result<Self> {
        match Declared::read(&workflow.head.params) {
            Ok(declared) => Ok(Self { workflow, declared }),
            Err(problems) => {
                let version = WorkflowVersion { name: workflow.name, version: workflow.version };
                tracing::error!(workflow = %version, problem = ?problems.first(), "stored params of a workflow are invalid");
                Err(Error::UnreadableWorkflow(version))
            }
        }
    }

    /// Reads the published workflow that `workflow` names; `None` if it is a graph.
    pub(super) async fn load(queue: &Queue, workflow: &RawValue) -> Result<Option<Self>> {
        let is_name = workflow.get().starts_with('"');
        let Some(text) = is_name.then(|| serde_json::from_str::<String>(workflow.get()).ok()).flatten() else {
            return Ok(None);
        };
        let (name, version) = match text.split_once('@') {
            None => (text.as_str(), None),
            Some((name, version)) => (name, Some(version_number(version).ok_or_else(|| unknown_version(&text, &[]))?)),
        };
        let Ok(parsed) = name.parse::<WorkflowName>() else {
            let (_, rows) = queue.workflows(0, PAGE_MAX).await?;
            return Err(unknown_name(name, rows.into_iter().map(|row| row.name.into()).collect()));
        };
        match queue.workflow(&parsed, version).await? {
            WorkflowFound::Found(workflow) => Self::new(*workflow).map(Some),
            WorkflowFound::NoSuchVersion(kept) => Err(unknown_version(&text, &kept)),
            WorkflowFound::NoSuchName(names) => Err(unknown_name(name, names)),
        }
    }

    /// Returns its name and version.
    pub(super) fn version(&self) -> WorkflowVersion {
        WorkflowVersion { name: self.workflow.name.clone(), version: self.workflow.version }
    }

    /// Whether the publisher wrote this file's id into graph or defaults.
    pub(super) fn names_file(&self, id: FileId) -> bool {
        let id = id.to_string();
        self.workflow.graph.get().contains(&id) || self.workflow.head.params.get().contains(&id)
    }
}

/// Reads the version number of a workflow: plain digits.
pub fn version_number(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

fn unknown_name(name: &str, names: Vec<String>) -> Error {
    let candidates = suggest(name, names);
    let hint = match candidates.as_slice() {
        [] => "a `workflow` is a graph (ComfyUI's \"Export (API)\") or the name of a published one".to_owned(),
        near => format!("did you mean {}?", near.join(" or ")),
    };
    unknown(format!("no workflow `{}` is published; {hint}", shortened(name)), candidates)
}

fn unknown_version(text: &str, kept: &[u64]) -> Error {
    let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
    let hint =
        if kept.is_empty() { "write it like name@3".to_owned() } else { format!("kept are {}", kept.join(", ")) };
    unknown(format!("there is no version `{}`; {hint}", shortened(text)), Vec::new())
}

fn unknown(message: String, candidates: Vec<String>) -> Error {
    let problem = Problem::unfit("/workflow".to_owned(), "workflow_unknown", message);
    Error::UnknownWorkflow(Box::new(Problem { candidates, ..problem }))
}

fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

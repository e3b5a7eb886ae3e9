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
use std::collections::HashSet;

/// Longest name or version shown in a message, characters.
const SHOWN_CHARS_MAX: usize = 80;
/// Longest JSON text that may be a name with a version, bytes.
const NAME_BYTES_MAX: usize = 4_096;
/// Length of the text of a file id.
const ID_BYTES: usize = 36;

/// A published workflow and its declared params.
pub(super) struct PublishedWorkflow<'a> {
    /// Version as stored.
    pub(super) workflow: &'a StoredWorkflow,
    /// Declared params.
    pub(super) declared: Declared,
}

impl<'a> PublishedWorkflow<'a> {
    /// Reads the declared params of a stored version.
    ///
    /// # Errors
    /// [`Error::UnreadableWorkflow`].
    pub(super) fn new(workflow: &'a StoredWorkflow) -> Result<Self> {
        match Declared::read(&workflow.head.params) {
            Ok(declared) => Ok(Self { workflow, declared }),
            Err(problems) => {
                let version = version_of(workflow);
                tracing::error!(workflow = %version, problem = ?problems.first(), "stored params of a workflow are invalid");
                Err(Error::UnreadableWorkflow(version))
            }
        }
    }

    /// Returns its name and version.
    pub(super) fn version(&self) -> WorkflowVersion {
        version_of(self.workflow)
    }
}

fn version_of(workflow: &StoredWorkflow) -> WorkflowVersion {
    WorkflowVersion { name: workflow.name.clone(), version: workflow.version }
}

/// Returns the files whose ids the publisher wrote into graph or defaults.
pub(super) fn named_files(workflow: &StoredWorkflow) -> HashSet<FileId> {
    let ids = |text: &str| -> Vec<FileId> {
        let bytes = text.as_bytes();
        let is_id = |id: &&[u8]| [8, 13, 18, 23].iter().all(|&at| id[at] == b'-');
        let ids = bytes.windows(ID_BYTES).filter(is_id).filter_map(|id| std::str::from_utf8(id).ok()?.parse().ok());
        ids.collect()
    };
    ids(workflow.graph.get()).into_iter().chain(ids(workflow.head.params.get())).collect()
}

/// Reads the published workflow that `workflow` names; `None` if it is a graph.
pub(super) async fn load(queue: &Queue, workflow: &RawValue) -> Result<Option<StoredWorkflow>> {
    if !workflow.get().starts_with('"') {
        return Ok(None);
    }
    // A longer text is no name; a message shows its first characters.
    let short = if workflow.get().len() <= NAME_BYTES_MAX { workflow.get() } else { "\"…\"" };
    let text = serde_json::from_str::<String>(short).unwrap_or_default();
    let (name, version) = match text.split_once('@') {
        None => (text.as_str(), None),
        Some((name, version)) => (name, Some(version_number(version).ok_or_else(|| unknown_version(&text, &[]))?)),
    };
    let Ok(parsed) = name.parse::<WorkflowName>() else {
        let (_, rows) = queue.workflows(0, PAGE_MAX).await?;
        return Err(unknown_name(name, rows.into_iter().map(|row| row.name.into()).collect()));
    };
    match queue.workflow(&parsed, version).await? {
        WorkflowFound::Found(workflow) => Ok(Some(*workflow)),
        WorkflowFound::NoSuchVersion(kept) => Err(unknown_version(&text, &kept)),
        WorkflowFound::NoSuchName(names) => Err(unknown_name(name, names)),
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

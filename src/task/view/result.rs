//! Views of results and outputs, with their links.

use crate::task::{FileId, Links, Output};
use serde::Serialize;
use std::collections::BTreeSet;

/// Result of a task: `files` holds links in graph order, `outputs` the same outputs with their types.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ResultView {
    /// Links of all files.
    pub files: Vec<String>,
    /// All outputs with their types.
    pub outputs: Vec<OutputView>,
    /// Whether files and outputs were dropped at the end, for a list or an event; the task has all of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// An output with its link.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OutputView {
    /// The output as stored.
    #[serde(flatten)]
    pub output: Output,
    /// Link of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether the file has been deleted since; only these facts are left.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

impl ResultView {
    /// Makes the view of stored outputs, with their links.
    pub fn new(outputs: &[Output], links: &Links) -> Self {
        let outputs = OutputView::all(outputs, links);
        let files = outputs.iter().filter_map(|output| output.url.clone()).collect();
        Self { files, outputs, truncated: false }
    }

    /// Makes the view of outputs for an event: long ones are cut, besides the outputs that were `dropped` before.
    pub fn of_event(outputs: &[Output], dropped: usize, links: &Links) -> Self {
        let mut outputs = outputs.to_vec();
        let dropped = dropped + Output::cut_for_event(&mut outputs);
        Self { truncated: dropped > 0, ..Self::new(&outputs, links) }
    }

    /// Removes the links of deleted files.
    pub(super) fn without(mut self, gone: &BTreeSet<FileId>) -> Self {
        for output in &mut self.outputs {
            output.deleted = output.output.file_id.is_some_and(|id| gone.contains(&id));
            output.url.take_if(|_| output.deleted);
        }
        self.files = self.outputs.iter().filter_map(|output| output.url.clone()).collect();
        self
    }
}

impl OutputView {
    /// Makes the views of stored outputs, with links and without internal fields.
    pub fn all(outputs: &[Output], links: &Links) -> Vec<Self> {
        let view = |output: &Output| Self {
            url: output.file_id.map(|id| links.file(id)),
            deleted: false,
            output: Output { source: None, ..output.clone() },
        };
        outputs.iter().map(view).collect()
    }
}

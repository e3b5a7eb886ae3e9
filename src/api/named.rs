//! `"workflow": "name"` or `"name@3"` of a submit: the published workflow that is meant.

use super::{
    ApiState,
    error::{ApiError, Result},
    http::json,
};
use crate::{
    graph::{self, Declared, Problem},
    queue::{Flow, FlowFound},
    settings::limits::PAGE_MAX,
    task::{FileId, FlowName, FlowVersion},
};
use serde_json::value::RawValue;

/// A published workflow, ready for params.
pub(super) struct Named {
    /// As stored.
    pub(super) flow: Flow,
    /// The names that it takes.
    pub(super) declared: Declared,
}

impl Named {
    /// Which version of which.
    pub(super) fn version(&self) -> FlowVersion {
        FlowVersion { name: self.flow.name.clone(), version: self.flow.version }
    }

    /// Whether the publisher wrote this file's id into graph or defaults: nobody else can have known it there.
    pub(super) fn names(&self, id: FileId) -> bool {
        let id = id.to_string();
        self.flow.graph.get().contains(&id) || self.flow.head.params.get().contains(&id)
    }
}

/// Reads the published workflow that `workflow` names; `None` when it is a graph.
pub(super) async fn load(state: &ApiState, workflow: &RawValue) -> Result<Option<Named>> {
    let Some(text) = workflow.get().starts_with('"').then(|| json::text(workflow)).flatten() else { return Ok(None) };
    let (name, version) = match text.split_once('@') {
        None => (text.as_str(), None),
        Some((name, version)) => (name, Some(number(version).ok_or_else(|| unknown_version(&text, &[]))?)),
    };
    let Ok(parsed) = name.parse::<FlowName>() else {
        let (_, rows) = state.queue.flows(0, PAGE_MAX).await?;
        return Err(unknown_name(name, rows.into_iter().map(|row| row.name.into()).collect()));
    };
    match state.queue.flow(&parsed, version).await? {
        FlowFound::Flow(flow) => named(*flow).map(Some),
        FlowFound::NoSuchVersion(kept) => Err(unknown_version(&text, &kept)),
        FlowFound::NoSuchName(names) => Err(unknown_name(name, names)),
    }
}

/// Reads back what was published.
pub(super) fn named(flow: Flow) -> Result<Named> {
    let declared = Declared::read(&flow.head.params).map_err(|problems| {
        tracing::error!(workflow = %flow.name, version = flow.version, problem = ?problems.first(), "stored params do not read");
        ApiError::Internal
    })?;
    Ok(Named { flow, declared })
}

/// A version as it is written: plain digits.
pub(super) fn number(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

fn unknown_name(name: &str, names: Vec<String>) -> ApiError {
    let candidates = graph::near(name, names.into_iter());
    let hint = match candidates.as_slice() {
        [] => "a `workflow` is a graph (ComfyUI's \"Export (API)\") or the name of a published one".to_owned(),
        near => format!("did you mean {}?", near.join(" or ")),
    };
    unknown(format!("no workflow `{}` is published; {hint}", short(name)), candidates)
}

fn unknown_version(text: &str, kept: &[u64]) -> ApiError {
    let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
    let hint =
        if kept.is_empty() { "write it like name@3".to_owned() } else { format!("kept are {}", kept.join(", ")) };
    unknown(format!("there is no version `{}`; {hint}", short(text)), Vec::new())
}

fn unknown(message: String, candidates: Vec<String>) -> ApiError {
    let problem = Problem::unfit("/workflow".to_owned(), "workflow_unknown", message);
    ApiError::WorkflowUnknown(Box::new(Problem { candidates, ..problem }))
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

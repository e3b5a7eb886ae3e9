//! Published workflows, stored by name in numbered versions.

use super::{
    Error, Queue, Result, compression,
    redis::{
        script_call::{Reply, number},
        scripts::Verb,
    },
};
use crate::{
    settings::limits,
    task::{FileId, WorkflowName},
};
use fred::types::Value;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Limits on stored workflows.
#[derive(Debug, Clone, Copy)]
pub struct WorkflowLimits {
    /// Versions kept of one workflow; a newer one removes the oldest.
    pub versions_kept: u64,
    /// Workflows published at a time.
    pub workflows_max: u64,
    /// Deleted names whose last version is remembered, so that version numbers continue if a name is published again.
    pub gone_max: u64,
}

/// The limits that the API applies.
pub const WORKFLOW_LIMITS: WorkflowLimits = WorkflowLimits { versions_kept: 20, workflows_max: 500, gone_max: 10_000 };

/// A version without its graph.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = FlowHead)]
pub struct WorkflowHead {
    /// Description by the publisher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The declared parameters, as published: `{name: {"target"?,"type",…}}`.
    #[schema(value_type = Object)]
    pub params: Box<RawValue>,
}

/// A version of a published workflow. Times are Unix ms of Redis.
#[derive(Debug, Clone)]
pub struct StoredWorkflow {
    /// Name of the workflow.
    pub name: WorkflowName,
    /// Number of this version, from 1.
    pub version: u64,
    /// Number of the latest version.
    pub latest: u64,
    /// Numbers of the versions kept, ascending.
    pub versions: Vec<u64>,
    /// Time at which this version was published.
    pub created_ms: u64,
    /// Time at which the latest version was published.
    pub updated_ms: u64,
    /// Description and declared parameters.
    pub head: WorkflowHead,
    /// The graph, in the format of the API.
    pub graph: Box<RawValue>,
    /// The graph as published, if that is the editor's format.
    pub editor: Option<Box<RawValue>>,
}

/// Answer of [`Queue::workflow`].
#[derive(Debug, Clone)]
pub enum WorkflowFound {
    /// The version asked for.
    Found(Box<StoredWorkflow>),
    /// The name exists, but the version does not or was removed; the versions kept.
    NoSuchVersion(Vec<u64>),
    /// No such name; all published names.
    NoSuchName(Vec<String>),
}

/// A version to be published.
#[derive(Debug, Clone, Copy)]
pub struct NewWorkflow<'a> {
    /// Description and declared parameters.
    pub head: &'a WorkflowHead,
    /// The graph, in the format of the API.
    pub graph: &'a RawValue,
    /// The graph as published, if that is the editor's format.
    pub editor: Option<&'a RawValue>,
    /// Stored files that head and graph name; kept as long as this version.
    pub files: &'a BTreeSet<FileId>,
}

/// Answer of [`Queue::publish_workflow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkflowWritten {
    /// Published as this new version.
    Written(u64),
    /// The latest version, this one, already has the same content.
    Same(u64),
    /// The latest version is not the expected one but this; 0 = none.
    Outdated(u64),
    /// The maximum number of workflows is published.
    Full,
    /// A file that the version names does not exist or was deleted.
    NoSuchFile(FileId),
}

/// A row of [`Queue::workflows`].
#[derive(Debug, Clone)]
pub struct WorkflowRow {
    /// Name of the workflow.
    pub name: WorkflowName,
    /// Number of the latest version.
    pub version: u64,
    /// Description and declared parameters of the latest version.
    pub head: WorkflowHead,
    /// Time at which the latest version was published, Unix ms.
    pub updated_ms: u64,
}

impl Queue {
    /// Publishes a version if the latest version is `expected` (0 = none; `None` = any). Idempotent.
    pub async fn publish_workflow(
        &self,
        name: &WorkflowName,
        new: NewWorkflow<'_>,
        expected: Option<u64>,
        limits: WorkflowLimits,
    ) -> Result<WorkflowWritten> {
        self.check_memory()?;
        let NewWorkflow { head, graph, editor, files } = new;
        let head = serde_json::to_string(head).map_err(|error| Error::Corrupt(format!("workflow {name}: {error}")))?;
        let mut digest = Sha256::new().chain_update(&head).chain_update([0]).chain_update(graph.get());
        if let Some(editor) = editor {
            digest = digest.chain_update([0]).chain_update(editor.get());
        }
        let digest = digest.finalize();
        let editor = editor.map(|editor| compression::pack_text(editor.get())).transpose()?.unwrap_or_default();
        let args = vec![
            name.as_str().into(),
            head.into(),
            Value::Bytes(compression::pack_text(graph.get())?.into()),
            format!("{digest:x}").into(),
            expected.map(|version| version.to_string()).unwrap_or_default().into(),
            number(limits.versions_kept),
            number(limits.workflows_max),
            files.iter().map(FileId::to_string).collect::<Vec<_>>().join(",").into(),
            Value::Bytes(editor.into()),
        ];
        let mut reply = self.call_durably(Verb::WorkflowPut, args).await?;
        match reply.tag() {
            "written" => Ok(WorkflowWritten::Written(reply.parse()?)),
            "same" => Ok(WorkflowWritten::Same(reply.parse()?)),
            "outdated" => Ok(WorkflowWritten::Outdated(reply.parse()?)),
            "full" => Ok(WorkflowWritten::Full),
            "no_such_file" => Ok(WorkflowWritten::NoSuchFile(reply.parse()?)),
            _ => Err(reply.unexpected()),
        }
    }

    /// Reads a version; `None` = the latest.
    pub async fn workflow(&self, name: &WorkflowName, version: Option<u64>) -> Result<WorkflowFound> {
        let version = version.map(|version| version.to_string()).unwrap_or_default();
        let mut reply = self.call(Verb::WorkflowGet, vec![name.as_str().into(), version.into()]).await?;
        match reply.tag() {
            "workflow" => workflow(name, &mut reply).map(Box::new).map(WorkflowFound::Found),
            "no_version" => Ok(WorkflowFound::NoSuchVersion(numbers(&mut reply)?)),
            "not_found" => {
                Ok(WorkflowFound::NoSuchName(reply.list()?.into_iter().filter_map(Value::into_string).collect()))
            }
            _ => Err(reply.unexpected()),
        }
    }

    /// Returns one page of published workflows, ordered by name, and the total.
    pub async fn workflows(&self, offset: u64, limit: u64) -> Result<(u64, Vec<WorkflowRow>)> {
        let args = vec![number(offset.min(1 << 50)), number(limit.clamp(1, limits::PAGE_MAX))];
        let mut reply = self.call(Verb::WorkflowList, args).await?;
        let total = reply.parse()?;
        let mut rows = Vec::new();
        for found in reply.lists()? {
            // A corrupt row is logged and skipped, so that it does not hide all others.
            match row(found) {
                Ok(row) => rows.push(row),
                Err(error) => tracing::error!(%error, "corrupt published workflow; not listed"),
            }
        }
        Ok((total, rows))
    }

    /// Deletes a workflow with all its versions. Returns its last version, also if it was deleted before; `None` if
    /// there was none.
    pub async fn delete_workflow(&self, name: &WorkflowName, limits: WorkflowLimits) -> Result<Option<u64>> {
        let args = vec![name.as_str().into(), number(limits.gone_max)];
        let mut reply = self.call_durably(Verb::WorkflowDelete, args).await?;
        match reply.tag() {
            "deleted" => reply.parse().map(Some),
            "not_found" => Ok(None),
            _ => Err(reply.unexpected()),
        }
    }
}

fn workflow(name: &WorkflowName, reply: &mut Reply) -> Result<StoredWorkflow> {
    let wrong = || Error::Corrupt(format!("workflow {name}"));
    let (version, latest) = (reply.parse()?, reply.parse()?);
    let head: String = reply.parse()?;
    let graph = compression::unpack_text(&reply.value()?.into_bytes().ok_or_else(wrong)?)?;
    let (created_ms, updated_ms) = (reply.parse()?, reply.parse()?);
    let versions = numbers(reply)?;
    let editor = reply.value()?.into_bytes().ok_or_else(wrong)?;
    let editor = (!editor.is_empty()).then(|| compression::unpack_text(&editor)).transpose()?;
    Ok(StoredWorkflow {
        name: name.clone(),
        version,
        latest,
        versions,
        created_ms,
        updated_ms,
        head: serde_json::from_str(&head).map_err(|_| wrong())?,
        graph: RawValue::from_string(graph).map_err(|_| wrong())?,
        editor: editor.map(RawValue::from_string).transpose().map_err(|_| wrong())?,
    })
}

fn numbers(reply: &mut Reply) -> Result<Vec<u64>> {
    let texts = reply.list()?.into_iter().map(|value| value.into_string().and_then(|text| text.parse().ok()));
    texts.collect::<Option<_>>().ok_or_else(|| reply.unexpected())
}

fn row(row: Vec<Value>) -> Result<WorkflowRow> {
    let mut texts = row.into_iter().map(Value::into_string);
    let mut read = || {
        let mut text = || texts.next().flatten();
        Some(WorkflowRow {
            name: text()?.parse().ok()?,
            version: text()?.parse().ok()?,
            head: serde_json::from_str(&text()?).ok()?,
            updated_ms: text()?.parse().ok()?,
        })
    };
    read().ok_or_else(|| Error::Corrupt("a row of workflow_list.lua".to_owned()))
}

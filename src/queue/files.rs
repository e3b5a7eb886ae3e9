//! The registry of stored files.
//!
//! Files of the same content share one object in the store. Only the verbs of this file decide which objects may be
//! deleted from the store.

use super::{
    Error, Queue, Result,
    dispatch::attempts::json,
    redis::{
        script_call::{Reply, ms, number, switch},
        scripts::Verb,
    },
};
use crate::{
    settings::{Keep, limits},
    task::{FileId, ObjectId, TaskId, WorkflowVersion},
};
use fred::types::Value;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Registry entry of a stored file. The bytes are in the store under [`FileRecord::object`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileRecord {
    /// Id of the file.
    pub id: FileId,
    /// `upload` or `output`.
    pub kind: FileKind,
    /// Display name, cleaned.
    pub filename: String,
    /// Content type, from our own table.
    pub content_type: String,
    /// Size, bytes.
    pub size_bytes: u64,
    /// SHA-256 of the bytes, lowercase hex.
    pub sha256: String,
    /// Owner of the file.
    pub owner: String,
    /// The task that produced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// Time of registration, Unix ms of Redis; filled when it is read.
    #[serde(default)]
    pub created_ms: u64,
    /// Time from which the task that produced it may be deleted, Unix ms; only in lists.
    #[serde(skip)]
    pub task_expires_ms: Option<u64>,
    /// Object with the same bytes that it shares; filled when it is read. `None` = it has an object of its own.
    #[serde(skip)]
    pub shares: Option<ObjectId>,
}

impl FileRecord {
    /// Returns the object that has its bytes in the store.
    pub fn object(&self) -> ObjectId {
        self.shares.unwrap_or_else(|| self.id.into())
    }
}

/// Origin of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Uploaded by a user.
    Upload,
    /// Produced by an instance.
    Output,
}

/// A registered file whose bytes are in an older object with the same content: the caller deletes its own copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedObject {
    /// The file.
    pub file: FileId,
    /// Size of the copy, bytes.
    pub size_bytes: u64,
    /// The object that has the bytes.
    pub object: ObjectId,
}

/// Answer of [`Queue::delete_file`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileDeleted {
    /// The entry was removed. The caller must now delete these objects, which no other file needs.
    Deleted(FileRecord, Vec<ObjectId>),
    /// The file is needed by this version of a published workflow; `None` = by a pending or running task.
    InUse(Option<WorkflowVersion>),
    /// No such file.
    NotFound,
}

/// Result of [`Queue::trim_outputs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimmed {
    /// Outputs examined.
    pub examined: u64,
    /// Outputs among them that are in use.
    pub needed: u64,
    /// Outputs removed.
    pub removed: u64,
    /// Bytes of the objects that no file needs any more.
    pub bytes: u64,
}

/// Retention of files by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Retention of uploads.
    pub uploads: Keep,
    /// Retention of outputs.
    pub outputs: Keep,
    /// Whether the oldest ended tasks are deleted early while Redis' memory is full.
    pub frees_memory: bool,
}

impl Default for Retention {
    /// Returns the defaults of the settings.
    fn default() -> Self {
        Self { uploads: Keep::Forever, outputs: Keep::WithTask, frees_memory: false }
    }
}

/// Limits of the bytes of uploads; 0 = no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UploadQuota {
    /// Limit of one user.
    pub user: u64,
    /// Limit of all users together.
    pub all: u64,
}

/// The quota that an upload exceeds, with its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaExceeded {
    /// The quota of its owner.
    User(u64),
    /// The quota of all users together.
    All(u64),
}

impl Retention {
    /// Returns the time from which a file may be deleted, Unix ms; `None` if that is not known, or never comes.
    pub fn expires_ms(&self, file: &FileRecord) -> Option<u64> {
        let keep = match file.kind {
            FileKind::Upload => self.uploads,
            FileKind::Output => self.outputs,
        };
        match keep {
            Keep::WithTask => file.task_expires_ms,
            Keep::For(time) => Some(file.created_ms.saturating_add(u64::try_from(time.as_millis()).ok()?)),
            Keep::Forever => None,
        }
    }
}

impl Queue {
    /// Registers an upload as [`Queue::add_file`] does, unless it exceeds a quota. The caller then discards it.
    pub async fn add_upload(
        &self,
        record: &FileRecord,
        quota: UploadQuota,
    ) -> Result<Result<Option<ObjectId>, QuotaExceeded>> {
        let mut reply = self.register(record, quota).await?;
        if reply.tag() == "over_quota" {
            return Ok(Err(match reply.parse::<String>()?.as_str() {
                "user" => QuotaExceeded::User(quota.user),
                _ => QuotaExceeded::All(quota.all),
            }));
        }
        registered(record, reply).map(Ok)
    }

    /// Returns the quota that another upload of this user would exceed.
    pub async fn exceeded_quota(&self, owner: &str, quota: UploadQuota) -> Result<Option<QuotaExceeded>> {
        if quota == UploadQuota::default() {
            return Ok(None);
        }
        let mut reply = self.call(Verb::UploadBytes, vec![owner.into()]).await?;
        let (own, all): (u64, u64) = (reply.parse()?, reply.parse()?);
        let is_full = |used, max| max > 0 && used >= max;
        let of_all = is_full(all, quota.all).then_some(QuotaExceeded::All(quota.all));
        Ok(if is_full(own, quota.user) { Some(QuotaExceeded::User(quota.user)) } else { of_all })
    }

    /// Registers a stored file. Returns `Some(object)` if that object already has the same bytes; the caller then
    /// deletes its own copy. If the task of an output no longer exists, the output becomes an orphan instead.
    pub async fn add_file(&self, record: &FileRecord) -> Result<Option<ObjectId>> {
        registered(record, self.register(record, UploadQuota::default()).await?)
    }

    async fn register(&self, record: &FileRecord, quota: UploadQuota) -> Result<Reply> {
        let is_upload = record.kind == FileKind::Upload;
        let args = vec![
            record.id.to_string().into(),
            record.kind.as_str().into(),
            json(record)?,
            record.task_id.map(|task| task.to_string()).unwrap_or_default().into(),
            record.sha256.as_str().into(),
            number(record.size_bytes),
            if is_upload { record.owner.as_str() } else { "" }.into(),
            number(quota.user),
            number(quota.all),
        ];
        self.call_durably(Verb::FileAdd, args).await
    }

    /// Reads a file's entry.
    pub async fn file(&self, id: FileId) -> Result<Option<FileRecord>> {
        let args = vec![self.root().file(id).into(), "record".into(), "created".into(), "object".into()];
        let found: Vec<Option<String>> = self.command("HMGET", args).await?;
        match found.as_slice() {
            [Some(record), Some(created), object] => read(record, created, object.as_deref()).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the uploads of `owner` with each of these names, the latest first. Of many with one name only the latest
    /// are known.
    pub async fn uploads_named(&self, owner: &str, names: &[String]) -> Result<Vec<Vec<FileId>>> {
        let fields = names.iter().map(|name| format!("{owner}\n{name}").into());
        let args = std::iter::once(self.root().upload_names().into()).chain(fields).collect();
        let found: Vec<Option<String>> = self.command("HMGET", args).await?;
        let ids = |joined: Option<String>| {
            joined.unwrap_or_default().split(',').filter_map(|id| id.parse().ok()).collect::<Vec<FileId>>()
        };
        Ok(found.into_iter().map(ids).collect())
    }

    /// Returns one page of files, newest first, and the total.
    pub async fn files(&self, kind: Option<FileKind>, offset: u64, limit: u64) -> Result<(u64, Vec<FileRecord>)> {
        let kind = kind.map_or("all", FileKind::as_str);
        let args = vec![kind.into(), number(offset.min(1 << 50)), number(limit.clamp(1, limits::PAGE_MAX))];
        let mut reply = self.call(Verb::FileList, args).await?;
        let total = reply.parse()?;
        let record = |row: Vec<Value>| {
            let mut texts = row.into_iter().map(Value::into_string);
            match (texts.next().flatten(), texts.next().flatten(), texts.next().flatten()) {
                (Some(record), Some(created), object) => {
                    let task_expires_ms = texts.next().flatten().and_then(|text| text.parse().ok());
                    Ok(FileRecord { task_expires_ms, ..read(&record, &created, object.as_deref())? })
                }
                _ => Err(Error::Corrupt("a row of file_list.lua".to_owned())),
            }
        };
        let records = reply.lists()?.into_iter().map(record).collect::<Result<_>>()?;
        Ok((total, records))
    }

    /// Removes a file's entry unless a pending or running task, or a published workflow, needs the file. If the caller
    /// dies before it has deleted the bytes, [`Queue::take_orphan_objects`] returns them an hour later.
    pub async fn delete_file(&self, id: FileId) -> Result<FileDeleted> {
        let mut reply = self.call_durably(Verb::FileDelete, vec![id.to_string().into(), switch(false)]).await?;
        match reply.tag() {
            "deleted" => {
                let bytes = objects(reply.list()?)?;
                let (record, created): (String, String) = (reply.parse()?, reply.parse()?);
                Ok(FileDeleted::Deleted(read(&record, &created, None)?, bytes))
            }
            "in_use" => Ok(FileDeleted::InUse(reply.parse::<String>()?.parse().ok())),
            "not_found" => Ok(FileDeleted::NotFound),
            _ => Err(reply.unexpected()),
        }
    }

    /// Returns the objects of a file that may be deleted and that no other file needs; `None` if the file does not exist
    /// or is in use. Writes nothing: for a Redis that refuses writes until space is free.
    pub async fn deletable_objects(&self, id: FileId) -> Result<Option<Vec<ObjectId>>> {
        let mut reply = self.call(Verb::FileCheckDelete, vec![id.to_string().into()]).await?;
        match reply.tag() {
            "deletable" => objects(reply.list()?).map(Some),
            "in_use" | "not_found" => Ok(None),
            _ => Err(reply.unexpected()),
        }
    }

    /// Undoes [`Queue::add_file`] for a caller that stored bytes under `id`, whether that call succeeded, failed or is
    /// still under way. Returns the objects to delete now. A file that is already in use stays.
    pub async fn retract_file(&self, id: FileId) -> Result<Vec<ObjectId>> {
        let mut reply = self.call_durably(Verb::FileDelete, vec![id.to_string().into(), switch(true)]).await?;
        match reply.tag() {
            "deleted" | "not_found" => objects(reply.list()?),
            "in_use" => Ok(Vec::new()),
            _ => Err(reply.unexpected()),
        }
    }

    /// Removes expired files that are not in use. Looks at `limit` of them after the `skip` oldest. Returns the number
    /// of files it looked at, and how many of them are still in use.
    pub(super) async fn expire_files(
        &self,
        kind: FileKind,
        keep: Duration,
        skip: u64,
        limit: u64,
    ) -> Result<(u64, u64)> {
        let args = vec![kind.as_str().into(), ms(keep), number(skip), number(limit)];
        let mut reply = self.call(Verb::FileExpire, args).await?;
        Ok((reply.parse()?, reply.parse()?))
    }

    /// Removes the oldest outputs that are not in use, until objects of `excess` bytes are orphans. Looks at `limit` of them after
    /// the `skip` oldest. With `waits` it removes none while earlier orphans are yet to be deleted.
    pub async fn trim_outputs(&self, excess: u64, skip: u64, limit: u64, waits: bool) -> Result<Trimmed> {
        let args = vec![number(excess), number(skip), number(limit), switch(waits)];
        let mut reply = self.call(Verb::FileTrim, args).await?;
        let (examined, needed) = (reply.parse()?, reply.parse()?);
        Ok(Trimmed { examined, needed, removed: reply.parse()?, bytes: reply.parse()? })
    }

    /// Returns those of these objects that no registered file needs (at most 1,000 ids a call).
    pub async fn unregistered(&self, ids: &[ObjectId]) -> Result<Vec<ObjectId>> {
        let ids = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        objects(self.call(Verb::UnregisteredObjects, vec![ids.into()]).await?.list()?)
    }

    /// Takes at most `limit` objects that no file needs any more. Each object is returned twice, an hour apart, in case
    /// the first taker died; deleting an object that is already gone is not an error.
    pub async fn take_orphan_objects(&self, limit: u64) -> Result<Vec<ObjectId>> {
        objects(self.call(Verb::OrphanObjects, vec![number(limit)]).await?.list()?)
    }
}

impl FileKind {
    /// Returns the word used in the API and in the index key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Output => "output",
        }
    }
}

/// Parses the answer of a registration without quota.
fn registered(record: &FileRecord, mut reply: Reply) -> Result<Option<ObjectId>> {
    match reply.tag() {
        "done" => {
            let object: ObjectId = reply.parse()?;
            Ok((object != record.id.into()).then_some(object))
        }
        "orphaned" => Ok(None),
        _ => Err(reply.unexpected()),
    }
}

/// Returns the arguments that `lua/lib/register_file.lua` reads for each file.
pub(super) fn arguments(files: &[FileRecord]) -> Result<Vec<Value>> {
    let mut args = Vec::with_capacity(files.len() * 4);
    for record in files {
        args.extend([record.id.to_string().into(), json(record)?, record.sha256.as_str().into()]);
        args.push(number(record.size_bytes));
    }
    Ok(args)
}

/// Parses the object of each file, and returns those that are not the file's own.
pub(super) fn shared_objects(files: &[FileRecord], reply: &mut Reply) -> Result<Vec<SharedObject>> {
    let objects = reply.list()?;
    let mut shared = Vec::new();
    for (record, object) in files.iter().zip(objects) {
        // Empty if a repeated call finds that the file was deleted meanwhile.
        let Some(object) = object.into_string().filter(|id| !id.is_empty()) else { continue };
        let object: ObjectId = object.parse().map_err(|_| Error::Corrupt(format!("object {object}")))?;
        if object != record.id.into() {
            shared.push(SharedObject { file: record.id, size_bytes: record.size_bytes, object });
        }
    }
    Ok(shared)
}

fn objects(ids: Vec<Value>) -> Result<Vec<ObjectId>> {
    let ids = ids.into_iter().filter_map(Value::into_string);
    ids.map(|id| id.parse().map_err(|_| Error::Corrupt(format!("object {id}")))).collect()
}

fn read(record: &str, created: &str, object: Option<&str>) -> Result<FileRecord> {
    let mut record: FileRecord =
        serde_json::from_str(record).map_err(|error| Error::Corrupt(format!("file record: {error}")))?;
    let corrupt = |field: &str| Error::Corrupt(format!("{field} of file {}", record.id));
    record.created_ms = created.parse().map_err(|_| corrupt("created"))?;
    let object: Option<ObjectId> = object.map(|id| id.parse().map_err(|_| corrupt("object"))).transpose()?;
    record.shares = object.filter(|object| *object != record.id.into());
    Ok(record)
}

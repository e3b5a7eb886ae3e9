//! The registry of stored files.

use super::{
    Error, FileDeleted, FileKind, FileRecord, Queue, Result,
    call::{Reply, number, within},
    scripts::Verb,
};
use crate::{settings::limits, task::FileId};
use fred::{interfaces::HashesInterface, types::Value};

impl Queue {
    /// Registers a stored file. The output of a task that is no more becomes an orphan instead.
    pub async fn add_file(&self, record: &FileRecord) -> Result<()> {
        let json = serde_json::to_string(record).map_err(|error| Error::Corrupt(format!("file record: {error}")))?;
        let args = vec![
            record.id.to_string().into(),
            record.kind.as_str().into(),
            json.into(),
            record.task_id.map(|task| task.to_string()).unwrap_or_default().into(),
        ];
        self.call_durably(Verb::FileAdd, args).await.map(drop)
    }

    /// Reads a registration.
    pub async fn file(&self, id: FileId) -> Result<Option<FileRecord>> {
        let fields = vec!["record", "created"];
        let found: Vec<Option<String>> = within(self.pool().hmget(self.root().file(id), fields)).await?;
        match found.as_slice() {
            [Some(record), Some(created)] => with_time(record, created).map(Some),
            _ => Ok(None),
        }
    }

    /// One page, newest first, with the total.
    pub async fn files(&self, kind: Option<FileKind>, offset: u64, limit: u64) -> Result<(u64, Vec<FileRecord>)> {
        let kind = kind.map_or("all", FileKind::as_str);
        let args = vec![kind.into(), number(offset.min(1 << 50)), number(limit.clamp(1, limits::PAGE_MAX))];
        let mut reply = self.call(Verb::FileList, args).await?;
        let total = reply.parse()?;
        let record = |row: Vec<Value>| {
            let mut texts = row.into_iter().filter_map(Value::into_string);
            match (texts.next(), texts.next()) {
                (Some(record), Some(created)) => with_time(&record, &created),
                _ => Err(Error::Corrupt("a row of file_list.lua".to_owned())),
            }
        };
        let records = reply.lists()?.into_iter().map(record).collect::<Result<_>>()?;
        Ok((total, records))
    }

    /// Removes a registration unless a pending or running task needs the file. Should the caller die before it has deleted
    /// the bytes, [`Queue::take_orphans`] gives them an hour later.
    pub async fn delete_file(&self, id: FileId) -> Result<FileDeleted> {
        let mut reply = self.call_durably(Verb::FileDelete, vec![id.to_string().into()]).await?;
        match reply.tag() {
            "deleted" => {
                let (record, created): (String, String) = (reply.parse()?, reply.parse()?);
                with_time(&record, &created).map(FileDeleted::Deleted)
            }
            "in_use" => Ok(FileDeleted::InUse),
            "not_found" => Ok(FileDeleted::NotFound),
            _ => Err(reply.unexpected()),
        }
    }

    /// Which of these files nobody has registered (at most 1,000 at once).
    pub async fn unregistered(&self, ids: &[FileId]) -> Result<Vec<FileId>> {
        let ids = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        files(self.call(Verb::Unregistered, vec![ids.into()]).await?)
    }

    /// Files of ended and collected tasks whose bytes may be deleted: at most `limit`, removed from the registry before. Each
    /// is given twice, an hour apart, in case the first taker died: deleting bytes that are gone is no error.
    pub async fn take_orphans(&self, limit: u64) -> Result<Vec<FileId>> {
        files(self.call(Verb::Orphans, vec![number(limit)]).await?)
    }
}

impl FileKind {
    /// The word of the API and of the index key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Output => "output",
        }
    }
}

fn files(mut reply: Reply) -> Result<Vec<FileId>> {
    let ids = reply.list()?.into_iter().filter_map(Value::into_string);
    ids.map(|id| id.parse().map_err(|_| Error::Corrupt(format!("file {id}")))).collect()
}

fn with_time(record: &str, created: &str) -> Result<FileRecord> {
    let mut record: FileRecord =
        serde_json::from_str(record).map_err(|error| Error::Corrupt(format!("file record: {error}")))?;
    record.created_ms = created.parse().map_err(|_| Error::Corrupt(format!("created of file {}", record.id)))?;
    Ok(record)
}

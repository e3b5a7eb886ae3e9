//! Rows of lists: tasks read without long outputs, which are then read one task at a time and cut, so that neither Redis
//! nor this process holds the outputs of a whole page.

use super::task_hash::{Fields, comma_list};
use crate::{
    queue::{
        Error, Queue, Result, TaskCursor, TaskPage,
        redis::{
            script_call::{Reply, list},
            scripts::Verb,
        },
    },
    task::{Output, Task, TaskId},
};
use fred::types::Value;
use futures_util::future::join_all;

/// Bytes of long outputs read for one page; the task that exceeds them is its last.
const LONG_OUTPUTS_BYTES_MAX: usize = 32 << 20;
/// Rows read at the same time, so that their commands share round trips.
const ROWS_AT_ONCE: usize = 16;

/// A row: `{id, hash, bytes of the outputs left out, created}`.
struct Row {
    id: String,
    hash: Vec<Value>,
    left_out_bytes: usize,
    /// `None` where the script does not know it.
    created_ms: Option<u64>,
}

impl Row {
    fn parse(row: Vec<Value>) -> Result<Self> {
        let mut row = row.into_iter();
        let (id, hash) = (row.next().and_then(Value::into_string), row.next().and_then(list));
        let mut text = || row.next().and_then(Value::into_string);
        let (left_out, created) = (text().and_then(|text| text.parse().ok()), text());
        let (Some(id), Some(hash), Some(left_out_bytes)) = (id, hash, left_out) else {
            return Err(Error::Corrupt("a row of a list of tasks".to_owned()));
        };
        Ok(Self { id, hash, left_out_bytes, created_ms: created.and_then(|text| text.parse().ok()) })
    }

    /// Returns the position after this row.
    fn cursor(&self) -> Option<TaskCursor> {
        Some(TaskCursor { created_ms: self.created_ms?, id: self.id.parse().ok()? })
    }
}

/// Drops the rows after the one whose long outputs exceed what is read for a page.
fn limit(rows: &mut Vec<Row>) {
    let mut bytes = 0_usize;
    let fits = |row: &&Row| {
        let before = bytes;
        bytes = bytes.saturating_add(row.left_out_bytes);
        before < LONG_OUTPUTS_BYTES_MAX
    };
    let count = rows.iter().take_while(fits).count();
    rows.truncate(count);
}

impl Queue {
    /// Reads tasks for snapshots: long outputs are cut as in an event. Returns those of the first ids, in the order given: at
    /// least one, and fewer than `ids` if they are very long (at most 1,000 ids).
    pub async fn entries(&self, ids: &[TaskId]) -> Result<Vec<Option<Task>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut reply = self.call(Verb::TaskEntries, vec![comma_list(ids).into()]).await?;
        let mut rows = reply.lists()?.into_iter().map(Row::parse).collect::<Result<Vec<_>>>()?;
        if rows.is_empty() || rows.len() > ids.len() {
            return Err(reply.unexpected());
        }
        limit(&mut rows);
        self.read_rows(rows, Output::cut_for_event).await.into_iter().collect()
    }

    /// Reads all of these tasks that exist, as [`Queue::entries`] does.
    pub async fn all_entries(&self, ids: &[TaskId]) -> Result<Vec<Task>> {
        let mut found = Vec::new();
        let mut rest = ids;
        while !rest.is_empty() {
            let read = self.entries(rest).await?;
            rest = &rest[read.len()..];
            found.extend(read.into_iter().flatten());
        }
        Ok(found)
    }

    /// Parses `{'page', total, more, row, …}` and reads the outputs that the rows lack.
    pub(super) async fn page(&self, mut reply: Reply) -> Result<TaskPage> {
        let total = reply.parse()?;
        let more = reply.parse::<u8>()? == 1;
        let mut rows = reply.lists()?.into_iter().map(Row::parse).collect::<Result<Vec<_>>>()?;
        let count = rows.len();
        limit(&mut rows);
        let is_last = !more && rows.len() == count;
        // Of the last row, not of the last task: that row may be corrupt, or its task gone.
        let next_cursor = if is_last { None } else { rows.iter().rev().find_map(Row::cursor) };
        let mut items = Vec::with_capacity(rows.len());
        for read in self.read_rows(rows, Output::cut_for_list).await {
            // A corrupt task is logged and skipped, so that it does not hide all others.
            match read {
                Ok(task) => items.extend(task),
                Err(error @ Error::Corrupt(_)) => tracing::error!(%error, "corrupt task; not listed"),
                Err(error) => return Err(error),
            }
        }
        Ok(TaskPage { total, items, next_cursor })
    }

    /// Reads the tasks of rows, and the outputs that they lack, some at the same time. `cut` cuts the outputs of one task and
    /// returns their number dropped. `None` for a task that no longer exists.
    async fn read_rows(&self, rows: Vec<Row>, cut: fn(&mut Vec<Output>) -> usize) -> Vec<Result<Option<Task>>> {
        let mut read = Vec::with_capacity(rows.len());
        let mut rows = rows.into_iter();
        loop {
            let some = join_all(rows.by_ref().take(ROWS_AT_ONCE).map(|row| self.row(row, cut))).await;
            if some.is_empty() {
                return read;
            }
            read.extend(some);
        }
    }

    async fn row(&self, row: Row, cut: fn(&mut Vec<Output>) -> usize) -> Result<Option<Task>> {
        let Some(mut task) = Fields::new(row.id, row.hash).map(|fields| fields.task()).transpose()? else {
            return Ok(None);
        };
        if row.left_out_bytes > 0 {
            self.read_long_outputs(&mut task, cut).await?;
        }
        Ok(Some(task))
    }

    async fn read_long_outputs(&self, task: &mut Task, cut: fn(&mut Vec<Output>) -> usize) -> Result<()> {
        let json: Option<String> =
            self.command("HGET", vec![self.root().task(task.id).into(), "outputs".into()]).await?;
        // Gone: it is being retried.
        let Some(json) = json else { return Ok(()) };
        task.outputs =
            serde_json::from_str(&json).map_err(|_| Error::Corrupt(format!("field outputs of task {}", task.id)))?;
        task.outputs_dropped = cut(&mut task.outputs);
        Ok(())
    }
}

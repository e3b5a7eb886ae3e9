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

/// Bytes of long outputs read for one page; the task that exceeds them is its last.
const LONG_OUTPUTS_BYTES_MAX: usize = 32 << 20;

/// Long outputs of a page.
struct LongOutputs {
    /// Bytes that may still be read.
    bytes_left: usize,
    /// Cuts those of one task; returns the number of outputs dropped.
    cut: fn(&mut Vec<Output>) -> usize,
}

impl LongOutputs {
    const fn new(cut: fn(&mut Vec<Output>) -> usize) -> Self {
        Self { bytes_left: LONG_OUTPUTS_BYTES_MAX, cut }
    }
}

impl Queue {
    /// Reads tasks for snapshots: long outputs are cut as in an event. Returns those of the first ids, in the order given: at
    /// least one, and fewer than `ids` if they are very long (at most 1,000 ids).
    pub async fn entries(&self, ids: &[TaskId]) -> Result<Vec<Option<Task>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut reply = self.call(Verb::TaskEntries, vec![comma_list(ids).into()]).await?;
        let rows = reply.lists()?;
        if rows.is_empty() || rows.len() > ids.len() {
            return Err(reply.unexpected());
        }
        let mut long = LongOutputs::new(Output::cut_for_event);
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            found.push(self.row(row, &mut long).await?);
            if long.bytes_left == 0 {
                break;
            }
        }
        Ok(found)
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
        let mut more = reply.parse::<u8>()? == 1;
        let (mut items, mut long) = (Vec::new(), LongOutputs::new(Output::cut_for_list));
        let mut rows = reply.lists()?.into_iter();
        while long.bytes_left > 0
            && let Some(row) = rows.next()
        {
            // A corrupt task is logged and skipped, so that it does not hide all others.
            match self.row(row, &mut long).await {
                Ok(Some(task)) => items.push(task),
                Ok(None) => {}
                Err(error @ Error::Corrupt(_)) => tracing::error!(%error, "corrupt task; not listed"),
                Err(error) => return Err(error),
            }
        }
        more |= rows.len() > 0;
        let last = items.last().map(|task: &Task| TaskCursor { created_ms: task.created_ms, id: task.id });
        Ok(TaskPage { total, items, next_cursor: last.filter(|_| more) })
    }

    /// Parses `{id, hash, outputs left out 0|1}`; `None` if the task no longer exists.
    async fn row(&self, row: Vec<Value>, long: &mut LongOutputs) -> Result<Option<Task>> {
        let mut row = row.into_iter();
        let (id, hash) = (row.next().and_then(Value::into_string), row.next().and_then(list));
        let is_left_out = row.next().and_then(Value::into_string).is_some_and(|word| word == "1");
        let (Some(id), Some(hash)) = (id, hash) else {
            return Err(Error::Corrupt("a row of a list of tasks".to_owned()));
        };
        let Some(mut task) = Fields::new(id, hash).map(|fields| fields.task()).transpose()? else { return Ok(None) };
        if is_left_out {
            self.read_long_outputs(&mut task, long).await?;
        }
        Ok(Some(task))
    }

    async fn read_long_outputs(&self, task: &mut Task, long: &mut LongOutputs) -> Result<()> {
        let json: Option<String> =
            self.command("HGET", vec![self.root().task(task.id).into(), "outputs".into()]).await?;
        // Gone: it is being retried.
        let Some(json) = json else { return Ok(()) };
        long.bytes_left = long.bytes_left.saturating_sub(json.len());
        task.outputs =
            serde_json::from_str(&json).map_err(|_| Error::Corrupt(format!("field outputs of task {}", task.id)))?;
        task.outputs_dropped = (long.cut)(&mut task.outputs);
        Ok(())
    }
}

//! Previews of running tasks: only the latest picture, stored only while a client watches, expires by itself. Not part
//! of the task.

use crate::{
    queue::{Queue, Result},
    task::TaskId,
};
use bytes::Bytes;
use fred::types::Value;
use std::time::Duration;

/// Time after a client's last request during which previews are still stored.
const WANTED_FOR: Duration = Duration::from_secs(10);
/// Lifetime of a preview that is not replaced.
const SHOWN_FOR: Duration = Duration::from_secs(10);

impl Queue {
    /// Requests previews of this task for the next ten seconds.
    pub async fn want_preview(&self, task: TaskId) -> Result<()> {
        self.set_for(WANTED_FOR, self.root().preview_wanted(task), Value::Integer(1)).await
    }

    /// Whether a client requested previews of this task recently.
    pub async fn is_preview_wanted(&self, task: TaskId) -> Result<bool> {
        self.command("EXISTS", vec![self.root().preview_wanted(task).into()]).await
    }

    /// Replaces the preview of a task. `content_type` must not contain a line break.
    pub async fn put_preview(&self, task: TaskId, content_type: &str, picture: &[u8]) -> Result<()> {
        let value = Bytes::from([content_type.as_bytes(), b"\n", picture].concat());
        self.set_for(SHOWN_FOR, self.root().preview(task), Value::Bytes(value)).await
    }

    /// Reads the latest preview: its content type and bytes.
    pub async fn preview(&self, task: TaskId) -> Result<Option<(String, Bytes)>> {
        let value: Value = self.command("GET", vec![self.root().preview(task).into()]).await?;
        let Some(value) = value.into_bytes() else { return Ok(None) };
        let Some(end) = value.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        Ok(Some((String::from_utf8_lossy(&value[..end]).into_owned(), value.slice(end + 1..))))
    }
}

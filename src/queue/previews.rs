//! Pictures of tasks that run: only while somebody looks, only the latest, gone by themselves. No part of a task.

use super::{Queue, Result, call::within};
use crate::task::TaskId;
use bytes::Bytes;
use fred::{
    interfaces::KeysInterface,
    types::{Expiration, Value},
};
use std::time::Duration;

/// How long after the last question pictures go on coming.
const WANTED_FOR: Duration = Duration::from_secs(10);
/// How long a picture is shown that none follows.
const SHOWN_FOR: Duration = Duration::from_secs(10);

impl Queue {
    /// Somebody looks at this task: for the next ten seconds its pictures are kept.
    pub async fn want_preview(&self, task: TaskId) -> Result<()> {
        let (key, expires) = (self.root().preview_wanted(task), after(WANTED_FOR));
        within(self.pool().set(key, 1, Some(expires), None, false)).await
    }

    /// Whether somebody looks.
    pub async fn is_preview_wanted(&self, task: TaskId) -> Result<bool> {
        within(self.pool().exists(self.root().preview_wanted(task))).await
    }

    /// The picture that is shown from now on; `content_type` has no line break.
    pub async fn put_preview(&self, task: TaskId, content_type: &str, picture: &[u8]) -> Result<()> {
        let value = Bytes::from([content_type.as_bytes(), b"\n", picture].concat());
        let (key, expires) = (self.root().preview(task), after(SHOWN_FOR));
        within(self.pool().set(key, Value::Bytes(value), Some(expires), None, false)).await
    }

    /// The latest picture and its content type.
    pub async fn preview(&self, task: TaskId) -> Result<Option<(String, Bytes)>> {
        let value: Value = within(self.pool().get(self.root().preview(task))).await?;
        let Some(value) = value.into_bytes() else { return Ok(None) };
        let Some(end) = value.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        Ok(Some((String::from_utf8_lossy(&value[..end]).into_owned(), value.slice(end + 1..))))
    }
}

fn after(time: Duration) -> Expiration {
    Expiration::PX(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

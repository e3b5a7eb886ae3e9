//! Tasks that were left to some instances, for those that come to have what they need later.

use super::{Lease, Queue, Result, call::number, hash::joined, scripts::Verb};
use crate::task::TaskId;
use fred::types::Value;

/// Answer of [`Queue::narrowed`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// Tasks that the instance may not run, each with the time from which it was left to others, Unix ms; oldest first.
    pub tasks: Vec<(TaskId, u64)>,
    /// How many were looked at: fewer than asked for = these are all.
    pub looked_at: u64,
    /// The time of the last that was looked at.
    pub last_ms: Option<u64>,
}

impl Queue {
    /// Tasks that only others than this instance may run, left to them at `since_ms` or later.
    pub async fn narrowed(&self, lease: &Lease, since_ms: u64, limit: u64) -> Result<Narrowed> {
        let args = vec![lease.instance.as_str().into(), number(since_ms), number(limit.max(1))];
        let mut reply = self.call(Verb::Narrowed, args).await?;
        let (looked_at, last_ms) = (reply.parse()?, reply.parse::<String>()?.parse().ok());
        let mut tasks = Vec::new();
        while let Ok(id) = reply.value() {
            // An id that is none was put there by others; the sweep takes it away.
            let id = id.into_string().and_then(|id| id.parse().ok());
            let since_ms = reply.parse()?;
            tasks.extend(id.map(|id| (id, since_ms)));
        }
        Ok(Narrowed { tasks, looked_at, last_ms })
    }

    /// Lets the instance run these tasks from now on, beside those that may. Gives for how many that is new; 0 as well when the
    /// lease was lost.
    pub async fn admit(&self, lease: &Lease, tasks: &[TaskId]) -> Result<u64> {
        let args: Vec<Value> = vec![lease.instance.as_str().into(), lease.token.as_str().into(), joined(tasks).into()];
        let mut reply = self.call(Verb::Admit, args).await?;
        match reply.tag() {
            "admitted" => reply.parse(),
            "fenced" => Ok(0),
            _ => Err(reply.unexpected()),
        }
    }
}

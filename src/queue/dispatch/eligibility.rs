//! Eligibility: tasks restricted to some instances, and the instances that are admitted to them later, once they meet
//! the requirements.

use crate::{
    queue::{
        Lease, Queue, Result,
        redis::{script_call::number, scripts::Verb},
        tasks::task_hash::comma_list,
    },
    task::TaskId,
};
use fred::types::Value;

/// Answer of [`Queue::restricted_tasks`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestrictedTasks {
    /// Tasks that the instance may not run, each with the time since which it is restricted, Unix ms; oldest first.
    pub tasks: Vec<(TaskId, u64)>,
    /// Number of tasks examined. Fewer than the limit = there are no more.
    pub looked_at: u64,
    /// Restriction time of the last task examined, Unix ms.
    pub last_ms: Option<u64>,
}

impl Queue {
    /// Returns live tasks that only other instances may run, restricted at `since_ms` or later. Examines at most `limit`.
    pub async fn restricted_tasks(&self, lease: &Lease, since_ms: u64, limit: u64) -> Result<RestrictedTasks> {
        let args = vec![lease.instance.as_str().into(), number(since_ms), number(limit.max(1))];
        let mut reply = self.call(Verb::RestrictedTasks, args).await?;
        let (looked_at, last_ms) = (reply.parse()?, reply.parse::<String>()?.parse().ok());
        let mut tasks = Vec::new();
        while let Ok(id) = reply.value() {
            // An invalid id was not written by this program; the sweep removes it.
            let id = id.into_string().and_then(|id| id.parse().ok());
            let since_ms = reply.parse()?;
            tasks.extend(id.map(|id| (id, since_ms)));
        }
        Ok(RestrictedTasks { tasks, looked_at, last_ms })
    }

    /// Admits the instance to these tasks, in addition to the instances already eligible. Returns the number of tasks
    /// for which this is new; 0 if the lease was lost.
    pub async fn admit(&self, lease: &Lease, tasks: &[TaskId]) -> Result<u64> {
        let args: Vec<Value> =
            vec![lease.instance.as_str().into(), lease.token.as_str().into(), comma_list(tasks).into()];
        let mut reply = self.call(Verb::AllowInstance, args).await?;
        match reply.tag() {
            "admitted" => reply.parse(),
            "fenced" => Ok(0),
            _ => Err(reply.unexpected()),
        }
    }
}

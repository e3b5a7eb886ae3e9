//! What an attempt makes while it goes on, told piece by piece.

use super::{
    Lease, Queue, Result, Written,
    attempts::{fence, json, written},
    call::number,
    scripts::Verb,
};
use crate::task::{Attempt, Output, TaskId};

/// Answer of [`Queue::tell_outputs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The task has them, by this call or by an earlier one.
    Done,
    /// Redis has forgotten some of those told before (a failover): only so many are known. Tell again from there.
    Missing(usize),
    /// The attempt may not write any more.
    Refused(Written),
}

impl Queue {
    /// Adds outputs to a task that runs; `before` is how many of this attempt were told before these. What it says is
    /// replaced by the attempt's end, see [`Queue::settle`], and given up together with the attempt.
    pub async fn tell_outputs(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        before: usize,
        outputs: &[Output],
    ) -> Result<Told> {
        let mut args = fence(lease, task, attempt);
        args.extend([number(before as u64), number(outputs.len() as u64), json(outputs)?]);
        let mut reply = self.call(Verb::Output, args).await?;
        match reply.tag() {
            "missing" => Ok(Told::Missing(reply.parse()?)),
            _ => match written(reply)? {
                Written::Done => Ok(Told::Done),
                refused => Ok(Told::Refused(refused)),
            },
        }
    }
}

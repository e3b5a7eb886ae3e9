//! Early outputs: outputs that an attempt adds to its task while it runs.

use super::attempts::{fence, json, written};
use crate::{
    queue::{
        FileRecord, Lease, Queue, Result, SharedObject, Written, files,
        redis::{script_call::number, scripts::Verb},
    },
    task::{Attempt, Output, TaskId},
};

/// Answer of [`Queue::add_outputs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputsAdded {
    /// The task has these outputs, by this call or by an earlier one.
    Done,
    /// Redis lost earlier outputs in a failover and knows only this many. Add again from there.
    Missing(usize),
    /// The attempt may no longer write.
    Refused(Written),
}

impl Queue {
    /// Adds outputs to a running task; `before` is the number of outputs that this attempt added earlier. The outputs
    /// given to [`Queue::settle`] replace them; if the attempt is abandoned, they are discarded.
    pub async fn add_outputs(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        before: usize,
        outputs: &[Output],
    ) -> Result<OutputsAdded> {
        self.add_outputs_with_files(lease, task, attempt, before, (outputs, &[])).await.map(|(added, _)| added)
    }

    /// Like [`Queue::add_outputs`], and registers the files among the outputs.
    pub async fn add_outputs_with_files(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        before: usize,
        (outputs, files): (&[Output], &[FileRecord]),
    ) -> Result<(OutputsAdded, Vec<SharedObject>)> {
        let mut args = fence(lease, task, attempt);
        args.extend([number(before as u64), number(outputs.len() as u64), json(outputs)?]);
        args.extend(files::arguments(files)?);
        let mut reply = self.call_durably(Verb::EarlyOutput, args).await?;
        match reply.tag() {
            "missing" => Ok((OutputsAdded::Missing(reply.parse()?), Vec::new())),
            "done" => Ok((OutputsAdded::Done, files::shared_objects(files, &mut reply)?)),
            _ => Ok((OutputsAdded::Refused(written(reply)?), Vec::new())),
        }
    }
}

//! Ends attempts whose node failed because of the machine, or for an unknown reason (`node_fault.lua`).

use super::attempts::{fence, json, written};
use crate::{
    metrics,
    queue::{
        Lease, Queue, Result, Written,
        redis::{
            script_call::{ms, number, switch},
            scripts::Verb,
        },
        tasks::enqueue_batcher,
    },
    task::{Attempt, Failure, FailureKind, InstanceId, Output, TaskId, TaskState},
};
use std::time::Duration;

/// Number of faults of sound machines that prove a task to be the cause, even if others could try it: one more than the
/// machines that may be broken at a time.
const FAULTS_MAX: u64 = 3;
/// Number of faults that do not count against the task, after which one more fails it.
const EXCUSED_MAX: u64 = 4;
/// Longest message kept in a quarantine and in the history, bytes.
const MESSAGE_BYTES_MAX: usize = 300;

/// The fault of a node.
#[derive(Debug)]
pub struct NodeFault<'a> {
    /// The failure of the attempt.
    pub failure: &'a Failure,
    /// Whether the machine is at fault; else that is not known.
    pub is_machine: bool,
    /// Outputs that exist, kept if the task fails.
    pub outputs: &'a [Output],
    /// Instances that the next attempt waits for.
    pub prefers: &'a [InstanceId],
    /// First delay of a trial of the instance.
    pub trial_after: Duration,
}

impl Queue {
    /// Ends an attempt without counting it, and returns the task to the queue. Quarantines the instance. A task that is
    /// the cause fails as poison, and the instances are not blamed (rules: `lua/lib/fault_verdict.lua`). A task fails as
    /// `machine_fault`, too, if it meets such faults again and again and the cause cannot be found.
    pub async fn node_fault(
        &self,
        lease: &Lease,
        task: TaskId,
        attempt: Attempt,
        fault: &NodeFault<'_>,
    ) -> Result<Written> {
        let NodeFault { failure, is_machine, outputs, prefers, trial_after } = fault;
        let cut = failure.message.floor_char_boundary(MESSAGE_BYTES_MAX);
        let brief = Failure { message: failure.message[..cut].to_owned(), traceback: Vec::new(), ..(*failure).clone() };
        let reason = "this task is taken for the cause of the faults of the machines that ran it";
        let poison = ending(failure, FailureKind::Poison, reason);
        let exhausted = ending(
            failure,
            FailureKind::MachineFault,
            &format!(
                "machines failed more than {EXCUSED_MAX} times while they ran this task, and have run nothing else since, so it is not known whether the workflow or the machines are at fault: check the instances, then retry the task"
            ),
        );
        let mut args = fence(lease, task, attempt);
        args.extend([
            switch(*is_machine),
            json(&brief)?,
            json(&poison)?,
            json(outputs)?,
            number(FAULTS_MAX),
            ms(*trial_after),
            ms(self.limits().keep_tasks),
            enqueue_batcher::only(prefers).into(),
            number(EXCUSED_MAX),
            json(&exhausted)?,
        ]);
        let reply = self.call_durably(Verb::NodeFault, args).await?;
        if reply.tag() == "failed" {
            metrics::task_ended("failed");
            return Ok(Written::AlreadyEnded(TaskState::Failed));
        }
        written(reply)
    }
}

/// Returns the failure of a task that ends with this failure of its last attempt.
fn ending(last: &Failure, kind: FailureKind, reason: &str) -> Failure {
    let about = last.clone();
    Failure {
        node_id: about.node_id,
        node_type: about.node_type,
        exception_type: about.exception_type,
        traceback: about.traceback,
        ..Failure::new(kind, format!("{reason}; the last: {}", last.message))
    }
}

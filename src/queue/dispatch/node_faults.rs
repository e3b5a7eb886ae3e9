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

/// Number of sound machines on which a task meets a machine's fault before it counts as its cause.
const FAULTS_MAX: u64 = 2;
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
    /// Ends an attempt without counting it, and returns the task to the queue. Quarantines the instance. A task that
    /// meets a machine's fault on a second sound machine fails as poison, and that machine is not blamed.
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
        let message = format!(
            "machines that worked failed {FAULTS_MAX} times while they ran this task; the last: {}",
            failure.message
        );
        let about = (*failure).clone();
        let poison = Failure {
            node_id: about.node_id,
            node_type: about.node_type,
            exception_type: about.exception_type,
            traceback: about.traceback,
            ..Failure::new(FailureKind::Poison, message)
        };
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
        ]);
        let reply = self.call_durably(Verb::NodeFault, args).await?;
        if reply.tag() == "poisoned" {
            metrics::task_ended("failed");
            return Ok(Written::AlreadyEnded(TaskState::Failed));
        }
        written(reply)
    }
}

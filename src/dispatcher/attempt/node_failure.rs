//! Decides what follows from the failure of a node: whose fault it is, and where the task is tried again.

use super::{context::AttemptContext, stage_error::StageError};
use crate::{
    comfy::fault_class::{Elsewhere, FaultClass, classify},
    dispatcher::redis_retry::until_answered,
    fleet::{InstanceView, Phase},
    task::{AttemptRecord, Failure, FailureKind, InstanceId, Task},
};

/// Judges the failure of a node. Returns the failure if it is final.
pub(super) async fn judge(context: &AttemptContext, failure: Failure) -> Result<Failure, StageError> {
    let class = |elsewhere| {
        let word = |text: &Option<String>| text.clone().unwrap_or_default();
        classify(&word(&failure.exception_type), &failure.message, &word(&failure.node_type), elsewhere)
    };
    match class(Elsewhere::NotTried) {
        FaultClass::Task => {
            context.instance.health().run_succeeded();
            Ok(Failure { kind: FailureKind::NodeError, ..failure })
        }
        FaultClass::Machine => Err(fault(failure, true, Vec::new())),
        FaultClass::Memory => {
            free_memory(context).await;
            let (earlier, others) = history_and_others(context).await;
            let failure = Failure { kind: FailureKind::OutOfMemory, ..failure };
            let is_last = context.claim.attempt.get() >= context.claim.max_attempts;
            if is_last || earlier.iter().any(|record| is_outcome(record, FailureKind::OutOfMemory)) {
                return Ok(failure);
            }
            let own = others.iter().find(|one| is_own(context, one)).map_or(0, memory_of);
            let larger = others.iter().filter(|one| !is_own(context, one) && memory_of(one) > own);
            let prefers = larger.map(|one| InstanceId::new(one.id.clone())).collect();
            Err(StageError::TryElsewhere { failure: Box::new(failure), prefers })
        }
        FaultClass::Unknown => {
            let (earlier, others) = history_and_others(context).await;
            let has_failed = earlier.iter().any(|record| is_outcome(record, FailureKind::NodeError));
            if has_failed && class(Elsewhere::Failed) == FaultClass::Task {
                return Ok(failure);
            }
            let others = other_ids(context, &others);
            if others.is_empty() {
                return Ok(of_unknown_cause(failure));
            }
            Err(fault(failure, false, others))
        }
    }
}

/// Returns the instances on which a task is tried again whose node was silent for too long: none after the same silence
/// of the same node.
pub(super) async fn others_after_stall(context: &AttemptContext, failure: &Failure) -> Vec<InstanceId> {
    let (earlier, others) = history_and_others(context).await;
    let node = node_words(failure.node_id.as_deref().unwrap_or_default());
    let is_same = |record: &&AttemptRecord| {
        is_outcome(record, FailureKind::Stalled)
            && record.error.as_ref().is_some_and(|error| error.message.starts_with(&node))
    };
    if earlier.iter().any(|record| is_same(&record)) { Vec::new() } else { other_ids(context, &others) }
}

/// The beginning of the message of a silent node.
pub(super) fn node_words(node: &str) -> String {
    format!("node {node} ")
}

fn fault(failure: Failure, is_machine: bool, prefers: Vec<InstanceId>) -> StageError {
    let kind = if is_machine { FailureKind::MachineFault } else { FailureKind::NodeError };
    StageError::NodeFault { failure: Box::new(Failure { kind, ..failure }), is_machine, prefers }
}

fn of_unknown_cause(failure: Failure) -> Failure {
    let note = "\n(not known whether the workflow or the machine is at fault: no other instance can try it now)";
    let room = Failure::MESSAGE_BYTES_MAX - note.len();
    let cut = &failure.message[..failure.message.floor_char_boundary(room)];
    Failure { message: format!("{cut}{note}"), cause_unknown: true, ..failure }
}

/// Best effort: the next prompt of this instance should find its memory free.
async fn free_memory(context: &AttemptContext) {
    if context.instance.clock.may_act()
        && let Err(error) = context.instance.client.free_memory().await
    {
        tracing::debug!(instance = %context.instance.target.id, %error, "instance memory not freed");
    }
}

fn is_outcome(record: &AttemptRecord, kind: FailureKind) -> bool {
    record.outcome.as_deref() == Some(kind.as_str())
}

fn is_own(context: &AttemptContext, one: &InstanceView) -> bool {
    one.id == context.instance.target.id.as_str()
}

fn memory_of(one: &InstanceView) -> u64 {
    one.device.as_ref().map_or(0, |device| device.vram_total)
}

fn other_ids(context: &AttemptContext, instances: &[InstanceView]) -> Vec<InstanceId> {
    instances.iter().filter(|one| !is_own(context, one)).map(|one| InstanceId::new(one.id.clone())).collect()
}

/// Returns the earlier attempts of the task since its last revival, and the instances that can run it now.
async fn history_and_others(context: &AttemptContext) -> (Vec<AttemptRecord>, Vec<InstanceView>) {
    let queue = context.instance.queue();
    let read = || async { tokio::try_join!(queue.task(context.claim.task), queue.instance_views()) };
    let (task, instances) = until_answered(context.call("task"), read).await;
    let Some(task) = task else { return (Vec::new(), Vec::new()) };
    let can_run = |one: &InstanceView| {
        let is_eligible = task.facts.eligible.is_empty() || task.facts.eligible.iter().any(|id| id.as_str() == one.id);
        let works = one.enabled && one.alive && matches!(one.phase, Phase::Up | Phase::Suspect);
        (works && is_eligible) || is_own(context, one)
    };
    (earlier(&task), instances.into_iter().filter(can_run).collect())
}

/// A retry by a user clears the instances that a task avoids, and so begins anew.
fn earlier(task: &Task) -> Vec<AttemptRecord> {
    let avoided = |record: &&AttemptRecord| task.avoids.contains(&record.instance_id);
    task.attempts.iter().filter(|record| record.ended_ms.is_some()).filter(avoided).cloned().collect()
}

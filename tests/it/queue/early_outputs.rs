//! Early outputs: added once and in order, by the lease owner only; dropped with the attempt. Every call is sent twice.

use super::{attempts::janitor, feed_events::next_task};
use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{TTL, World, completed, failed},
    },
};
use shuzhiren::{
    event::TaskChange,
    queue::{Claim, FileKind, FileRecord, Lease, OutputsAdded, SettleFacts, SharedObject, Written},
    task::{Attempt, FailureKind, FileId, ObjectId, Outcome, Output, OutputKind, Progress, Task, TaskState},
};

scenarios! {
    early_outputs_are_added_once_and_in_order
    a_late_copy_of_an_earlier_call_adds_nothing
    outputs_lost_in_a_failover_are_requested_again
    an_early_output_records_the_start
    an_output_of_a_stale_token_changes_nothing
    an_output_of_an_old_attempt_changes_nothing
    an_output_after_the_end_is_refused_and_earlier_ones_stay
    an_output_of_a_delayed_task_is_refused
    a_retry_drops_early_outputs
    a_requeue_drops_early_outputs
    a_revived_task_starts_without_outputs
    an_ending_replaces_early_outputs
    files_are_registered_by_the_call_that_names_them
}

fn text(node_id: &str, text: &str) -> Output {
    Output { node_id: node_id.into(), kind: OutputKind::Text, text: Some(text.into()), ..Output::default() }
}

async fn add_outputs(world: &World, lease: &Lease, claim: &Claim, before: usize, outputs: &[Output]) -> OutputsAdded {
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(world.queue.add_outputs(lease, claim.task, claim.attempt, before, outputs).await.unwrap());
    }
    assert_eq!(answers[0], answers[1]);
    answers[0]
}

/// Starts a task and adds two outputs, one of them a file.
async fn two_outputs(world: &World) -> (Lease, Claim, Vec<Output>) {
    world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, claim.task, claim.attempt).await.unwrap();
    let record = FileRecord {
        id: FileId::new(),
        kind: FileKind::Output,
        filename: "a.png".into(),
        content_type: "image/png".into(),
        size_bytes: 5,
        sha256: "00".into(),
        owner: "alice".into(),
        task_id: Some(claim.task),
        created_ms: 0,
        task_expires_ms: None,
        shares: None,
    };
    world.queue.add_file(&record).await.unwrap();
    let file = Output { node_id: "9".into(), file_id: Some(record.id), width: Some(64), ..Output::default() };
    let outputs = vec![text("7", "a ]\"[ b"), file];
    assert_eq!(add_outputs(world, &lease, &claim, 0, &outputs).await, OutputsAdded::Done);
    audit(world, 1).unwrap();
    (lease, claim, outputs)
}

async fn is_registered(world: &World, outputs: &[Output]) -> bool {
    let id = outputs.iter().find_map(|output| output.file_id).unwrap();
    world.queue.file(id).await.unwrap().is_some()
}

fn has_nothing(task: &Task) -> bool {
    task.outputs.is_empty()
}

pub async fn early_outputs_are_added_once_and_in_order(world: &World) {
    let mut feed = world.queue.feed().await.unwrap();
    let (lease, claim, mut outputs) = two_outputs(world).await;
    let third = text("8", "文");
    assert_eq!(add_outputs(world, &lease, &claim, 2, std::slice::from_ref(&third)).await, OutputsAdded::Done);
    outputs.push(third.clone());
    let task = world.task(claim.task).await;
    assert_eq!((task.state, task.version, &task.outputs), (TaskState::Running, 5, &outputs));
    let mut heard = Vec::new();
    for version in 1..=5 {
        let event = next_task(&mut feed).await;
        assert_eq!((event.id, event.version), (claim.task, version));
        if let TaskChange::Output { outputs } = event.change {
            assert_eq!(event.attempt, claim.attempt);
            heard.push(outputs);
        }
    }
    assert_eq!(heard, [outputs[..2].to_vec(), vec![third]]);
}

/// A call that its client abandoned and that reaches Redis after the next one.
pub async fn a_late_copy_of_an_earlier_call_adds_nothing(world: &World) {
    let (lease, claim, outputs) = two_outputs(world).await;
    assert_eq!(add_outputs(world, &lease, &claim, 2, &[text("8", "x")]).await, OutputsAdded::Done);
    let before = dump(world);
    assert_eq!(add_outputs(world, &lease, &claim, 0, &outputs).await, OutputsAdded::Done);
    assert!(before == dump(world), "a repeated call changed a key");
}

pub async fn outputs_lost_in_a_failover_are_requested_again(world: &World) {
    let (lease, claim, outputs) = two_outputs(world).await;
    let before = dump(world);
    assert_eq!(add_outputs(world, &lease, &claim, 3, &[text("8", "x")]).await, OutputsAdded::Missing(2));
    assert!(before == dump(world));
    let key = world.key(&format!("task:{}", claim.task));
    world.redis(&["HDEL", &key, "outputs", "outputs_told"]);
    assert_eq!(add_outputs(world, &lease, &claim, 2, &[text("8", "x")]).await, OutputsAdded::Missing(0));
    assert_eq!(add_outputs(world, &lease, &claim, 0, &outputs).await, OutputsAdded::Done);
    assert_eq!(world.task(claim.task).await.outputs, outputs);
}

pub async fn an_early_output_records_the_start(world: &World) {
    world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!(add_outputs(world, &lease, &claim, 0, &[text("7", "x")]).await, OutputsAdded::Done);
    let task = world.task(claim.task).await;
    assert_eq!((task.state, task.version, task.outputs.len()), (TaskState::Running, 4, 1));
    assert_eq!((task.started_ms, task.updated_ms), (Some(world.now_ms()), world.now_ms()));
    audit(world, 1).unwrap();
}

pub async fn an_output_of_a_stale_token_changes_nothing(world: &World) {
    let (old, claim, outputs) = two_outputs(world).await;
    world.advance(TTL);
    let new = world.lease("gpu:1").await;
    let before = dump(world);
    assert_eq!(add_outputs(world, &old, &claim, 2, &[text("8", "x")]).await, OutputsAdded::Refused(Written::Fenced));
    assert!(before == dump(world), "a fenced write changed a key");
    // The new owner continues where the old one stopped.
    assert_eq!(world.task(claim.task).await.outputs, outputs);
    assert_eq!(add_outputs(world, &new, &claim, 2, &[text("8", "x")]).await, OutputsAdded::Done);
    assert_eq!(world.task(claim.task).await.outputs.len(), 3);
}

pub async fn an_output_of_an_old_attempt_changes_nothing(world: &World) {
    let id = world.enqueue().await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let first = world.claim(&one).await.unwrap();
    world.queue.requeue(&one, id, first.attempt, false, "bad").await.unwrap();
    let second = world.claim(&two).await.unwrap();
    let before = dump(world);
    for (lease, attempt) in
        [(&one, first.attempt), (&one, second.attempt), (&two, first.attempt), (&two, Attempt::new(9))]
    {
        let answer = world.queue.add_outputs(lease, id, attempt, 0, &[text("7", "x")]).await.unwrap();
        assert_eq!(answer, OutputsAdded::Refused(Written::NotThisAttempt));
    }
    assert!(before == dump(world), "an old attempt changed a key");
}

pub async fn an_output_after_the_end_is_refused_and_earlier_ones_stay(world: &World) {
    let (lease, claim, outputs) = two_outputs(world).await;
    world.queue.cancel(claim.task).await.unwrap();
    let before = dump(world);
    let refused = OutputsAdded::Refused(Written::AlreadyEnded(TaskState::Cancelled));
    assert_eq!(add_outputs(world, &lease, &claim, 2, &[text("8", "x")]).await, refused);
    assert!(before == dump(world));
    assert_eq!(world.task(claim.task).await.outputs, outputs);
    assert!(is_registered(world, &outputs).await);
    audit(world, 1).unwrap();
}

pub async fn an_output_of_a_delayed_task_is_refused(world: &World) {
    let (lease, claim, _) = two_outputs(world).await;
    world.queue.settle(&lease, claim.task, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
    let before = dump(world);
    let refused = OutputsAdded::Refused(Written::NotThisAttempt);
    assert_eq!(add_outputs(world, &lease, &claim, 0, &[text("8", "x")]).await, refused);
    assert!(before == dump(world));
}

pub async fn a_retry_drops_early_outputs(world: &World) {
    let (lease, claim, outputs) = two_outputs(world).await;
    let outcome = failed(FailureKind::Stalled);
    for _ in 0..2 {
        let written = world.queue.settle(&lease, claim.task, claim.attempt, &outcome).await.unwrap();
        assert_eq!(written, Written::Retrying);
        assert!(has_nothing(&world.task(claim.task).await) && !is_registered(world, &outputs).await);
        audit(world, 1).unwrap();
    }
    let orphans = world.queue.take_orphan_objects(10).await.unwrap();
    assert_eq!(orphans, [ObjectId::from(outputs[1].file_id.unwrap())], "its object is handed out for deletion");
    // The next attempt starts from zero, and the outputs of the last attempt are kept.
    for number in 2..=3 {
        world.advance(std::time::Duration::from_secs(600));
        janitor(world).await;
        let lease = world.lease("gpu:2").await;
        let claim = world.claim(&lease).await.unwrap();
        assert_eq!(claim.attempt, Attempt::new(number));
        assert_eq!(add_outputs(world, &lease, &claim, 0, &outputs[..1]).await, OutputsAdded::Done);
        let Outcome::Failed { failure, .. } = failed(FailureKind::Stalled) else { panic!() };
        let outcome = Outcome::Failed { failure, outputs: outputs[..1].to_vec() };
        world.queue.settle(&lease, claim.task, claim.attempt, &outcome).await.unwrap();
        world.queue.release_lease(&lease).await.unwrap();
    }
    let task = world.task(claim.task).await;
    assert_eq!((task.state, task.outputs), (TaskState::Failed, outputs[..1].to_vec()));
}

pub async fn a_requeue_drops_early_outputs(world: &World) {
    let (lease, claim, outputs) = two_outputs(world).await;
    for _ in 0..2 {
        world.queue.requeue(&lease, claim.task, claim.attempt, true, "died").await.unwrap();
        assert!(has_nothing(&world.task(claim.task).await) && !is_registered(world, &outputs).await);
        audit(world, 1).unwrap();
    }
    assert_eq!(world.queue.take_orphan_objects(10).await.unwrap(), [ObjectId::from(outputs[1].file_id.unwrap())]);
    // The loss that fails the task keeps its outputs.
    let lease = world.lease("gpu:2").await;
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!(add_outputs(world, &lease, &claim, 0, &outputs[..1]).await, OutputsAdded::Done);
    world.queue.requeue(&lease, claim.task, claim.attempt, true, "died").await.unwrap();
    let task = world.task(claim.task).await;
    assert_eq!((task.state, task.outputs), (TaskState::Failed, outputs[..1].to_vec()));
}

pub async fn a_revived_task_starts_without_outputs(world: &World) {
    let (lease, claim, outputs) = two_outputs(world).await;
    world.queue.cancel(claim.task).await.unwrap();
    world.queue.release(&lease, claim.task).await.unwrap();
    assert!(is_registered(world, &outputs).await);
    world.queue.revive(claim.task).await.unwrap();
    assert!(has_nothing(&world.task(claim.task).await) && !is_registered(world, &outputs).await);
    assert!(world.task(claim.task).await.gone.is_empty(), "no output since the revival was deleted");
    audit(world, 1).unwrap();
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!(add_outputs(world, &lease, &claim, 0, &[text("7", "x")]).await, OutputsAdded::Done);
    assert_eq!(world.task(claim.task).await.outputs.len(), 1);
}

pub async fn an_ending_replaces_early_outputs(world: &World) {
    let (lease, claim, outputs) = two_outputs(world).await;
    world.queue.progress(&lease, claim.task, claim.attempt, &Progress::default()).await.unwrap();
    assert_eq!(world.task(claim.task).await.outputs, outputs, "progress does not change the outputs");
    let ordered: Vec<Output> = outputs.iter().rev().cloned().collect();
    for _ in 0..2 {
        let written =
            world.queue.settle(&lease, claim.task, claim.attempt, &Outcome::Completed(ordered.clone())).await.unwrap();
        assert_eq!(written, Written::Done);
    }
    assert_eq!(world.task(claim.task).await.outputs, ordered);
    assert!(is_registered(world, &outputs).await);
    let refused = OutputsAdded::Refused(Written::AlreadyEnded(TaskState::Completed));
    assert_eq!(add_outputs(world, &lease, &claim, 2, &[text("8", "x")]).await, refused);
    assert_eq!(world.queue.settle(&lease, claim.task, claim.attempt, &completed()).await.unwrap(), Written::Done);
    assert_eq!(world.task(claim.task).await.outputs, ordered, "the first ending counts");
    audit(world, 1).unwrap();
}

pub async fn files_are_registered_by_the_call_that_names_them(world: &World) {
    world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    let (task, attempt) = (claim.task, claim.attempt);
    let output = |file: &FileRecord| Output { node_id: "9".into(), file_id: Some(file.id), ..Output::default() };
    let known = super::files::upload(world).await;
    let made = |sha256: &str| FileRecord {
        sha256: sha256.to_owned(),
        size_bytes: known.size_bytes,
        ..super::files::record(FileKind::Output, Some(task))
    };
    let (early, copy, last) = (made("11"), made(&known.sha256), made("22"));
    let (files, outputs) = ([early.clone(), copy.clone()], [output(&early), output(&copy)]);
    let shared = SharedObject { file: copy.id, size_bytes: copy.size_bytes, object: known.id.into() };
    for _ in 0..2 {
        let add = world.queue.add_outputs_with_files(&lease, task, attempt, 0, (&outputs, &files));
        assert_eq!(add.await.unwrap(), (OutputsAdded::Done, vec![shared]));
    }
    assert_eq!(world.queue.file(copy.id).await.unwrap().unwrap().object(), known.id.into());
    audit(world, 1).unwrap();
    // A Redis that lost its last write knows the file, but not that it is an output.
    world.redis(&["HDEL", &world.key(&format!("task:{task}")), "outputs", "outputs_told"]);
    let add = world.queue.add_outputs_with_files(&lease, task, attempt, 0, (&outputs, &files));
    assert_eq!(add.await.unwrap(), (OutputsAdded::Done, vec![shared]));
    audit(world, 1).unwrap();

    let copy_of_last = FileRecord { id: FileId::new(), ..last.clone() };
    let outcome = Outcome::Completed([&early, &last, &copy_of_last].map(output).to_vec());
    let files = [last.clone(), copy_of_last.clone()];
    let shared = SharedObject { file: copy_of_last.id, size_bytes: last.size_bytes, object: last.id.into() };
    for _ in 0..2 {
        let settle = world.queue.settle_with_files(&lease, task, attempt, (&outcome, SettleFacts::default()), &files);
        assert_eq!(settle.await.unwrap(), (Written::Done, vec![shared]));
    }
    for file in [&early, &last, &copy_of_last] {
        let read = world.queue.file(file.id).await.unwrap().unwrap();
        assert_eq!((read.task_id, read.sha256), (Some(task), file.sha256.clone()));
    }
    audit(world, 1).unwrap();
    // Of a task that has ended otherwise, nothing is registered.
    world.enqueue().await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.cancel(claim.task).await.unwrap();
    let late = made("33");
    let settle = world.queue.settle_with_files(
        &lease,
        claim.task,
        claim.attempt,
        (&outcome, SettleFacts::default()),
        std::slice::from_ref(&late),
    );
    assert_eq!(settle.await.unwrap(), (Written::AlreadyEnded(TaskState::Cancelled), vec![]));
    assert_eq!(world.queue.file(late.id).await.unwrap(), None);
}

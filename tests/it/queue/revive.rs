//! Revival of failed or cancelled tasks: same id, a new budget of attempts, no leftovers of the earlier attempts.

use super::attempts::{janitor, write_all};
use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{KEEP, World, completed, failed, new_task},
    },
};
use shuzhiren::{
    queue::{Claim, FileDeleted, FileKind, FileRecord, Lease, Queue, QueueLimits, Revived, TaskQuery, Written},
    task::{FailureKind, FileId, FileInput, NewTask, Priority, Status, Task, TaskId, TaskState},
};
use std::time::Duration;

scenarios! {
    a_failed_task_is_revived
    a_cancelled_task_is_revived_once_its_instance_has_stopped
    only_failed_or_cancelled_tasks_are_revived
    a_revived_task_has_all_its_attempts_again
    a_revived_task_avoids_no_instance
    a_revival_resets_the_losses
    a_revived_task_needs_its_files_again
    a_task_without_its_payload_is_not_revived
    a_start_by_that_has_passed_is_dropped
    a_full_queue_revives_nothing
    a_write_from_before_the_revival_changes_nothing
    a_revived_task_is_not_collected_before_its_time
    the_age_of_a_revived_task_counts_from_its_revival
    failed_tasks_are_listed_by_their_error
}

async fn revived(world: &World, id: TaskId) -> Task {
    match world.queue.revive(id).await.unwrap() {
        Revived::Revived(task) => *task,
        other => panic!("not revived: {other:?}"),
    }
}

/// Claims the next task and fails it.
async fn fail(world: &World, lease: &Lease, kind: FailureKind) -> Claim {
    let claim = world.claim(lease).await.unwrap();
    world.queue.settle(lease, claim.task, claim.attempt, &failed(kind)).await.unwrap();
    claim
}

pub async fn a_failed_task_is_revived(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let first = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, id, first.attempt).await.unwrap();
    world.queue.settle(&lease, id, first.attempt, &failed(FailureKind::NodeError)).await.unwrap();
    let before = world.task(id).await;
    world.advance(Duration::from_secs(60));
    // Idempotent.
    for _ in 0..2 {
        let task = revived(world, id).await;
        assert_eq!((task.state, task.version, task.revived), (TaskState::Waiting, before.version + 1, 1));
        assert_eq!((task.created_ms, task.finished_ms, task.started_ms), (before.created_ms, None, None));
        assert_eq!(task.attempts[0].outcome.as_deref(), Some("node_error"), "history is kept");
        assert_eq!(task.failure.unwrap().kind, FailureKind::NodeError);
        audit(world, 1).unwrap();
    }
    let counts = world.queue.counts().await.unwrap();
    assert_eq!((counts.pending, counts.failed, counts.waiting_by_lane), (1, 0, [0, 1, 0]));
    let second = world.claim(&lease).await.unwrap();
    assert_eq!((second.task, second.attempt.get(), second.waited), (id, 2, Duration::ZERO));
    assert_eq!(second.payload.workflow.get(), first.payload.workflow.get());
    audit(world, 1).unwrap();
    assert_eq!(revived(world, id).await.state, TaskState::Claimed, "already revived");
    assert_eq!(world.queue.settle(&lease, id, second.attempt, &completed()).await.unwrap(), Written::Done);
    let task = world.task(id).await;
    assert_eq!((task.state, task.failure, task.attempts.len()), (TaskState::Completed, None, 2));
    audit(world, 1).unwrap();
    assert!(matches!(world.queue.revive(id).await.unwrap(), Revived::Completed));
}

pub async fn a_cancelled_task_is_revived_once_its_instance_has_stopped(world: &World) {
    let waiting = world.enqueue().await;
    world.queue.cancel(waiting).await.unwrap();
    assert_eq!(revived(world, waiting).await.state, TaskState::Waiting);
    audit(world, 1).unwrap();
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, waiting, claim.attempt).await.unwrap();
    world.queue.cancel(waiting).await.unwrap();
    let before = dump(world);
    assert!(matches!(world.queue.revive(waiting).await.unwrap(), Revived::Stopping));
    assert!(before == dump(world), "a refused revival changes nothing");
    world.queue.release(&lease, waiting).await.unwrap();
    let task = revived(world, waiting).await;
    assert_eq!((task.state, task.revived, task.cancel_pending), (TaskState::Waiting, 2, false));
    audit(world, 1).unwrap();
    assert_eq!(world.claim(&lease).await.unwrap().attempt.get(), 2);
}

pub async fn only_failed_or_cancelled_tasks_are_revived(world: &World) {
    let (id, other) = (world.enqueue().await, world.enqueue().await);
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, id, claim.attempt).await.unwrap();
    let before = dump(world);
    assert!(matches!(world.queue.revive(TaskId::new()).await.unwrap(), Revived::NotFound));
    assert!(matches!(world.queue.revive(id).await.unwrap(), Revived::NotEnded(Status::Running)));
    assert!(matches!(world.queue.revive(other).await.unwrap(), Revived::NotEnded(Status::Pending)));
    assert!(before == dump(world));
    world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
    let before = dump(world);
    assert!(matches!(world.queue.revive(id).await.unwrap(), Revived::Completed));
    assert!(before == dump(world));
}

pub async fn a_revived_task_has_all_its_attempts_again(world: &World) {
    let id = world.create(&NewTask { max_attempts: 2, ..new_task() }).await.id;
    let lease = world.lease("gpu:1").await;
    for (life, attempts) in [(0, [1, 2]), (1, [3, 4])] {
        for (turn, attempt) in attempts.into_iter().enumerate() {
            let claim = fail(world, &lease, FailureKind::Stalled).await;
            assert_eq!((claim.attempt.get(), claim.max_attempts), (attempt, attempts[1]));
            let state = if turn == 0 { TaskState::Delayed } else { TaskState::Failed };
            assert_eq!(world.task(id).await.state, state, "revival {life}, attempt {attempt}");
            audit(world, 1).unwrap();
            world.advance(Duration::from_secs(10));
            janitor(world).await;
        }
        if life == 0 {
            revived(world, id).await;
        }
    }
    assert_eq!(world.task(id).await.attempts.len(), 4);
}

pub async fn a_revived_task_avoids_no_instance(world: &World) {
    let id = world.create(&NewTask { max_attempts: 2, ..new_task() }).await.id;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    fail(world, &one, FailureKind::Stalled).await;
    world.advance(Duration::from_secs(3));
    janitor(world).await;
    fail(world, &two, FailureKind::Stalled).await;
    revived(world, id).await;
    assert_eq!(world.claim(&one).await.unwrap().task, id, "at once, on the instance where it failed");
}

pub async fn a_revival_resets_the_losses(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    for _ in 0..2 {
        let claim = world.claim(&lease).await.unwrap();
        world.queue.requeue(&lease, id, claim.attempt, true, "died").await.unwrap();
    }
    assert_eq!(world.task(id).await.failure.unwrap().kind, FailureKind::Poison);
    revived(world, id).await;
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!(world.queue.requeue(&lease, id, claim.attempt, true, "died").await.unwrap(), Written::Done);
    assert_eq!(world.task(id).await.state, TaskState::Waiting);
    audit(world, 1).unwrap();
}

pub async fn a_revived_task_needs_its_files_again(world: &World) {
    let record = FileRecord {
        id: FileId::new(),
        kind: FileKind::Upload,
        filename: "a.png".into(),
        content_type: "image/png".into(),
        size_bytes: 5,
        sha256: "00".into(),
        owner: "alice".into(),
        task_id: None,
        created_ms: 0,
        task_expires_ms: None,
        shares: None,
    };
    world.queue.add_file(&record).await.unwrap();
    let mut new = new_task();
    new.payload.files = vec![FileInput { node_id: "1".into(), input: "image".into(), file_id: record.id }];
    let id = world.create(&new).await.id;
    let lease = world.lease("gpu:1").await;
    fail(world, &lease, FailureKind::NodeError).await;
    revived(world, id).await;
    audit(world, 1).unwrap();
    assert_eq!(world.queue.delete_file(record.id).await.unwrap(), FileDeleted::InUse(None));
    fail(world, &lease, FailureKind::NodeError).await;
    assert!(matches!(world.queue.delete_file(record.id).await.unwrap(), FileDeleted::Deleted(..)));
    let before = dump(world);
    assert!(matches!(world.queue.revive(id).await.unwrap(), Revived::NoSuchFile(file) if file == record.id));
    assert!(before == dump(world), "a refused revival changes nothing");
}

pub async fn a_task_without_its_payload_is_not_revived(world: &World) {
    let id = world.enqueue().await;
    world.queue.cancel(id).await.unwrap();
    world.redis(&["DEL", &world.key(&format!("payload:{id}"))]);
    assert!(matches!(world.queue.revive(id).await.unwrap(), Revived::PayloadGone));
    assert_eq!(world.task(id).await.state, TaskState::Cancelled);
}

pub async fn a_start_by_that_has_passed_is_dropped(world: &World) {
    let in_seconds = |seconds: u64| Some(world.now_ms() + seconds * 1_000);
    let late = world.create(&NewTask { start_by_ms: in_seconds(10), ..new_task() }).await.id;
    let begun = world.create(&NewTask { start_by_ms: in_seconds(60), priority: Priority::High, ..new_task() }).await.id;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, begun, claim.attempt).await.unwrap();
    world.queue.settle(&lease, begun, claim.attempt, &failed(FailureKind::NodeError)).await.unwrap();
    revived(world, begun).await;
    audit(world, 1).unwrap();
    let early = world.create(&NewTask { start_by_ms: in_seconds(60), ..new_task() }).await.id;
    world.queue.cancel(early).await.unwrap();
    world.advance(Duration::from_secs(10));
    janitor(world).await;
    assert_eq!(world.task(late).await.failure.unwrap().kind, FailureKind::StartTimeout);
    assert_eq!(revived(world, late).await.start_by_ms, None);
    assert!(world.task(late).await.failure.is_some());
    let urgent = world.claim(&lease).await.unwrap();
    let claim = world.claim_with_slots(&lease, 2).await.unwrap();
    assert_eq!((claim.task, world.task(late).await.failure), (late, None), "the new life has not failed");
    for claim in [urgent, claim] {
        world.queue.requeue(&lease, claim.task, claim.attempt, false, "test").await.unwrap();
    }
    assert!(revived(world, early).await.start_by_ms.is_some());
    audit(world, 1).unwrap();
    janitor(world).await;
    assert_eq!(world.task(late).await.state, TaskState::Waiting);
    world.advance(Duration::from_secs(50));
    janitor(world).await;
    assert_eq!((world.task(late).await.state, world.task(early).await.state), (TaskState::Waiting, TaskState::Failed));
    audit(world, 1).unwrap();
}

pub async fn a_full_queue_revives_nothing(world: &World) {
    let id = world.enqueue().await;
    world.queue.cancel(id).await.unwrap();
    world.enqueue().await;
    let limits = QueueLimits { waiting_max: 1, keep_tasks: KEEP };
    let narrow = Queue::connect_with(&world.settings, limits, world.scripts.clone()).await.unwrap();
    let before = dump(world);
    assert!(matches!(narrow.revive(id).await.unwrap(), Revived::Full(_)));
    assert!(before == dump(world));
}

pub async fn a_write_from_before_the_revival_changes_nothing(world: &World) {
    for was_requeued in [false, true] {
        let id = world.enqueue().await;
        let lease = world.lease(if was_requeued { "gpu:1" } else { "gpu:2" }).await;
        let claim = world.claim(&lease).await.unwrap();
        if was_requeued {
            world.queue.requeue(&lease, id, claim.attempt, false, "drained").await.unwrap();
            world.queue.cancel(id).await.unwrap();
        } else {
            world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::NodeError)).await.unwrap();
        }
        revived(world, id).await;
        let before = dump(world);
        let answers = write_all(&world.queue, &lease, id, claim.attempt).await;
        assert_eq!(answers, [Written::NotThisAttempt; 6], "requeued: {was_requeued}");
        assert_eq!(world.queue.release(&lease, id).await.unwrap(), Written::Done);
        assert!(before == dump(world));
        world.queue.cancel(id).await.unwrap();
        audit(world, 1).unwrap();
    }
}

pub async fn a_revived_task_is_not_collected_before_its_time(world: &World) {
    let id = world.enqueue().await;
    world.queue.cancel(id).await.unwrap();
    revived(world, id).await;
    audit(world, 1).unwrap();
    world.advance(KEEP * 2);
    janitor(world).await;
    assert_eq!(world.task(id).await.state, TaskState::Waiting);
    let lease = world.lease("gpu:1").await;
    fail(world, &lease, FailureKind::NodeError).await;
    audit(world, 1).unwrap();
    world.advance(KEEP);
    janitor(world).await;
    assert!(world.queue.task(id).await.unwrap().is_none());
    audit(world, 1).unwrap();
    assert!(!dump(world).names().iter().any(|key| key.starts_with("errors:")));
}

pub async fn the_age_of_a_revived_task_counts_from_its_revival(world: &World) {
    let old = world.create(&NewTask { priority: Priority::Low, ..new_task() }).await.id;
    world.queue.cancel(old).await.unwrap();
    world.advance(Duration::from_secs(600));
    revived(world, old).await;
    let urgent = world.create(&NewTask { priority: Priority::High, ..new_task() }).await.id;
    let lease = world.lease("gpu:1").await;
    assert_eq!(world.claim_with_slots(&lease, 2).await.unwrap().task, urgent);
    world.advance(Duration::from_secs(7));
    let claim = world.claim_with_slots(&lease, 2).await.unwrap();
    assert_eq!((claim.task, claim.waited), (old, Duration::from_secs(7)));
}

pub async fn failed_tasks_are_listed_by_their_error(world: &World) {
    use FailureKind::{NodeError, Poison, RunTimeout, Stalled};
    let lease = world.lease("gpu:1").await;
    let mut by_kind = Vec::new();
    for kind in [NodeError, RunTimeout, NodeError, Stalled, RunTimeout, NodeError] {
        let id = world.create(&NewTask { max_attempts: 1, ..new_task() }).await.id;
        world.advance(Duration::from_millis(1));
        fail(world, &lease, kind).await;
        by_kind.insert(0, (kind, id));
    }
    world.queue.cancel(world.enqueue().await).await.unwrap();
    for failures in [vec![NodeError], vec![Poison], vec![Stalled, RunTimeout, Stalled], FailureKind::ALL.to_vec()] {
        let expected: Vec<TaskId> =
            by_kind.iter().filter(|(kind, _)| failures.contains(kind)).map(|(_, id)| *id).collect();
        for offset in 0..=expected.len() {
            let query =
                TaskQuery { failures: failures.clone(), limit: 2, offset: offset as u64, ..TaskQuery::default() };
            let page = world.queue.list(&query).await.unwrap();
            let ids: Vec<TaskId> = page.items.iter().map(|task| task.id).collect();
            assert_eq!(
                (page.total, ids.as_slice()),
                (expected.len() as u64, &expected[offset..expected.len().min(offset + 2)])
            );
        }
    }
    audit(world, 1).unwrap();
    let (_, newest) = by_kind[0];
    revived(world, newest).await;
    let query = TaskQuery { failures: vec![NodeError], limit: 9, ..TaskQuery::default() };
    assert_eq!(world.queue.list(&query).await.unwrap().total, 2);
    audit(world, 1).unwrap();
    // Stale entries are removed, missing ones rebuilt.
    world.redis(&["ZADD", &world.key("errors:poison"), "1", &newest.to_string(), "2", "gone"]);
    world.redis(&["DEL", &world.key("errors:run_timeout")]);
    assert!(world.queue.repair_indexes().await.unwrap() >= 4);
    audit(world, 1).unwrap();
}

//! The lifecycle of a task: accepted, claimed, started, progress, ended. Every call is sent twice.

use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{KEEP, World, completed, failed, new_task},
    },
};
use futures_util::future::join_all;
use shuzhiren::{
    queue::{Claimed, Enqueued, Queue, QueueLimits, Written},
    task::{Attempt, FailureKind, Outcome, Output, OutputKind, Progress, Status, TaskId, TaskState},
};

scenarios! {
    a_task_runs_from_enqueue_to_finish
    an_enqueue_sent_twice_is_replayed
    a_full_queue_refuses_tasks
}

pub async fn a_task_runs_from_enqueue_to_finish(world: &World) {
    let new = new_task();
    let created = world.create(&new).await;
    assert_eq!((created.state, created.version, created.created_ms), (TaskState::Waiting, 1, world.now_ms()));
    let read = world.task(new.id).await;
    assert_eq!((read.state, read.version, read.attempt), (TaskState::Waiting, 1, Attempt::new(0)));
    assert_eq!(world.queue.wait_facts(&read).await.unwrap().position, Some(0));
    audit(world, 1).unwrap();

    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!((claim.task, claim.attempt, claim.max_attempts), (new.id, Attempt::new(1), 3));
    assert_eq!(claim.payload.workflow.get(), new.payload.workflow.get());
    let task = world.task(new.id).await;
    assert_eq!((task.state, task.version), (TaskState::Claimed, 2));
    assert_eq!(task.instance.as_ref().unwrap().as_str(), "gpu:1");
    audit(world, 1).unwrap();

    for _ in 0..2 {
        assert_eq!(world.queue.start(&lease, new.id, claim.attempt).await.unwrap(), Written::Done);
    }
    let task = world.task(new.id).await;
    assert_eq!((task.state, task.version, task.started_ms), (TaskState::Running, 3, Some(world.now_ms())));
    let half =
        Progress { percent: 50, current_node: Some("3".into()), nodes_done: 1, nodes_total: 2, ..Progress::default() };
    assert_eq!(world.queue.progress(&lease, new.id, claim.attempt, &half).await.unwrap(), Written::Done);
    assert_eq!(world.task(new.id).await.progress, half);
    audit(world, 1).unwrap();

    let output = Output {
        node_id: "9".into(),
        kind: OutputKind::Text,
        text: Some("a \"quoted\" text".into()),
        ..Output::default()
    };
    let outcome = Outcome::Completed(vec![output.clone()]);
    for _ in 0..2 {
        assert_eq!(world.queue.settle(&lease, new.id, claim.attempt, &outcome).await.unwrap(), Written::Done);
        audit(world, 1).unwrap();
    }
    let task = world.task(new.id).await;
    assert_eq!((task.state, task.version, task.outputs), (TaskState::Completed, 5, vec![output]));
    assert_eq!((task.attempts.len(), task.attempts[0].outcome.as_deref()), (1, Some("completed")));
    assert_eq!(task.state.status(), Status::Completed);
    audit(world, 1).unwrap();
    let (claimed, gone) = (world.queue.claim(&lease, "n", 1, 32).await.unwrap(), TaskId::new());
    assert!(matches!(claimed, Claimed::Nothing));
    let write = world.queue.settle(&lease, gone, Attempt::new(1), &failed(FailureKind::NodeError)).await.unwrap();
    assert_eq!(write, Written::NotThisAttempt);
}

pub async fn an_enqueue_sent_twice_is_replayed(world: &World) {
    let new = new_task();
    world.create(&new).await;
    assert!(matches!(world.queue.enqueue(&new).await.unwrap(), Enqueued::Replayed(task) if task.id == new.id));
    let mut other = new.clone();
    other.fingerprint = "g".into();
    assert!(matches!(world.queue.enqueue(&other).await.unwrap(), Enqueued::Conflict));
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.settle(&lease, new.id, claim.attempt, &completed()).await.unwrap();
    // As long as the task is kept, its id returns it.
    let Enqueued::Replayed(task) = world.queue.enqueue(&new).await.unwrap() else { panic!() };
    assert_eq!(task.state, TaskState::Completed);
    audit(world, 1).unwrap();
}

pub async fn a_full_queue_refuses_tasks(world: &World) {
    let limits = QueueLimits { waiting_max: 2, keep_tasks: KEEP };
    let queue = Queue::connect_with(&world.settings, limits, world.scripts.clone()).await.unwrap();
    let accepted = new_task();
    assert!(matches!(queue.enqueue(&accepted).await.unwrap(), Enqueued::Created(_)));
    assert!(matches!(queue.enqueue(&new_task()).await.unwrap(), Enqueued::Created(_)));
    let before = dump(world);
    assert!(matches!(queue.enqueue(&new_task()).await.unwrap(), Enqueued::Full(after) if !after.is_zero()));
    assert!(before == dump(world));
    // An accepted task is still replayed.
    assert!(matches!(queue.enqueue(&accepted).await.unwrap(), Enqueued::Replayed(_)));
    queue.cancel(accepted.id).await.unwrap();
    // Sent together in few calls.
    let news: Vec<_> = (0..20).map(|_| new_task()).collect();
    let answers = join_all(news.iter().map(|new| queue.enqueue(new))).await;
    let created = answers.iter().filter(|answer| matches!(answer, Ok(Enqueued::Created(_)))).count();
    assert_eq!(created, 1, "{answers:?}");
}

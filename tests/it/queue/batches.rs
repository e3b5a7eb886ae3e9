//! Batches: tasks are accepted all or none, read and cancelled together, and deleted one by one.

use super::attempts::janitor;
use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{KEEP, World, completed, new_task},
    },
};
use shuzhiren::{
    queue::{BatchEnqueued, Cancelled, Enqueued, PackedTask, Queue, QueueLimits, TaskPage, TaskQuery},
    task::{
        BatchId, BatchPlace, FileId, FileInput, NewTask, Progress, Status, Task, TaskId, TaskState, WorkflowVersion,
    },
};
use std::time::Duration;

scenarios! {
    a_batch_is_accepted_once_and_as_a_whole
    a_batch_that_does_not_fit_is_refused_as_a_whole
    a_batch_with_a_missing_file_is_refused_as_a_whole
    one_known_task_proves_that_its_batch_was_accepted
    a_batch_lists_only_its_own_tasks
    a_batch_summary_counts_its_tasks
    a_batch_is_cancelled_from_its_last_task
    a_batch_disappears_with_its_last_task
    the_sweep_repairs_the_index_of_a_batch
}

/// Returns the tasks of a new batch of alice.
pub fn batch_of(id: BatchId, size: u16) -> Vec<NewTask> {
    (0..size)
        .map(|index| {
            let mut new = new_task();
            new.id = id.task(index);
            new.facts.batch = Some(BatchPlace { index, size });
            new
        })
        .collect()
}

async fn pack(queue: &Queue, tasks: &[NewTask]) -> Vec<PackedTask> {
    let mut packed = Vec::new();
    for new in tasks {
        packed.push(queue.pack(new.clone()).await.unwrap());
    }
    packed
}

async fn enqueue(world: &World, tasks: &[NewTask]) -> BatchEnqueued {
    world.queue.enqueue_batch(&pack(&world.queue, tasks).await).await.unwrap()
}

async fn created(world: &World, size: u16) -> BatchId {
    let id = BatchId::new();
    let enqueued = enqueue(world, &batch_of(id, size)).await;
    assert!(matches!(enqueued, BatchEnqueued::Created(_)), "{enqueued:?}");
    id
}

fn ids(tasks: &[Task]) -> Vec<TaskId> {
    tasks.iter().map(|task| task.id).collect()
}

pub async fn a_batch_is_accepted_once_and_as_a_whole(world: &World) {
    let id = BatchId::new();
    let tasks = batch_of(id, 5);
    let wanted: Vec<TaskId> = tasks.iter().map(|new| new.id).collect();
    let BatchEnqueued::Created(made) = enqueue(world, &tasks).await else { panic!("not created") };
    assert_eq!(ids(&made), wanted);
    assert!(made.iter().all(|task| (task.state, task.created_ms) == (TaskState::Waiting, world.now_ms())));
    audit(world, 1).unwrap();
    for read in &made {
        assert_eq!(format!("{:?}", world.task(read.id).await), format!("{read:?}"));
        assert_eq!(
            world.queue.payload(read.id).await.unwrap().unwrap().workflow.get(),
            tasks[0].payload.workflow.get()
        );
    }
    world.advance(Duration::from_secs(1));
    let before = dump(world);
    let BatchEnqueued::Replayed(again) = enqueue(world, &tasks).await else { panic!("not replayed") };
    assert_eq!(ids(&again), wanted);
    assert!(dump(world) == before);
    let mut other = tasks.clone();
    other.iter_mut().for_each(|new| new.fingerprint = "other".to_owned());
    assert!(matches!(enqueue(world, &other).await, BatchEnqueued::Conflict));
    // The batch has the id of its first task.
    let single = NewTask { fingerprint: "other".to_owned(), ..tasks[0].clone() };
    assert!(matches!(world.queue.enqueue(&single).await.unwrap(), Enqueued::Conflict));
    assert!(dump(world) == before);
    assert_eq!(world.queue.was_accepted(wanted[0], "f").await.unwrap(), Some(true));
    assert_eq!(world.queue.was_accepted(wanted[0], "g").await.unwrap(), Some(false));
    assert_eq!(world.queue.was_accepted(TaskId::new(), "f").await.unwrap(), None);

    let lease = world.lease("gpu:1").await;
    for id in wanted {
        let claim = world.claim(&lease).await.unwrap();
        assert_eq!(claim.task, id, "in the order of the tasks");
        world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
    }
    audit(world, 1).unwrap();
}

pub async fn a_batch_that_does_not_fit_is_refused_as_a_whole(world: &World) {
    let limits = QueueLimits { waiting_max: 4, keep_tasks: KEEP };
    let queue = Queue::connect_with(&world.settings, limits, world.scripts.clone()).await.unwrap();
    world.enqueue().await;
    let before = dump(world);
    let four = pack(&queue, &batch_of(BatchId::new(), 4)).await;
    assert!(matches!(queue.enqueue_batch(&four).await.unwrap(), BatchEnqueued::Full(_)));
    assert!(dump(world) == before);
    let three = pack(&queue, &batch_of(BatchId::new(), 3)).await;
    assert!(matches!(queue.enqueue_batch(&three).await.unwrap(), BatchEnqueued::Created(_)));
    // Repeated while the queue is full: it was accepted before.
    assert!(matches!(queue.enqueue_batch(&three).await.unwrap(), BatchEnqueued::Replayed(_)));
    audit(world, 1).unwrap();
}

pub async fn a_batch_with_a_missing_file_is_refused_as_a_whole(world: &World) {
    let mut tasks = batch_of(BatchId::new(), 3);
    let missing = FileId::new();
    tasks[2].payload.files = vec![FileInput { node_id: "1".into(), input: "image".into(), file_id: missing }];
    let before = dump(world);
    assert!(matches!(enqueue(world, &tasks).await, BatchEnqueued::NoSuchFile(id) if id == missing));
    assert!(dump(world) == before);
}

pub async fn one_known_task_proves_that_its_batch_was_accepted(world: &World) {
    let id = BatchId::new();
    let tasks = batch_of(id, 3);
    enqueue(world, &tasks).await;
    for index in [0, 2] {
        world.queue.cancel(id.task(index)).await.unwrap();
    }
    world.advance(KEEP + Duration::from_secs(1));
    janitor(world).await;
    let BatchEnqueued::Replayed(left) = enqueue(world, &tasks).await else { panic!("not replayed") };
    assert_eq!(ids(&left), [id.task(1)]);
    audit(world, 1).unwrap();
}

pub async fn a_batch_lists_only_its_own_tasks(world: &World) {
    world.enqueue().await;
    let (id, other) = (created(world, 7).await, created(world, 2).await);
    for index in [1, 4] {
        world.queue.cancel(id.task(index)).await.unwrap();
    }
    let list = async |query: &TaskQuery| -> TaskPage { world.queue.batch_tasks(id, query).await.unwrap() };
    let every = TaskQuery { limit: 200, ..TaskQuery::default() };
    let order: Vec<TaskId> = (0..7).rev().map(|index| id.task(index)).collect();
    let page = list(&every).await;
    assert_eq!((page.total, ids(&page.items), page.next_cursor), (7, order.clone(), None));
    let waiting = TaskQuery { statuses: vec![Status::Pending], ..every.clone() };
    assert_eq!(ids(&list(&waiting).await.items), [6, 5, 3, 2, 0].map(|index| id.task(index)));
    for limit in 1..=7 {
        let (mut by_offset, mut by_cursor, mut cursor) = (Vec::new(), Vec::new(), None);
        loop {
            let offset = by_offset.len() as u64;
            let page = list(&TaskQuery { offset, limit, ..every.clone() }).await;
            let same = list(&TaskQuery { cursor, limit, ..every.clone() }).await;
            assert_eq!((page.total, same.total, page.next_cursor), (7, 7, same.next_cursor));
            by_offset.extend(ids(&page.items));
            by_cursor.extend(ids(&same.items));
            cursor = same.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((&by_offset, &by_cursor), (&order, &order), "{limit}");
    }
    let bobs = TaskQuery { owner: Some("bob".to_owned()), ..every.clone() };
    assert_eq!(list(&bobs).await.total, 0);
    assert_eq!(list(&TaskQuery { owner: Some("alice".to_owned()), ..every.clone() }).await.total, 7);
    assert_eq!(list(&TaskQuery { offset: u64::MAX, ..every.clone() }).await.items.len(), 0);
    assert_eq!(world.queue.batch_tasks(other, &every).await.unwrap().total, 2);
    assert_eq!(world.queue.batch_tasks(BatchId::new(), &every).await.unwrap().total, 0);
}

pub async fn a_batch_summary_counts_its_tasks(world: &World) {
    let id = created(world, 6).await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim_with_slots(&lease, 9).await.unwrap();
    world.queue.settle(&lease, claim.task, claim.attempt, &completed()).await.unwrap();
    let claim = world.claim_with_slots(&lease, 9).await.unwrap();
    world.queue.start(&lease, claim.task, claim.attempt).await.unwrap();
    let half = Progress { percent: 50, current_node: None, nodes_done: 1, nodes_total: 2, ..Progress::default() };
    world.queue.progress(&lease, claim.task, claim.attempt, &half).await.unwrap();
    world.advance(Duration::from_secs(7));
    world.queue.cancel(id.task(3)).await.unwrap();
    let stand = world.queue.batch(id).await.unwrap().unwrap();
    assert_eq!((stand.owner.as_str(), stand.counts, stand.percent_sum), ("alice", [3, 1, 1, 0, 1], 250));
    assert_eq!((stand.updated_ms, stand.updated_ms - stand.created_ms), (world.now_ms(), 7_000));
    assert_eq!(stand.facts.batch.unwrap().size, 6);
    assert!(world.queue.batch(BatchId::new()).await.unwrap().is_none());
}

pub async fn a_batch_is_cancelled_from_its_last_task(world: &World) {
    let id = created(world, 5).await;
    let other = created(world, 2).await;
    let lease = world.lease("gpu:1").await;
    let done = world.claim_with_slots(&lease, 9).await.unwrap();
    world.queue.settle(&lease, done.task, done.attempt, &completed()).await.unwrap();
    let running = world.claim_with_slots(&lease, 9).await.unwrap();
    world.queue.start(&lease, running.task, running.attempt).await.unwrap();
    // Two at a time, the last first.
    assert_eq!(world.queue.cancel_some(id, 2).await.unwrap(), (2, true));
    let states = async |indexes: [u16; 5]| {
        let mut states = Vec::new();
        for index in indexes {
            states.push(world.task(id.task(index)).await.state);
        }
        states
    };
    use TaskState::{Cancelled as Gone, Completed, Running, Waiting};
    assert_eq!(states([0, 1, 2, 3, 4]).await, [Completed, Running, Waiting, Gone, Gone]);
    audit(world, 9).unwrap();
    assert_eq!(world.queue.cancel_batch(id).await.unwrap(), 2);
    assert_eq!(states([0, 1, 2, 3, 4]).await, [Completed, Gone, Gone, Gone, Gone]);
    assert!(world.task(id.task(1)).await.cancel_pending, "its instance must still stop it");
    audit(world, 9).unwrap();
    let before = dump(world);
    assert_eq!(world.queue.cancel_batch(id).await.unwrap(), 0);
    assert_eq!(world.queue.cancel_batch(BatchId::new()).await.unwrap(), 0);
    assert!(dump(world) == before);
    assert_eq!(world.queue.batch(other).await.unwrap().unwrap().counts, [2, 0, 0, 0, 0]);
}

pub async fn a_batch_disappears_with_its_last_task(world: &World) {
    let id = BatchId::new();
    let mut tasks = batch_of(id, 3);
    for new in &mut tasks {
        new.facts.workflow = Some(WorkflowVersion { name: "portrait".parse().unwrap(), version: 2 });
    }
    enqueue(world, &tasks).await;
    let flows = || world.redis(&["SMEMBERS", &world.key("flows")]).texts();
    assert_eq!(flows(), ["portrait"]);
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, claim.task, claim.attempt).await.unwrap();
    audit(world, 1).unwrap();
    world.queue.settle(&lease, claim.task, claim.attempt, &completed()).await.unwrap();
    audit(world, 1).unwrap();
    world.advance(KEEP + Duration::from_secs(1));
    janitor(world).await;
    assert_eq!(world.queue.batch(id).await.unwrap().unwrap().counts, [2, 0, 0, 0, 0]);
    assert_eq!(flows(), ["portrait"], "other tasks are made from it");
    audit(world, 1).unwrap();
    assert!(matches!(world.queue.cancel(id.task(1)).await.unwrap(), Cancelled::Cancelled(_)));
    assert_eq!(world.queue.cancel_batch(id).await.unwrap(), 1);
    world.advance(KEEP + Duration::from_secs(1));
    janitor(world).await;
    assert!(world.queue.batch(id).await.unwrap().is_none());
    let left: Vec<String> =
        dump(world).names().into_iter().filter(|name| name.contains("flow") || name.contains("batch")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Index entries are rebuilt from the task hashes, and entries without a task are removed.
pub async fn the_sweep_repairs_the_index_of_a_batch(world: &World) {
    let id = BatchId::new();
    let mut tasks = batch_of(id, 3);
    for new in &mut tasks {
        new.facts.workflow = Some(WorkflowVersion { name: "portrait".parse().unwrap(), version: 2 });
    }
    enqueue(world, &tasks).await;
    let batch = world.key(&format!("batch:{}", &id.to_string()[..32]));
    let (right, wrong) = (world.key("flow:pending:portrait"), world.key("flow:failed:portrait"));
    let [first, second, gone] = [0, 1, 2].map(|index| id.task(index).to_string());
    world.redis(&["ZREM", &batch, &first]);
    world.redis(&["ZREM", &right, &second]);
    world.redis(&["ZADD", &wrong, "1", &second]);
    world.redis(&["DEL", &world.key("flows")]);
    assert!(audit(world, 1).is_err());
    assert!(world.queue.repair_indexes().await.unwrap() >= 3);
    assert_eq!(world.queue.repair_indexes().await.unwrap(), 0);
    audit(world, 1).unwrap();
    assert_eq!(world.redis(&["SMEMBERS", &world.key("flows")]).texts(), ["portrait"]);
    // A task whose hash was deleted but not its index entries.
    world.redis(&["DEL", &world.key(&format!("task:{gone}")), &world.key(&format!("payload:{gone}"))]);
    world.queue.repair_indexes().await.unwrap();
    audit(world, 1).unwrap();
    assert_eq!(world.queue.batch(id).await.unwrap().unwrap().counts, [2, 0, 0, 0, 0]);
}

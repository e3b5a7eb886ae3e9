//! Lists of tasks: pages and totals are exact for every filter.

use crate::{
    scenarios,
    support::{
        audit::audit,
        world::{World, completed, failed, new_task},
    },
};
use shuzhiren::{
    queue::{TaskCursor, TaskQuery},
    task::{FailureKind, NewTask, Status, Task, TaskId, TaskState},
};
use std::time::Duration;

scenarios! {
    every_page_of_every_filter_is_exact
    a_cursor_survives_changes
    reads_keep_the_order_given
    counts_are_of_one_instant
    completions_are_counted_for_a_minute
    tasks_of_an_owner_who_lists_all_are_in_no_list_of_their_own
    a_cursor_has_a_wire_form
    limits_are_kept
}

/// Makes 60 tasks of two owners in all states, many created in the same millisecond.
async fn populate(world: &World) -> Vec<Task> {
    let mut ids = Vec::new();
    for number in 0..60_u64 {
        let owner = if number % 3 == 0 { "bob" } else { "alice" };
        ids.push(world.create(&NewTask { owner: owner.to_owned(), ..new_task() }).await.id);
        if number % 4 == 0 {
            world.advance(Duration::from_millis(number % 7));
        }
    }
    for number in 0..40 {
        let lease = world.lease(&format!("gpu:{number}")).await;
        let claim = world.claim(&lease).await.unwrap();
        match number % 5 {
            0 => drop(world.queue.settle(&lease, claim.task, claim.attempt, &completed()).await.unwrap()),
            1 => drop(
                world.queue.settle(&lease, claim.task, claim.attempt, &failed(FailureKind::NodeError)).await.unwrap(),
            ),
            2 => drop(world.queue.start(&lease, claim.task, claim.attempt).await.unwrap()),
            3 => drop(world.queue.cancel(claim.task).await.unwrap()),
            _ => drop(
                world.queue.settle(&lease, claim.task, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap(),
            ),
        }
    }
    let mut tasks = Vec::new();
    for id in ids {
        tasks.push(world.task(id).await);
    }
    tasks.sort_by_key(|task| std::cmp::Reverse((task.created_ms, task.id)));
    tasks
}

pub async fn every_page_of_every_filter_is_exact(world: &World) {
    let tasks = populate(world).await;
    for question in 0..32_usize {
        let statuses: Vec<Status> =
            Status::ALL.into_iter().enumerate().filter(|(bit, _)| question >> bit & 1 == 1).map(|(_, s)| s).collect();
        for owner in [None, Some("bob".to_owned()), Some("nobody".to_owned())] {
            let wanted = |task: &&Task| {
                (statuses.is_empty() || statuses.contains(&task.state.status()))
                    && owner.as_ref().is_none_or(|owner| *owner == task.owner)
            };
            let expected: Vec<TaskId> = tasks.iter().filter(wanted).map(|task| task.id).collect();
            for limit in [1, 7, 200] {
                check_pages(world, &statuses, owner.as_deref(), limit, &expected).await;
            }
        }
    }
}

async fn check_pages(world: &World, statuses: &[Status], owner: Option<&str>, limit: u64, expected: &[TaskId]) {
    let query =
        TaskQuery { owner: owner.map(str::to_owned), statuses: statuses.to_vec(), limit, ..TaskQuery::default() };
    let (mut by_offset, mut by_cursor, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let offset = by_offset.len() as u64;
        let page = world.queue.list(&TaskQuery { offset, ..query.clone() }).await.unwrap();
        let same = world.queue.list(&TaskQuery { cursor, ..query.clone() }).await.unwrap();
        assert_eq!((page.total, same.total), (expected.len() as u64, expected.len() as u64), "{statuses:?} {owner:?}");
        by_offset.extend(page.items.iter().map(|task| task.id));
        by_cursor.extend(same.items.iter().map(|task| task.id));
        assert_eq!(page.next_cursor, same.next_cursor, "{statuses:?} {owner:?} {limit} {offset}");
        cursor = same.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(by_offset, expected, "{statuses:?} {owner:?} {limit}");
    assert_eq!(by_cursor, expected, "{statuses:?} {owner:?} {limit}");
    for offset in [expected.len() as u64, 1_000_000_000, u64::MAX] {
        let beyond = world.queue.list(&TaskQuery { offset, ..query.clone() }).await.unwrap();
        assert!(beyond.items.is_empty() && beyond.next_cursor.is_none() && beyond.total == expected.len() as u64);
    }
}

pub async fn a_cursor_survives_changes(world: &World) {
    let tasks = populate(world).await;
    let query = TaskQuery { statuses: vec![Status::Pending], limit: 5, ..TaskQuery::default() };
    let first = world.queue.list(&query).await.unwrap();
    // The cursor's own task leaves the list; a new task is added at the front.
    world.queue.cancel(first.items[4].id).await.unwrap();
    world.advance(Duration::from_secs(1));
    world.enqueue().await;
    let next = world.queue.list(&TaskQuery { cursor: first.next_cursor, ..query }).await.unwrap();
    let pending: Vec<TaskId> =
        tasks.iter().filter(|task| task.state.status() == Status::Pending).map(|task| task.id).collect();
    assert_eq!(next.items.iter().map(|task| task.id).collect::<Vec<_>>(), pending[5..10]);
    let nowhere = Some(TaskCursor { created_ms: 5, id: TaskId::new() });
    let beyond = world.queue.list(&TaskQuery { cursor: nowhere, limit: 5, ..TaskQuery::default() }).await.unwrap();
    assert!(beyond.items.is_empty() && beyond.next_cursor.is_none());
}

pub async fn reads_keep_the_order_given(world: &World) {
    let (one, two, gone) = (world.enqueue().await, world.enqueue().await, TaskId::new());
    let tasks = world.queue.tasks(&[two, gone, one]).await.unwrap();
    let ids: Vec<Option<TaskId>> = tasks.into_iter().map(|task| task.map(|task| task.id)).collect();
    assert_eq!(ids, [Some(two), None, Some(one)]);
    world.queue.cancel(one).await.unwrap();
    let versions = world.queue.versions(&[one, gone, two]).await.unwrap();
    assert_eq!(versions, [Some((2, TaskState::Cancelled)), None, Some((1, TaskState::Waiting))]);
    assert!(world.queue.tasks(&[]).await.unwrap().is_empty());
    assert_eq!(world.queue.payload(two).await.unwrap().unwrap().workflow.get(), new_task().payload.workflow.get());
    assert!(world.queue.payload(gone).await.unwrap().is_none());
}

pub async fn counts_are_of_one_instant(world: &World) {
    assert_eq!(world.queue.counts().await.unwrap(), Default::default());
    let tasks = populate(world).await;
    let counts = world.queue.counts().await.unwrap();
    let of = |status| tasks.iter().filter(|task| task.state.status() == status).count() as u64;
    assert_eq!(
        [counts.pending, counts.running, counts.completed, counts.failed, counts.cancelled],
        Status::ALL.map(of)
    );
    let waiting = tasks.iter().filter(|task| task.state == TaskState::Waiting).count() as u64;
    assert_eq!(counts.waiting_by_lane, [0, waiting, 0]);
    let oldest = tasks.iter().filter(|task| task.state.status() == Status::Pending).map(|task| task.created_ms).min();
    assert_eq!(counts.oldest_waiting_ms, oldest.map(|created| world.now_ms() - created));
}

pub async fn completions_are_counted_for_a_minute(world: &World) {
    let lease = world.lease("gpu:1").await;
    for _ in 0..3 {
        let id = world.enqueue().await;
        let claim = world.claim(&lease).await.unwrap();
        world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
    }
    let last_minute = || async { world.queue.counts().await.unwrap().completed_last_minute };
    assert_eq!(last_minute().await, 0, "the current second is not counted yet");
    world.advance(Duration::from_secs(1));
    assert_eq!(last_minute().await, 3);
    world.advance(Duration::from_secs(59));
    assert_eq!(last_minute().await, 3);
    world.advance(Duration::from_secs(1));
    assert_eq!(last_minute().await, 0);
    // Two minutes later the ring's slot is used again.
    world.advance(Duration::from_secs(59));
    let id = world.enqueue().await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
    world.advance(Duration::from_secs(1));
    assert_eq!(last_minute().await, 1);
}

pub async fn a_cursor_has_a_wire_form(_: &World) {
    let cursor = TaskCursor { created_ms: 1_700_000_000_123, id: TaskId::new() };
    assert_eq!(cursor.to_string().parse::<TaskCursor>().unwrap(), cursor);
    for wrong in ["", "-", "1-", "x-y", "+1-00000000-0000-7000-8000-000000000000", "99999999999999999999-0"] {
        assert!(wrong.parse::<TaskCursor>().is_err(), "{wrong}");
    }
}

pub async fn limits_are_kept(world: &World) {
    for _ in 0..3 {
        world.enqueue().await;
    }
    let page = world.queue.list(&TaskQuery { limit: 0, ..TaskQuery::default() }).await.unwrap();
    assert_eq!((page.items.len(), page.total), (1, 3));
    let page = world.queue.list(&TaskQuery { limit: u64::MAX, ..TaskQuery::default() }).await.unwrap();
    assert_eq!(page.items.len(), 3);
}

pub async fn tasks_of_an_owner_who_lists_all_are_in_no_list_of_their_own(world: &World) {
    let lease = world.lease("gpu:1").await;
    let ids = [true, false].map(|is_unlisted| NewTask { is_unlisted, ..new_task() });
    for new in &ids {
        world.create(new).await;
        audit(world, 1).unwrap();
        let claim = world.claim(&lease).await.unwrap();
        world.queue.start(&lease, new.id, claim.attempt).await.unwrap();
        audit(world, 1).unwrap();
        world.queue.settle(&lease, new.id, claim.attempt, &completed()).await.unwrap();
        audit(world, 1).unwrap();
    }
    let all = TaskQuery { limit: 10, ..TaskQuery::default() };
    assert_eq!(world.queue.list(&all).await.unwrap().total, 2);
    let of_owner = TaskQuery { owner: Some("alice".to_owned()), ..all };
    let page = world.queue.list(&of_owner).await.unwrap();
    assert_eq!(page.items.iter().map(|task| task.id).collect::<Vec<_>>(), [ids[1].id]);
    assert_eq!(world.queue.repair_indexes().await.unwrap(), 0);
    world.redis(&["ZADD", &world.key("index:completed:alice"), "1", &ids[0].id.to_string()]);
    assert_eq!(world.queue.repair_indexes().await.unwrap(), 1);
    audit(world, 1).unwrap();
}

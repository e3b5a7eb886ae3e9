//! Lists of tasks with long outputs or long facts: cut, and pages that end early but lose no task.

use crate::{
    scenarios,
    support::world::{World, new_task},
};
use shuzhiren::{
    queue::{PackedTask, TaskQuery},
    task::{NewTask, Outcome, Output, OutputKind, TaskFacts, TaskId},
};
use std::collections::BTreeSet;

scenarios! {
    long_outputs_are_read_cut_in_lists
    a_page_of_long_facts_ends_early
    a_batch_page_of_long_facts_ends_early
    snapshots_end_early
    a_corrupt_task_at_the_end_of_a_page_hides_no_other
}

/// Tasks of more than one page.
const COUNT: u16 = 14;

fn text(bytes: usize) -> Output {
    Output { node_id: "9".to_owned(), kind: OutputKind::Text, text: Some("x".repeat(bytes)), ..Output::default() }
}

/// A task with about 600 KB of facts.
fn long_facts() -> NewTask {
    let seeds = (0..20_000).map(|number| (format!("{number}.a long name of a seed"), number)).collect();
    NewTask { facts: TaskFacts { seeds, ..TaskFacts::default() }, ..new_task() }
}

async fn completed(world: &World, outputs: Vec<Output>) -> TaskId {
    let id = world.create(&new_task()).await.id;
    let lease = world.lease(&format!("gpu:{id}")).await;
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!(claim.task, id);
    world.queue.settle(&lease, id, claim.attempt, &Outcome::Completed(outputs)).await.unwrap();
    id
}

pub async fn long_outputs_are_read_cut_in_lists(world: &World) {
    let long = completed(world, vec![text(60_000); 16]).await;
    let medium = completed(world, vec![text(30_000)]).await;
    let short = completed(world, vec![text(10_000)]).await;
    let page = world.queue.list(&TaskQuery { limit: 10, ..TaskQuery::default() }).await.unwrap();
    let of = |id| page.items.iter().find(|task| task.id == id).unwrap();
    assert_eq!(page.items.len(), 3);
    for id in [long, medium] {
        assert!(of(id).outputs[0].truncated && of(id).outputs[0].text.as_ref().unwrap().len() == 1_024, "{:?}", of(id));
    }
    assert_eq!((of(long).outputs.len(), of(long).outputs_dropped), (12, 4));
    assert_eq!(of(short).outputs, [text(10_000)], "cut by the view");
    assert_eq!(of(long).attempts.len(), 1, "all other fields are there");
    // A snapshot is whole up to 64 KiB.
    let found = world.queue.entries(&[long, medium, TaskId::new(), short]).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|task| task.map(|task| (task.id, task.outputs.len()))).collect();
    assert_eq!(found, [Some((long, 16)), Some((medium, 1)), None, Some((short, 1))]);
    assert_eq!(world.queue.entries(&[medium]).await.unwrap()[0].as_ref().unwrap().outputs, [text(30_000)]);
    assert_eq!(world.task(long).await.outputs, vec![text(60_000); 16], "the task itself is whole");
}

pub async fn a_page_of_long_facts_ends_early(world: &World) {
    let mut all = BTreeSet::new();
    for _ in 0..COUNT {
        all.insert(world.create(&long_facts()).await.id);
    }
    let (mut seen, mut query, mut pages) = (BTreeSet::new(), TaskQuery { limit: 200, ..TaskQuery::default() }, 0);
    loop {
        let page = world.queue.list(&query).await.unwrap();
        assert!(!page.items.is_empty() && page.items.len() < COUNT.into(), "{}", page.items.len());
        assert_eq!(page.total, u64::from(COUNT));
        seen.extend(page.items.iter().map(|task| task.id));
        pages += 1;
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, all);
    assert!(pages > 1);
    // By offset.
    let mut seen = BTreeSet::new();
    while seen.len() < COUNT.into() {
        let query = TaskQuery { limit: 200, offset: seen.len() as u64, ..TaskQuery::default() };
        let page = world.queue.list(&query).await.unwrap();
        assert!(!page.items.is_empty());
        seen.extend(page.items.iter().map(|task| task.id));
    }
    assert_eq!(seen, all);
}

pub async fn a_batch_page_of_long_facts_ends_early(world: &World) {
    let batch = shuzhiren::task::BatchId::of(TaskId::new());
    let mut packed = Vec::new();
    for index in 0..COUNT {
        packed.push(world.queue.pack(NewTask { id: batch.task(index), ..long_facts() }).await.unwrap());
    }
    world.queue.enqueue_batch(&packed).await.unwrap();
    let (mut seen, mut query) = (BTreeSet::new(), TaskQuery { limit: 200, ..TaskQuery::default() });
    loop {
        let page = world.queue.batch_tasks(batch, &query).await.unwrap();
        assert!(!page.items.is_empty() && page.items.len() < COUNT.into(), "{}", page.items.len());
        seen.extend(page.items.iter().map(|task| task.id));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..COUNT).map(|index| batch.task(index)).collect());
}

pub async fn snapshots_end_early(world: &World) {
    let mut all = Vec::new();
    for _ in 0..COUNT {
        all.push(world.create(&long_facts()).await.id);
    }
    let first = world.queue.entries(&all).await.unwrap();
    assert!(!first.is_empty() && first.len() < COUNT.into(), "{}", first.len());
    let found = world.queue.all_entries(&all).await.unwrap();
    assert_eq!(found.iter().map(|task| task.id).collect::<Vec<_>>(), all);
}

/// Pages of two of seven tasks end with a corrupt hash and with a hash that is gone.
pub async fn a_corrupt_task_at_the_end_of_a_page_hides_no_other(world: &World) {
    let batch = shuzhiren::task::BatchId::of(TaskId::new());
    let packed: Vec<_> =
        (0..7).map(|index| PackedTask::new(NewTask { id: batch.task(index), ..new_task() }).unwrap()).collect();
    world.queue.enqueue_batch(&packed).await.unwrap();
    // The last task is the first of the list.
    let hash = |index| world.key(&format!("task:{}", batch.task(index)));
    world.redis(&["HSET", &hash(5), "attempt", "no number"]);
    world.redis(&["HDEL", &hash(3), "created"]);
    for is_batch in [false, true] {
        let (mut seen, mut query) = (BTreeSet::new(), TaskQuery { limit: 2, ..TaskQuery::default() });
        loop {
            let page = match is_batch {
                true => world.queue.batch_tasks(batch, &query).await.unwrap(),
                false => world.queue.list(&query).await.unwrap(),
            };
            seen.extend(page.items.iter().map(|task| task.id));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, BTreeSet::from([0, 1, 2, 4, 6].map(|index| batch.task(index))), "batch: {is_batch}");
    }
    world.redis(&["DEL", &hash(5)]);
    let query = TaskQuery { limit: 2, ..TaskQuery::default() };
    assert!(world.queue.list(&query).await.unwrap().next_cursor.is_some());
}

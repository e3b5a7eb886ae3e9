//! Tasks restricted to some instances, instances admitted later, and run times.

use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{TTL, World, completed, failed, new_task},
    },
};
use shuzhiren::{
    queue::{Acquired, Claim, Lease, RestrictedTasks, Revived, SettleFacts, Token, Written},
    task::{FailureKind, InstanceId, NewTask, OutputWarning, Priority, TaskId, TaskState},
};
use std::time::Duration;

scenarios! {
    an_instance_that_meets_the_requirements_later_is_admitted
    a_stale_lease_admits_nothing
    an_instance_that_cannot_run_a_task_restricts_it_to_others
    a_revived_task_is_examined_again
    restricted_tasks_are_read_in_pages
    a_run_time_is_counted_once
    run_times_are_kept_for_a_limited_number_of_workflows
    the_wait_facts_of_a_new_task_count_its_lane
    run_times_are_kept_by_instance_and_node
    a_wait_counts_from_the_last_queuing
    warnings_of_outputs_end_with_the_task_and_leave_with_its_revival
}

fn restricted_to(instances: &[&str]) -> NewTask {
    let mut new = new_task();
    new.facts.eligible = instances.iter().map(|&id| InstanceId::new(id)).collect();
    new
}

fn of_workflow(hash: &str) -> NewTask {
    let mut new = new_task();
    new.facts.workflow_hash = Some(hash.to_owned());
    new
}

fn names(task: &shuzhiren::task::Task) -> Vec<&str> {
    task.facts.eligible.iter().map(InstanceId::as_str).collect()
}

async fn restricted(world: &World, lease: &Lease) -> Vec<TaskId> {
    world.queue.restricted_tasks(lease, 0, 50).await.unwrap().tasks.into_iter().map(|(id, _)| id).collect()
}

pub async fn an_instance_that_meets_the_requirements_later_is_admitted(world: &World) {
    let id = world.create(&restricted_to(&["gpu:2", "gpu:11"])).await.id;
    let (plain, ended) = (world.enqueue().await, world.create(&restricted_to(&["gpu:3"])).await.id);
    world.queue.cancel(ended).await.unwrap();
    let one = world.lease("gpu:1").await;
    assert_eq!(world.claim(&one).await.unwrap().task, plain);
    assert!(world.claim_with_slots(&one, 2).await.is_none());
    assert_eq!(restricted(world, &one).await, [id], "neither unrestricted tasks nor ended ones");
    let ended_before = (world.field(ended, "only"), world.field(plain, "only"));
    // Idempotent.
    for count in [1, 0] {
        assert_eq!(world.queue.admit(&one, &[id, plain, ended, TaskId::new()]).await.unwrap(), count);
        audit(world, 2).unwrap();
    }
    assert_eq!(names(&world.task(id).await), ["gpu:2", "gpu:11", "gpu:1"]);
    assert_eq!((world.field(ended, "only"), world.field(plain, "only")), ended_before);
    assert!(restricted(world, &one).await.is_empty());
    let three = world.lease("gpu:3").await;
    assert!(world.claim(&three).await.is_none());
    assert_eq!(restricted(world, &three).await, [id]);
    let claim = world.claim_with_slots(&one, 2).await.unwrap();
    assert_eq!(claim.task, id);
    world.queue.settle(&one, id, claim.attempt, &completed()).await.unwrap();
    audit(world, 2).unwrap();
    assert!(restricted(world, &three).await.is_empty());
}

pub async fn a_stale_lease_admits_nothing(world: &World) {
    let id = world.create(&restricted_to(&["gpu:2"])).await.id;
    let old = world.lease("gpu:1").await;
    world.advance(TTL + Duration::from_secs(1));
    let new = Lease { instance: old.instance.clone(), token: Token::new() };
    assert!(matches!(world.queue.acquire(&new.instance, "d2", &new.token, TTL).await.unwrap(), Acquired::Ours(_)));
    let before = dump(world);
    assert_eq!(world.queue.admit(&old, &[id]).await.unwrap(), 0);
    assert!(before == dump(world));
    assert_eq!(world.queue.admit(&new, &[id]).await.unwrap(), 1);
}

pub async fn a_revived_task_is_examined_again(world: &World) {
    let id = world.create(&restricted_to(&["gpu:2"])).await.id;
    let two = world.lease("gpu:2").await;
    let claim = world.claim(&two).await.unwrap();
    world.queue.settle(&two, id, claim.attempt, &failed(FailureKind::NodeError)).await.unwrap();
    world.advance(Duration::from_secs(9));
    assert!(matches!(world.queue.revive(id).await.unwrap(), Revived::Revived(_)));
    audit(world, 1).unwrap();
    let one = world.lease("gpu:1").await;
    let seen = world.queue.restricted_tasks(&one, world.now_ms(), 50).await.unwrap();
    assert_eq!(
        seen,
        RestrictedTasks { tasks: vec![(id, world.now_ms())], looked_at: 1, last_ms: Some(world.now_ms()) }
    );
}

pub async fn restricted_tasks_are_read_in_pages(world: &World) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.create(&restricted_to(&["gpu:2"])).await.id);
        world.advance(Duration::from_millis(10));
    }
    let one = world.lease("gpu:1").await;
    let begun = world.now_ms() - 50;
    let first = world.queue.restricted_tasks(&one, 0, 2).await.unwrap();
    let expected: Vec<(TaskId, u64)> = vec![(ids[0], begun), (ids[1], begun + 10)];
    assert_eq!(first, RestrictedTasks { tasks: expected, looked_at: 2, last_ms: Some(begun + 10) });
    let rest = world.queue.restricted_tasks(&one, begun + 11, 9).await.unwrap();
    assert_eq!((rest.tasks.len(), rest.looked_at, rest.last_ms), (3, 3, Some(begun + 40)));
    let none = world.queue.restricted_tasks(&one, begun + 41, 9).await.unwrap();
    assert_eq!(none, RestrictedTasks::default());
}

/// Runs one task for `ms`.
async fn run(world: &World, new: &NewTask, ms: u64, is_good: bool) {
    let id = world.create(new).await.id;
    let lease = Lease { instance: InstanceId::new("gpu:1"), token: Token::new() };
    world.advance(TTL + Duration::from_secs(1));
    world.queue.acquire(&lease.instance, "d", &lease.token, TTL).await.unwrap();
    let claim = world.claim(&lease).await.unwrap();
    world.advance(Duration::from_secs(3));
    world.queue.start(&lease, id, claim.attempt).await.unwrap();
    world.advance(Duration::from_millis(ms));
    let outcome = if is_good { completed() } else { failed(FailureKind::NodeError) };
    for _ in 0..2 {
        world.queue.settle(&lease, id, claim.attempt, &outcome).await.unwrap();
    }
}

async fn means(world: &World, hash: &str) -> (Option<u64>, Option<u64>) {
    let wait_facts = world.queue.wait_facts_of_new(Priority::Normal, Some(hash)).await.unwrap();
    (wait_facts.run_ms, wait_facts.any_run_ms)
}

pub async fn a_run_time_is_counted_once(world: &World) {
    assert_eq!(means(world, "a").await, (None, None));
    run(world, &of_workflow("a"), 1_000, true).await;
    assert_eq!(means(world, "a").await, (Some(1_000), Some(1_000)), "counted from its start, not from its claim");
    run(world, &of_workflow("a"), 9_000, false).await;
    assert_eq!(means(world, "a").await, (Some(1_000), Some(1_000)), "a failed run is not counted");
    run(world, &of_workflow("a"), 2_000, true).await;
    assert_eq!(means(world, "a").await, (Some(1_500), Some(1_500)));
    run(world, &new_task(), 4_500, true).await;
    assert_eq!(means(world, "a").await, (Some(1_500), Some(2_500)));
    for _ in 0..10 {
        run(world, &of_workflow("a"), 1_500, true).await;
    }
    run(world, &of_workflow("a"), 2_500, true).await;
    assert_eq!(means(world, "a").await.0, Some(1_700), "the newest run counts for a fifth");
    let read = world.task(world.create(&of_workflow("a")).await.id).await;
    assert_eq!(world.queue.wait_facts(&read).await.unwrap().run_ms, Some(1_700));
}

pub async fn run_times_are_kept_for_a_limited_number_of_workflows(world: &World) {
    run(world, &of_workflow("old"), 1_000, true).await;
    let (speeds, used) = (world.key("speeds"), world.key("speeds-used"));
    for number in 0..1_999 {
        let name = format!("x{number}");
        world.redis(&["HSET", &speeds, &name, "5:1"]);
        world.redis(&["ZADD", &used, &world.now_ms().to_string(), &name]);
    }
    assert_eq!(means(world, "old").await.0, Some(1_000));
    run(world, &of_workflow("new"), 1_000, true).await;
    assert_eq!((means(world, "old").await.0, means(world, "new").await.0), (None, Some(1_000)));
    assert_eq!(world.redis(&["EXISTS", &world.key("speeds-at:old"), &world.key("speeds-at:new")]).text(), "1");
    assert_eq!(
        world.redis(&["HLEN", &speeds]).text(),
        "2003",
        "2,000 workflows, the mean of all, and the completions of two seconds"
    );
    assert_eq!(world.redis(&["ZCARD", &used]).text(), "2000");
}

pub async fn the_wait_facts_of_a_new_task_count_its_lane(world: &World) {
    for priority in [Priority::High, Priority::Normal, Priority::Normal] {
        world.create(&NewTask { priority, ..new_task() }).await;
    }
    let ahead = async |priority| {
        let wait_facts = world.queue.wait_facts_of_new(priority, None).await.unwrap();
        (wait_facts.position, wait_facts.urgent)
    };
    assert_eq!(ahead(Priority::High).await, (Some(1), 0));
    assert_eq!(ahead(Priority::Normal).await, (Some(2), 1));
    assert_eq!(ahead(Priority::Low).await, (Some(0), 3));
}

/// Every instance could run the task when it was accepted; this one was added later, or has lost a requirement since.
pub async fn an_instance_that_cannot_run_a_task_restricts_it_to_others(world: &World) {
    let id = world.enqueue().await;
    let later = world.enqueue().await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let claim = world.claim(&one).await.unwrap();
    assert_eq!(claim.task, id);
    world.advance(Duration::from_secs(1));
    let others = [InstanceId::new("gpu:2"), InstanceId::new("gpu:3")];
    let stale = Lease { token: Token::new(), ..one.clone() };
    assert_eq!(world.queue.restrict_to(&stale, id, claim.attempt, &others).await.unwrap(), Written::Fenced);
    for _ in 0..2 {
        assert_eq!(world.queue.restrict_to(&one, id, claim.attempt, &others).await.unwrap(), Written::Done);
        audit(world, 1).unwrap();
    }
    let task = world.task(id).await;
    assert_eq!((names(&task), task.state, &task.failure), (vec!["gpu:2", "gpu:3"], TaskState::Waiting, &None));
    assert_eq!(world.claim(&one).await.unwrap().task, later, "it does not block the lane");
    assert_eq!(world.queue.restricted_tasks(&one, world.now_ms(), 50).await.unwrap().tasks, [(id, world.now_ms())]);
    let claim = world.claim(&two).await.unwrap();
    assert_eq!((claim.task, claim.attempt.get(), claim.max_attempts), (id, 2, 4));
    // Requeued for another reason, it stays restricted to them.
    world.queue.requeue(&two, id, claim.attempt, false, "test").await.unwrap();
    assert_eq!(names(&world.task(id).await), ["gpu:2", "gpu:3"]);
    audit(world, 1).unwrap();
}

/// Claims the next task on an instance, runs it for this time, and ends it with these facts.
async fn run_on(world: &World, instance: &str, ms: u64, facts: SettleFacts<'_>) -> Claim {
    let lease = Lease { instance: InstanceId::new(instance), token: Token::new() };
    world.advance(TTL + Duration::from_secs(1));
    world.queue.acquire(&lease.instance, "d", &lease.token, TTL).await.unwrap();
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, claim.task, claim.attempt).await.unwrap();
    world.advance(Duration::from_millis(ms));
    let outcome = completed();
    for _ in 0..2 {
        let settle = world.queue.settle_with_files(&lease, claim.task, claim.attempt, (&outcome, facts), &[]);
        settle.await.unwrap();
    }
    claim
}

/// The times of nodes travel with the end of a run to the next claim of the same workflow.
pub async fn run_times_are_kept_by_instance_and_node(world: &World) {
    let run = async |instance: &str, hash: &str, ms: u64, node_times: &str| {
        world.create(&of_workflow(hash)).await;
        let facts = SettleFacts { node_times, ..SettleFacts::default() };
        run_on(world, instance, ms, facts).await.node_times
    };
    assert_eq!(run("gpu:1", "a", 1_000, r#"{"3":9}"#).await, "");
    assert_eq!(run("gpu:2", "a", 3_000, "").await, r#"{"3":9}"#);
    assert_eq!(run("gpu:2", "b", 500, "").await, "");
    assert_eq!(run("gpu:2", "a", 5_000, r#"{"3":7}"#).await, r#"{"3":9}"#, "a run that says nothing changes nothing");
    let of = async |hash: &str| world.queue.wait_facts_of_new(Priority::Normal, Some(hash)).await.unwrap().run_ms_on;
    let expected = [("gpu:1", 1_000), ("gpu:2", 4_000)].map(|(instance, ms)| (instance.to_owned(), ms));
    assert_eq!(of("a").await, expected.into());
    // Bounded: one more instance, and the times begin anew.
    for number in 0..63 {
        world.redis(&["HSET", &world.key("speeds-at:a"), &format!("x:{number}"), "5:1"]);
    }
    assert_eq!(run("gpu:1", "a", 1_000, "").await, r#"{"3":7}"#);
    assert_eq!(of("a").await.len(), 65, "a known instance forgets no other");
    run("gpu:3", "a", 1_000, "").await;
    assert_eq!(of("a").await, [("gpu:3".to_owned(), 1_000)].into());
}

/// The run of an earlier attempt is no wait.
pub async fn a_wait_counts_from_the_last_queuing(world: &World) {
    world.enqueue().await;
    world.advance(Duration::from_secs(2));
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!(claim.waited, Duration::from_secs(2));
    world.advance(Duration::from_secs(10));
    world.queue.requeue(&lease, claim.task, claim.attempt, false, "gone").await.unwrap();
    world.advance(Duration::from_secs(1));
    assert_eq!(world.claim(&lease).await.unwrap().waited, Duration::from_secs(1));
}

pub async fn warnings_of_outputs_end_with_the_task_and_leave_with_its_revival(world: &World) {
    let warnings = [OutputWarning::dropped("3", "tags", "too \"many\"")];
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    let facts = SettleFacts { warnings: &warnings, ..SettleFacts::default() };
    let outcome = failed(FailureKind::NodeError);
    let settle = world.queue.settle_with_files(&lease, id, claim.attempt, (&outcome, facts), &[]);
    settle.await.unwrap();
    assert_eq!(world.task(id).await.output_warnings, warnings);
    assert!(matches!(world.queue.revive(id).await.unwrap(), Revived::Revived(_)));
    assert!(world.task(id).await.output_warnings.is_empty());
}

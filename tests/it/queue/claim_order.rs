//! The order of claims: lanes, age, fair shares, avoided and ineligible instances.

use crate::{
    scenarios,
    support::{
        audit::audit,
        world::{World, completed, new_task},
    },
};
use shuzhiren::{
    queue::Lease,
    task::{InstanceId, Priority, TaskId},
};
use std::time::Duration;

scenarios! {
    urgent_lanes_are_served_first
    an_old_task_overtakes_urgent_ones
    a_flood_of_one_owner_does_not_starve_another
    one_owner_is_served_in_order
    a_returned_task_keeps_its_place_in_an_emptied_lane
    invalid_entries_of_a_lane_are_skipped
    a_window_of_one_examines_only_the_head
    an_owner_gets_its_share_when_the_fair_hash_is_lost
    a_task_runs_only_on_eligible_instances
    tasks_of_other_instances_do_not_hide_an_eligible_one
}

async fn enqueue_as(world: &World, owner: &str, priority: Priority) -> TaskId {
    let new = shuzhiren::task::NewTask { owner: owner.to_owned(), priority, ..new_task() };
    world.create(&new).await.id
}

/// Claims and finishes one task.
async fn serve(world: &World, lease: &Lease) -> TaskId {
    let claim = world.claim(lease).await.expect("a task is waiting");
    world.queue.settle(lease, claim.task, claim.attempt, &completed()).await.unwrap();
    claim.task
}

pub async fn urgent_lanes_are_served_first(world: &World) {
    let low = enqueue_as(world, "a", Priority::Low).await;
    let normal = enqueue_as(world, "a", Priority::Normal).await;
    let high = enqueue_as(world, "a", Priority::High).await;
    let lease = world.lease("gpu:1").await;
    for expected in [high, normal, low] {
        assert_eq!(serve(world, &lease).await, expected);
    }
    audit(world, 1).unwrap();
}

pub async fn an_old_task_overtakes_urgent_ones(world: &World) {
    let low = enqueue_as(world, "a", Priority::Low).await;
    world.advance(Duration::from_secs(119));
    let high = enqueue_as(world, "b", Priority::High).await;
    let lease = world.lease("gpu:1").await;
    assert_eq!(serve(world, &lease).await, high);
    world.advance(Duration::from_secs(2));
    enqueue_as(world, "b", Priority::High).await;
    assert_eq!(serve(world, &lease).await, low, "two lanes down, older by more than two minutes");
}

pub async fn a_flood_of_one_owner_does_not_starve_another(world: &World) {
    for _ in 0..60 {
        enqueue_as(world, "flood", Priority::Normal).await;
    }
    let lease = world.lease("gpu:1").await;
    for _ in 0..5 {
        serve(world, &lease).await;
    }
    let mut few = Vec::new();
    for _ in 0..4 {
        few.push(enqueue_as(world, "few", Priority::Normal).await);
    }
    let mut served = Vec::new();
    for _ in 0..9 {
        served.push(serve(world, &lease).await);
    }
    assert!(few.iter().all(|id| served.contains(id)), "4 of one owner within 9 claims");
    // Nor the reverse: an owner who arrives late has no accumulated credit.
    let mut late = Vec::new();
    for _ in 0..20 {
        late.push(enqueue_as(world, "late", Priority::Normal).await);
    }
    let mut of_the_flood = 0;
    for _ in 0..10 {
        of_the_flood += usize::from(!late.contains(&serve(world, &lease).await));
    }
    assert!((4..=6).contains(&of_the_flood), "{of_the_flood} of 10");
}

pub async fn one_owner_is_served_in_order(world: &World) {
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(enqueue_as(world, "a", Priority::Normal).await);
    }
    let lease = world.lease("gpu:1").await;
    for id in ids {
        assert_eq!(serve(world, &lease).await, id);
    }
}

/// The lane was emptied, which reset its virtual time, while the task was delayed.
pub async fn a_returned_task_keeps_its_place_in_an_emptied_lane(world: &World) {
    let lease = world.lease("gpu:1").await;
    for _ in 0..30 {
        world.enqueue().await;
    }
    for _ in 0..29 {
        serve(world, &lease).await;
    }
    let last = world.claim(&lease).await.unwrap();
    let mut newer = Vec::new();
    for _ in 0..5 {
        newer.push(world.enqueue().await);
    }
    world.queue.requeue(&lease, last.task, last.attempt, false, "drained").await.unwrap();
    audit(world, 1).unwrap();
    let order = [serve(world, &lease).await, serve(world, &lease).await];
    assert!(order.contains(&last.task), "behind all tasks of the lane");
}

pub async fn invalid_entries_of_a_lane_are_skipped(world: &World) {
    let lane = world.key("wait:default:1");
    world.redis(&["ZADD", &lane, "-5", &TaskId::new().to_string(), "-4", "not an id"]);
    let done = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!(claim.task, done);
    world.queue.settle(&lease, done, claim.attempt, &completed()).await.unwrap();
    world.redis(&["ZADD", &lane, "-5", &done.to_string()]);
    let next = world.enqueue().await;
    assert_eq!(world.claim(&lease).await.unwrap().task, next, "an ended task is not run again");
    audit(world, 1).unwrap();
}

pub async fn a_window_of_one_examines_only_the_head(world: &World) {
    let avoided = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let _another = world.lease("gpu:2").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.requeue(&lease, avoided, claim.attempt, true, "died").await.unwrap();
    let second = world.enqueue().await;
    let head_only = world.queue.claim(&lease, "n1", 1, 1).await.unwrap();
    assert!(matches!(head_only, shuzhiren::queue::Claimed::Nothing));
    assert_eq!(world.claim(&lease).await.unwrap().task, second);
}

pub async fn an_owner_gets_its_share_when_the_fair_hash_is_lost(world: &World) {
    for _ in 0..20 {
        enqueue_as(world, "a", Priority::Normal).await;
    }
    let lease = world.lease("gpu:1").await;
    for _ in 0..10 {
        serve(world, &lease).await;
    }
    let head = world.redis(&["ZRANGE", &world.key("wait:default:1"), "0", "0"]).texts().remove(0);
    world.redis(&["DEL", &world.key("fair:default:1")]);
    for _ in 0..10 {
        enqueue_as(world, "b", Priority::Normal).await;
    }
    let mut served = Vec::new();
    for _ in 0..3 {
        served.push(serve(world, &lease).await.to_string());
    }
    assert!(served.contains(&head), "new tasks must not overtake all waiting ones");
}

/// Enqueues a task that only these instances can run.
async fn enqueue_for(world: &World, instances: &[&str]) -> TaskId {
    let mut new = new_task();
    new.facts.eligible = instances.iter().map(|&id| InstanceId::new(id)).collect();
    world.create(&new).await.id
}

pub async fn a_task_runs_only_on_eligible_instances(world: &World) {
    let special = enqueue_for(world, &["gpu:2", "gpu:33"]).await;
    let (one, three) = (world.lease("gpu:1").await, world.lease("gpu:3").await);
    assert!(world.claim(&one).await.is_none() && world.claim(&three).await.is_none(), "gpu:3 is not gpu:33");
    world.advance(Duration::from_secs(3_600));
    assert!(world.claim(&one).await.is_none(), "not even after a long time");
    assert_eq!(world.task(special).await.facts.eligible.len(), 2);
    let plain = world.enqueue().await;
    assert_eq!(serve(world, &one).await, plain, "it does not block the task after it");
    let two = world.lease("gpu:2").await;
    let claim = world.claim(&two).await.unwrap();
    assert_eq!(claim.task, special);
    world.queue.requeue(&two, special, claim.attempt, false, "drained").await.unwrap();
    assert!(world.claim(&one).await.is_none(), "nor after a requeue");
    assert_eq!(serve(world, &two).await, special);
    audit(world, 1).unwrap();
}

pub async fn tasks_of_other_instances_do_not_hide_an_eligible_one(world: &World) {
    let lease = world.lease("gpu:1").await;
    for _ in 0..100 {
        enqueue_for(world, &["gpu:2"]).await;
    }
    let ours = world.enqueue().await;
    assert_eq!(serve(world, &lease).await, ours, "behind more than three windows of other instances' tasks");
    for _ in 0..200 {
        enqueue_for(world, &["gpu:2"]).await;
    }
    world.enqueue().await;
    assert!(world.claim(&lease).await.is_none(), "a claim examines at most eight windows");
}

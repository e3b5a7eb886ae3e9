//! Leases: one owner per instance at a time, takeover, heartbeats.

use crate::{
    scenarios,
    support::{
        audit::audit,
        world::{TTL, World, completed},
    },
};
use shuzhiren::{
    queue::{Acquired, Lease, Leases, Renewed, Token, Written},
    task::InstanceId,
};
use std::{collections::BTreeSet, time::Duration};

scenarios! {
    a_live_lease_is_not_taken
    an_expired_lease_is_acquired_with_its_tasks_in_flight
    the_same_token_gives_the_same_answer
    a_released_lease_is_free_at_once
    an_expired_lease_that_was_not_taken_still_writes
    free_leases_are_listed_with_their_last_owner
    heartbeats_return_the_live_dispatchers
    a_restarted_redis_extends_leases_and_pauses_claims
}

async fn acquire(world: &World, who: &str, token: &Token) -> Acquired {
    world.queue.acquire(&InstanceId::new("gpu:1"), who, token, TTL).await.unwrap()
}

pub async fn a_live_lease_is_not_taken(world: &World) {
    let lease = world.lease("gpu:1").await;
    world.advance(TTL - Duration::from_millis(1));
    let thief = Token::new();
    for _ in 0..2 {
        assert_eq!(acquire(world, "thief", &thief).await, Acquired::Held(Duration::from_millis(1)));
    }
    assert!(matches!(world.queue.renew(&lease, TTL).await.unwrap(), Renewed::Ours(_)));
    assert_eq!(acquire(world, "thief", &thief).await, Acquired::Held(TTL));
}

pub async fn an_expired_lease_is_acquired_with_its_tasks_in_flight(world: &World) {
    let id = world.enqueue().await;
    let old = world.lease("gpu:1").await;
    let claim = world.claim(&old).await.unwrap();
    world.advance(TTL);
    let token = Token::new();
    for _ in 0..2 {
        let Acquired::Ours(in_flight) = acquire(world, "next", &token).await else { panic!("not acquired") };
        assert_eq!(in_flight.tasks, [(id, claim.attempt)]);
    }
    assert_eq!(world.queue.renew(&old, TTL).await.unwrap(), Renewed::Lost);
    let lease = Lease { token, ..old };
    assert_eq!(world.queue.start(&lease, id, claim.attempt).await.unwrap(), Written::Done);
    assert_eq!(world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap(), Written::Done);
    audit(world, 1).unwrap();
}

pub async fn the_same_token_gives_the_same_answer(world: &World) {
    let token = Token::new();
    for _ in 0..3 {
        assert!(matches!(acquire(world, "me", &token).await, Acquired::Ours(_)));
        world.advance(TTL + TTL);
    }
    let acquired = world.redis(&["HGET", &world.key("instance:gpu:1"), "acquired"]);
    assert_eq!(acquired.text(), "1");
}

pub async fn a_released_lease_is_free_at_once(world: &World) {
    let lease = world.lease("gpu:1").await;
    for _ in 0..2 {
        world.queue.release_lease(&lease).await.unwrap();
    }
    assert_eq!(world.queue.renew(&lease, TTL).await.unwrap(), Renewed::Lost);
    let next = world.lease("gpu:1").await;
    // The old owner releases it again, late.
    world.queue.release_lease(&lease).await.unwrap();
    assert!(matches!(world.queue.renew(&next, TTL).await.unwrap(), Renewed::Ours(_)));
}

pub async fn an_expired_lease_that_was_not_taken_still_writes(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.advance(TTL * 3);
    assert_eq!(world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap(), Written::Done);
    assert!(matches!(world.queue.renew(&lease, TTL).await.unwrap(), Renewed::Ours(_)));
}

pub async fn free_leases_are_listed_with_their_last_owner(world: &World) {
    let one = world.lease("gpu:1").await;
    let two = world.lease("gpu:2").await;
    world.advance(Duration::from_secs(5));
    // Renewed together with a lease that is lost.
    let lost = Lease { instance: two.instance.clone(), token: Token::new() };
    let renewed = world.queue.renew_many(&[&lost, &two], TTL).await.unwrap();
    assert!(matches!(renewed[..], [Ok(Renewed::Lost), Ok(Renewed::Ours(_))]), "{renewed:?}");
    world.queue.release_lease(&one).await.unwrap();
    let instances: BTreeSet<InstanceId> = ["gpu:1", "gpu:2"].map(InstanceId::new).into();
    let released = (InstanceId::new("gpu:1"), String::new());
    let leases = Leases { count: 2, free: vec![released.clone()], instances };
    assert_eq!(world.queue.leases(true).await.unwrap(), leases);
    assert_eq!(world.queue.leases(false).await.unwrap(), Leases { instances: BTreeSet::new(), ..leases.clone() });
    world.advance(TTL - Duration::from_millis(1));
    assert_eq!(world.queue.leases(false).await.unwrap().free, std::slice::from_ref(&released));
    world.advance(Duration::from_millis(1));
    let expired = (InstanceId::new("gpu:2"), "dispatcher-1".to_owned());
    assert_eq!(world.queue.leases(true).await.unwrap(), Leases { free: vec![released, expired], ..leases });
}

pub async fn heartbeats_return_the_live_dispatchers(world: &World) {
    assert_eq!(world.queue.heartbeat("a", TTL).await.unwrap(), ["a"]);
    world.advance(Duration::from_secs(10));
    for _ in 0..2 {
        assert_eq!(world.queue.heartbeat("b", TTL).await.unwrap(), ["a", "b"]);
    }
    world.advance(Duration::from_secs(5));
    assert_eq!(world.queue.heartbeat("c", TTL).await.unwrap(), ["b", "c"]);
    assert_eq!(world.queue.heartbeat("b", Duration::ZERO).await.unwrap(), ["c"]);
}

/// After an outage every lease looks expired; none may be taken before its owner could renew.
pub async fn a_restarted_redis_extends_leases_and_pauses_claims(world: &World) {
    world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let free = world.lease("gpu:2").await;
    world.queue.release_lease(&free).await.unwrap();
    world.redis(&["HSET", &world.key("meta"), "run_id", "another"]);
    world.advance(TTL * 10);
    let thief = Token::new();
    for _ in 0..2 {
        assert_eq!(acquire(world, "thief", &thief).await, Acquired::Held(TTL));
    }
    assert!(matches!(world.queue.renew(&lease, TTL).await.unwrap(), Renewed::Ours(_)));
    assert!(world.claim(&lease).await.is_none(), "claims are paused");
    let leases = world.queue.leases(false).await.unwrap();
    assert!(leases.free.iter().any(|(id, _)| id.as_str() == "gpu:2"), "a free lease stays free: {leases:?}");
    world.lease("gpu:2").await;
    world.advance(Duration::from_secs(3));
    assert!(world.claim(&lease).await.is_some());
    world.advance(TTL);
    assert!(matches!(acquire(world, "next", &thief).await, Acquired::Ours(_)), "the restart was already handled");
}

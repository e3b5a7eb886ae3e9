//! Orphan prompts: recorded for the lease owner, by the lease owner, in a limited number.

use crate::{scenarios, support::world::World};
use shuzhiren::queue::Written;
use std::time::Duration;
use uuid::Uuid;

scenarios! {
    the_next_owner_sees_an_orphan_prompt_for_an_hour
    only_the_lease_owner_records_orphan_prompts
    orphan_prompts_are_limited
}

const HOUR: Duration = Duration::from_secs(3_600);

pub async fn the_next_owner_sees_an_orphan_prompt_for_an_hour(world: &World) {
    let lease = world.lease("gpu:1").await;
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for _ in 0..2 {
        assert_eq!(world.queue.add_orphan_prompt(&lease, first).await.unwrap(), Written::Done);
    }
    world.advance(Duration::from_secs(60));
    world.queue.add_orphan_prompt(&lease, second).await.unwrap();
    let next = world.lease("gpu:1").await;
    assert_eq!(
        world.queue.orphan_prompts(&next.instance).await.unwrap(),
        [(first, Duration::from_secs(60)), (second, Duration::ZERO)]
    );
    assert_eq!(world.queue.orphan_prompts(&world.lease("gpu:2").await.instance).await.unwrap(), []);
    // The whole key expires if nothing is added for an hour.
    let ttl = world.redis(&["PTTL", &world.key("strays:gpu:1")]).number();
    assert!((3_500_000..=3_600_000).contains(&ttl), "{ttl}");
    world.advance(HOUR - Duration::from_secs(60));
    assert_eq!(world.queue.orphan_prompts(&next.instance).await.unwrap(), [(second, HOUR - Duration::from_secs(60))]);
    world.queue.add_orphan_prompt(&next, Uuid::from_u128(3)).await.unwrap();
    assert_eq!(world.redis(&["ZCARD", &world.key("strays:gpu:1")]).number(), 2, "expired entries are removed");
}

pub async fn only_the_lease_owner_records_orphan_prompts(world: &World) {
    let old = world.lease("gpu:1").await;
    world.advance(crate::support::world::TTL);
    let new = world.lease("gpu:1").await;
    assert_eq!(world.queue.add_orphan_prompt(&old, Uuid::from_u128(1)).await.unwrap(), Written::Fenced);
    assert_eq!(world.queue.orphan_prompts(&new.instance).await.unwrap(), []);
}

pub async fn orphan_prompts_are_limited(world: &World) {
    let lease = world.lease("gpu:1").await;
    for n in 0..1_003 {
        world.queue.add_orphan_prompt(&lease, Uuid::from_u128(n)).await.unwrap();
        if n == 2 {
            world.advance(Duration::from_secs(1));
        }
    }
    let kept = world.queue.orphan_prompts(&lease.instance).await.unwrap();
    assert_eq!((kept.len(), kept[0].0), (1_000, Uuid::from_u128(3)), "the oldest are dropped");
}

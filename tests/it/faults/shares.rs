//! Instances are shared fairly among dispatchers, given back one at a time, and then left where they are.

use super::stage::{Plan, Stage, WAIT_MAX};
use crate::support::eventually;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// So long nothing may move: several looks of every roster.
const STABLE_FOR: Duration = Duration::from_secs(4);

fn counts(stage: &Stage) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (owner, _) in stage.owners().into_values() {
        *counts.entry(owner).or_insert(0) += 1;
    }
    counts
}

/// Waits until so many dispatchers own the same; gives how many instances were nobody's at once meanwhile.
async fn settle(stage: &Stage, dispatchers: usize) -> usize {
    let share = stage.instances.len() / dispatchers;
    let begun = Instant::now();
    let mut ownerless_max = 0;
    loop {
        let counts = counts(stage);
        let owned: usize = counts.values().sum();
        ownerless_max = ownerless_max.max(stage.instances.len() - owned);
        if counts.len() == dispatchers && counts.values().all(|count| *count == share) {
            return ownerless_max;
        }
        assert!(begun.elapsed() < WAIT_MAX, "no fair share: {counts:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_are_fair_stable_and_given_back_one_at_a_time() {
    let mut stage = Stage::start(Plan { dispatchers: 1, instances: 6, ..Plan::default() }).await;
    for dispatchers in 2..=3 {
        stage.add_dispatcher();
        let ownerless = settle(&stage, dispatchers).await;
        // Each giver gives one at a look; the taker's look may come after two of them.
        assert!(ownerless <= 2, "{ownerless} instances were nobody's at once");
    }
    let settled = stage.owners();
    let watched = Instant::now();
    while watched.elapsed() < STABLE_FOR {
        assert_eq!(stage.owners(), settled, "nothing moves any more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // One leaves: the others take its instances; it comes back: it gets a share again.
    stage.dispatchers[0].terminate().await;
    eventually("two share", WAIT_MAX, || async {
        let counts = counts(&stage);
        (counts.len() == 2 && counts.values().all(|count| *count == 3)).then_some(())
    })
    .await;
    stage.dispatchers[0].start();
    settle(&stage, 3).await;
}

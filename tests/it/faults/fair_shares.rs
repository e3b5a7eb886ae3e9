//! Instances are shared fairly among dispatchers, released one at a time, and then stay where they are.

use super::cluster::{Cluster, Plan, WAIT_MAX};
use crate::support::eventually;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Time in which no lease may move: several updates of every roster.
const STABLE_FOR: Duration = Duration::from_secs(4);

fn counts(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (owner, _) in cluster.owners().into_values() {
        *counts.entry(owner).or_insert(0) += 1;
    }
    counts
}

/// Waits until `dispatchers` own equal shares. Returns the largest number of instances without an owner meanwhile.
async fn settle(cluster: &Cluster, dispatchers: usize) -> usize {
    let share = cluster.instances.len() / dispatchers;
    let begun = Instant::now();
    let mut ownerless_max = 0;
    loop {
        let counts = counts(cluster);
        let owned: usize = counts.values().sum();
        ownerless_max = ownerless_max.max(cluster.instances.len() - owned);
        if counts.len() == dispatchers && counts.values().all(|count| *count == share) {
            return ownerless_max;
        }
        assert!(begun.elapsed() < WAIT_MAX, "no fair share: {counts:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_are_fair_and_stable_and_released_one_at_a_time() {
    let mut cluster = Cluster::start(Plan { dispatchers: 1, instances: 6, ..Plan::default() }).await;
    for dispatchers in 2..=3 {
        cluster.add_dispatcher();
        let ownerless = settle(&cluster, dispatchers).await;
        // Each owner releases one per update; the update of the taker may come after two of them.
        assert!(ownerless <= 2, "{ownerless} instances had no owner at once");
    }
    let settled = cluster.owners();
    let watched = Instant::now();
    while watched.elapsed() < STABLE_FOR {
        assert_eq!(cluster.owners(), settled, "a lease moved");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // One leaves, and the others take its instances. It comes back, and gets a share again.
    cluster.dispatchers[0].terminate().await;
    eventually("two share", WAIT_MAX, || async {
        let counts = counts(&cluster);
        (counts.len() == 2 && counts.values().all(|count| *count == 3)).then_some(())
    })
    .await;
    cluster.dispatchers[0].start();
    settle(&cluster, 3).await;
}

//! API processes are killed and replaced while clients post.

use super::{
    cluster::{Cluster, Plan, WAIT_MAX},
    load::{Kind, Load},
    observers::Observers,
    redis_outages::clients,
    referee::{Allow, verify},
};
use crate::support::eventually;
use std::time::{Duration, Instant};

/// F15: a client loses at most the answer that it waits for; the same key gets the same task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_api_loses_no_accepted_task() {
    let mut cluster = Cluster::start(Plan { apis: 2, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let stop = tokio_util::sync::CancellationToken::new();
    let posting = clients(&load, 16, &stop);
    const KILLS: usize = 4;
    for turn in 0..KILLS {
        let before = load.ids().len();
        eventually("tasks are accepted", WAIT_MAX, || async { (load.ids().len() > before + 10).then_some(()) }).await;
        cluster.apis[turn % 2].kill();
        let asked = Instant::now();
        let sibling = cluster.client.at(cluster.apis[1 - turn % 2].port);
        assert_eq!(sibling.try_get("/api/tasks").await.expect("an answer").0, 200);
        assert!(asked.elapsed() < Duration::from_secs(2), "the sibling is not touched: {:?}", asked.elapsed());
        cluster.apis[turn % 2].start();
        eventually("it is back", WAIT_MAX, || async {
            cluster
                .client
                .at(cluster.apis[turn % 2].port)
                .try_get("/api/health")
                .await
                .filter(|(status, _)| *status == 200)
        })
        .await;
    }
    stop.cancel();
    for client in posting {
        client.await.unwrap();
    }
    let unanswered: u32 = load.entries().iter().map(|entry| entry.unanswered).sum();
    println!("{} tasks, {unanswered} requests without an answer", load.ids().len());
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

/// F17: every process is replaced, one after the other, under load. Each exits with 0 and closes its sockets properly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_everything_loses_nothing() {
    let mut cluster = Cluster::start(Plan { apis: 2, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let stop = tokio_util::sync::CancellationToken::new();
    let posting = clients(&load, 8, &stop);
    load.post(Kind::Steps(4.0)).await;
    for number in 0..2 {
        cluster.dispatchers[number].terminate().await;
        cluster.dispatchers[number].start();
        cluster.wait_owned_at(1 - number).await;
        cluster.apis[number].terminate().await;
        cluster.apis[number].start();
        eventually("it is back", WAIT_MAX, || async {
            cluster
                .client
                .at(cluster.apis[number].port)
                .try_get("/api/health")
                .await
                .filter(|(status, _)| *status == 200)
        })
        .await;
    }
    stop.cancel();
    for client in posting {
        client.await.unwrap();
    }
    verify(&mut cluster, &load, &observers, Allow::default()).await;
    let codes = observers.close_codes();
    assert!(codes.len() >= 2 && codes.iter().all(|code| matches!(code, 1001 | 1012)), "{codes:?}");
}

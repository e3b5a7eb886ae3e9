//! API processes are killed and replaced under posting clients.

use super::{
    load::{Kind, Load},
    outages::clients,
    referee::{Allow, judge},
    stage::{Plan, Stage, WAIT_MAX},
    watch::Watch,
};
use crate::support::eventually;
use std::time::{Duration, Instant};

/// F15: a client loses at most the answer it waits for; sent again with its key, it gets the same task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_api_loses_no_accepted_task() {
    let mut stage = Stage::start(Plan { apis: 2, ..Plan::default() }).await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    let stop = tokio_util::sync::CancellationToken::new();
    let posting = clients(&load, 16, &stop);
    const KILLS: usize = 4;
    for turn in 0..KILLS {
        let before = load.ids().len();
        eventually("tasks are accepted", WAIT_MAX, || async { (load.ids().len() > before + 10).then_some(()) }).await;
        stage.apis[turn % 2].kill();
        let asked = Instant::now();
        let sibling = stage.client.at(stage.apis[1 - turn % 2].port);
        assert_eq!(sibling.try_get("/api/tasks").await.expect("an answer").0, 200);
        assert!(asked.elapsed() < Duration::from_secs(2), "the sibling is not touched: {:?}", asked.elapsed());
        stage.apis[turn % 2].start();
        eventually("it is back", WAIT_MAX, || async {
            stage.client.at(stage.apis[turn % 2].port).try_get("/api/health").await.filter(|(status, _)| *status == 200)
        })
        .await;
    }
    stop.cancel();
    for client in posting {
        client.await.unwrap();
    }
    let unanswered: u32 = load.book().iter().map(|entry| entry.unanswered).sum();
    println!("{} tasks, {unanswered} requests without an answer", load.ids().len());
    judge(&mut stage, &load, &watch, Allow::default()).await;
}

/// F17: every process is replaced, one after the other, under load; each ends with 0 and its sockets are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_everything_loses_nothing() {
    let mut stage = Stage::start(Plan { apis: 2, ..Plan::default() }).await;
    let (load, watch) = (Load::new(&stage), Watch::start(&stage).await);
    let stop = tokio_util::sync::CancellationToken::new();
    let posting = clients(&load, 8, &stop);
    load.post(Kind::Steps(4.0)).await;
    for number in 0..2 {
        stage.dispatchers[number].terminate().await;
        stage.dispatchers[number].start();
        stage.wait_owned_at(1 - number).await;
        stage.apis[number].terminate().await;
        stage.apis[number].start();
        eventually("it is back", WAIT_MAX, || async {
            stage.client.at(stage.apis[number].port).try_get("/api/health").await.filter(|(status, _)| *status == 200)
        })
        .await;
    }
    stop.cancel();
    for client in posting {
        client.await.unwrap();
    }
    judge(&mut stage, &load, &watch, Allow::default()).await;
    let codes = watch.close_codes();
    assert!(codes.len() >= 2 && codes.iter().all(|code| matches!(code, 1001 | 1012)), "{codes:?}");
}

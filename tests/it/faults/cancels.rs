//! Cancels in every state and at every moment.

use super::{
    cluster::{Cluster, Plan},
    load::{Kind, Load},
    observers::Observers,
    referee::{Allow, verify},
};
use crate::model::Dice;
use std::time::Duration;

/// F23, I15, I16: waiting, claimed, running and ending tasks are cancelled through two APIs at once. Each has one
/// winner, and every caller gets a true answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_cancels_have_one_winner_each() {
    let mut cluster = Cluster::start(Plan { apis: 2, instances: 3, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let mut cancels = Vec::new();
    let mut dice = Dice::new(23);
    for number in 0..90 {
        let kind = match number % 3 {
            0 => Kind::Steps(0.4),
            1 => Kind::Steps(5.0),
            _ => Kind::Quick,
        };
        let is_long = number % 3 == 1;
        let id = load.post(kind).await;
        // The long ones would never end; most of the others, too, are cancelled.
        if is_long || dice.chance(70) {
            let after = Duration::from_millis(dice.next() % if is_long { 1_500 } else { 2_500 });
            for _ in 0..1 + dice.below(2) {
                let (load, id) = (load.clone(), id.clone());
                cancels.push(tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    load.cancel(&id).await
                }));
            }
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let mut won = 0;
    let total = cancels.len();
    for cancel in cancels {
        won += usize::from(cancel.await.unwrap());
    }
    verify(&mut cluster, &load, &observers, Allow::default()).await;
    println!("{won} of {total} cancels were in time");
    assert!(won > 20 && won < total, "both happen: {won} of {total}");
}

/// A cancel while the owner is dead or leaving is final for the caller; the next owner stops the prompt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_during_a_takeover_is_carried_out_by_the_next_owner() {
    let mut cluster = Cluster::start(Plan { instances: 1, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    for how in ["kill", "stop"] {
        let id = load.post(Kind::Steps(60.0)).await;
        cluster.client.wait_for(&id, &["running"]).await;
        let (owner, _) = cluster.owners()[&cluster.instances[0].id()].clone();
        let owner = cluster.dispatcher_named(&owner).unwrap();
        match how {
            "kill" => cluster.dispatchers[owner].kill(),
            _ => cluster.dispatchers[owner].terminate().await,
        }
        assert!(load.cancel(&id).await);
        cluster.wait_owned().await;
        cluster.dispatchers[owner].start();
    }
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

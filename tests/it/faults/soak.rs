//! All faults at random: `bin/test --soak MINUTES [SEED]`. Without it, some twenty seconds with a fixed seed.
//!
//! Redis is a Sentinel set with two replicas, and both must confirm a write: whichever takes over has every acknowledged
//! write. The servers have `appendfsync always`, because one that is killed and back before the failover serves its own file.
//!
//! The seed decides which faults come in which order; their effect depends on the machine.

use super::{
    cluster::{Cluster, Plan},
    executions::{End, Executions},
    load::{Kind, Load},
    observers::Observers,
    random_faults::RandomFaults,
    redis_servers::RedisPlan,
    referee::{Allow, verify},
};
use crate::{model::Dice, support::stack::workflow};
use serde_json::json;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Duration of the short form.
const SHORT: Duration = Duration::from_secs(20);
const SHORT_SEED: u64 = 3;
const REPLICAS: usize = 2;
const POSTERS: u64 = 3;
/// Mean delay between two submits of one poster: together 150 tasks a minute.
const POST_EVERY: Duration = Duration::from_millis(1_200);

fn length_and_seed() -> (Duration, u64) {
    let read = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let minutes = read("SOAK_MINUTES").map(|text| text.parse::<f64>().expect("SOAK_MINUTES is a number"));
    let seed = read("SOAK_SEED").map(|text| text.parse().expect("SOAK_SEED is a whole number"));
    match minutes {
        Some(minutes) => {
            let drawn = u64::from(getrandom::u32().unwrap());
            (Duration::from_secs_f64(minutes * 60.0), seed.unwrap_or(drawn))
        }
        None => (SHORT, seed.unwrap_or(SHORT_SEED)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_with_random_faults_loses_nothing_and_runs_nothing_twice() {
    let (length, seed) = length_and_seed();
    println!("soak of {length:?}, seed {seed}: repeat it with `bin/test --soak MINUTES {seed}`");
    let redis = RedisPlan::Sentinel { program: None, replicas: REPLICAS, options: vec![("appendfsync", "always")] };
    let plan = Plan {
        apis: 2,
        dispatchers: 3,
        instances: 6,
        lease_ttl: Duration::from_secs(3),
        redis,
        durability: "replica",
        replicas: REPLICAS as u32,
        ..Plan::default()
    };
    let mut cluster = Cluster::start(plan).await;
    let picture = made_picture(&cluster).await;
    let lines = cluster.instances[0].log().len();
    cluster.instances[0].forget(lines);
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let file = load.upload(&picture).await;

    let stop = CancellationToken::new();
    let mut posters: Vec<_> = (0..POSTERS)
        .map(|number| tokio::spawn(post(load.clone(), file.clone(), Dice::new(seed ^ (number << 32)), stop.clone())))
        .collect();
    let begun = Instant::now();
    let mut faults = RandomFaults::new(&cluster, seed);
    while begun.elapsed() < length {
        faults.step(&mut cluster).await;
        if let Some(place) = posters.iter().position(tokio::task::JoinHandle::is_finished) {
            // It panicked: the soak ends at the first wrong answer.
            posters.swap_remove(place).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    faults.end(&mut cluster).await;
    stop.cancel();
    for poster in posters {
        poster.await.unwrap();
    }
    let ended = verify(&mut cluster, &load, &observers, Allow { attempts: true, failovers: true }).await;

    let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
    for (_, task) in &ended {
        *statuses.entry(task["status"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let logs: Vec<_> = cluster.instances.iter().map(|instance| (instance.id(), instance.log())).collect();
    let runs = Executions::read(&logs, &load.ids());
    let died = load.ids().iter().flat_map(|id| runs.of(id)).filter(|execution| execution.end == End::Died).count();
    println!(
        "{} tasks: {statuses:?}; {died} executions died with their instance, and only those ran again",
        ended.len()
    );
    println!("faults: {}", faults.summary());
    println!("{}", faults.takeovers());
}

/// A client that posts a mixture of all kinds and cancels some.
async fn post(load: Load, file: String, mut dice: Dice, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let kind = match dice.below(100) {
            0..50 => Kind::Quick,
            50..72 => Kind::Steps(f64::from(u32::try_from(dice.below(40)).unwrap() + 2) / 10.0),
            72..80 => Kind::Fails,
            80..84 => Kind::Hungry,
            84..90 => Kind::Invalid,
            _ => Kind::Upload(file.clone()),
        };
        let priority = ["high", "low", "normal", "normal", "normal"][dice.below(5)];
        let id = load.post_as(kind, priority).await;
        if dice.chance(12) {
            let (load, after) = (load.clone(), Duration::from_millis(dice.next() % 2_500));
            tokio::time::sleep(after).await;
            load.cancel(&id).await;
        }
        tokio::time::sleep(POST_EVERY.mul_f64(f64::from(u32::try_from(dice.below(100)).unwrap()) / 50.0)).await;
    }
}

/// A picture made by an instance.
async fn made_picture(cluster: &Cluster) -> Vec<u8> {
    let url = cluster.instances[0].sim.url();
    let http = cluster.client.http();
    let prompt = json!({"prompt": workflow::quick(1), "prompt_id": "00000000-0000-4000-8000-0000000000aa"});
    http.post(format!("{url}/prompt")).json(&prompt).send().await.unwrap();
    let history = crate::support::eventually("the picture", super::cluster::WAIT_MAX, || async {
        let history: serde_json::Value = http.get(format!("{url}/history")).send().await.ok()?.json().await.ok()?;
        history.as_object()?.values().next().cloned()
    })
    .await;
    let image = &history["outputs"]["3"]["images"][0];
    let query = [("filename", &image["filename"]), ("subfolder", &image["subfolder"]), ("type", &image["type"])]
        .map(|(name, value)| (name, value.as_str().unwrap().to_owned()));
    http.get(format!("{url}/view")).query(&query).send().await.unwrap().bytes().await.unwrap().to_vec()
}

//! `/ws`: a thousand sockets subscribed to everything, and the memory of an idle one.

use super::{
    bare, ours,
    program::{Program, token},
    redis::TestRedis,
    resp::{Redis, words},
    sockets::Sockets,
};
use shuzhiren::{
    event::{Event, TaskChange, TaskEvent},
    task::{Attempt, InstanceId, Progress, TaskId},
};
use std::time::{Duration, Instant};

const SOCKETS: usize = 1_000;
const ROUND: Duration = Duration::from_secs(4);
/// Events in flight: enough to keep every stage busy, far from any overflow.
const WINDOW: u64 = 200;
const BATCH: u64 = 20;

pub async fn run() {
    println!("fanout: /ws, {SOCKETS} sockets that watch everything");
    let redis = TestRedis::start();
    let environment = [("REDIS_URL", redis.url())];
    let token = token().await;
    let mut publisher = Redis::connect(&redis.socket());
    let our = Program::in_role("our-ws", &environment);
    let warm = Sockets::open(our.address, &token, 20).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = our.resident_bytes();
    let our_sockets = Sockets::open(our.address, &token, SOCKETS).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = (our.resident_bytes() - before) as f64 / SOCKETS as f64 / 1_024.0;
    drop(warm);
    println!("  an idle socket: {idle:.1} KB (wanted: below 20)");

    let bare = Program::in_role("bare-ws", &environment);
    let bare_sockets = Sockets::open(bare.address, &token, SOCKETS).await;
    let (mut our_rate, mut bare_rate) = (0.0, 0.0);
    for round in 1..=3 {
        let bare = deliver(&mut publisher, bare::CHANNEL, &bare_sockets).await;
        let our = deliver(&mut publisher, ours::CHANNEL, &our_sockets).await;
        println!("  round {round}: ours {our:.0}/s, bare {bare:.0}/s, ratio {:.2}", our / bare);
        our_rate += our;
        bare_rate += bare;
    }
    println!("  deliveries: ratio {:.2} (wanted: at least 0.8)", our_rate / bare_rate);
    let after = our.resident_bytes() as f64 / 1_024.0 / 1_024.0;
    println!("  ours after the load: {after:.0} MB in all");
}

/// Publishes as fast as the sockets receive. Returns deliveries per second.
async fn deliver(publisher: &mut Redis, channel: &str, sockets: &Sockets) -> f64 {
    let (begun, base, mut published) = (Instant::now(), sockets.received(), 0_u64);
    let mut last_received = (base, Instant::now());
    loop {
        let received = sockets.received();
        if received > last_received.0 {
            last_received = (received, Instant::now());
        }
        let is_receiving = last_received.1.elapsed() < Duration::from_secs(5);
        assert!(is_receiving, "{channel}: no more messages received: {} of {published} x {SOCKETS}", received - base);
        let is_over = begun.elapsed() >= ROUND;
        let events_received = (received - base) / SOCKETS as u64;
        if is_over && events_received >= published {
            return (received - base) as f64 / begun.elapsed().as_secs_f64();
        }
        if !is_over && published - events_received.min(published) < WINDOW {
            let batch: Vec<_> = (0..BATCH).map(|_| words(&["PUBLISH", channel, &event()])).collect();
            publisher.ask(&batch);
            published += BATCH;
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }
}

/// Returns a progress event of a new task, so that none may be conflated.
fn event() -> String {
    let progress = Progress {
        percent: 50,
        current_node: Some("3".to_owned()),
        nodes_done: 3,
        nodes_total: 7,
        ..Progress::default()
    };
    let event = Event::Task(TaskEvent {
        id: TaskId::new(),
        owner: "admin".to_owned(),
        version: 5,
        attempt: Attempt::new(1),
        revived: 0,
        instance: Some(InstanceId::new("127.0.0.1:8001")),
        change: TaskChange::Progress(progress),
    });
    serde_json::to_string(&event).unwrap()
}

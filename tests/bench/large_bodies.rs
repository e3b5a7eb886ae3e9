//! `/livez` while bodies are in flight of the shapes that once held a core for seconds.

use super::{
    http::{Connection, post},
    program::{Program, Times, token},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};

#[path = "../../src/graph/tests/large_bodies.rs"]
mod bodies;

/// Bodies in flight at once.
const IN_FLIGHT: usize = 8;
/// Longest wait for one of them.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn run() {
    println!("large: {IN_FLIGHT} dry runs of one body in flight, `/livez` meanwhile (wanted: p99 below 50 ms)");
    // With its own Redis and stand-ins: bodies are checked against their catalogs.
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("SHUZHIREN_DATA_DIR", folder.path().display().to_string()),
        ("SHUZHIREN_RATE_BURST", "0".to_owned()),
        ("SHUZHIREN_WAITING_MAX", "0".to_owned()),
    ];
    let our = Program::start("up", &environment);
    let token = token().await;
    wait_until_checked(our.address, &token).await;
    for (name, body) in bodies::SHAPES.iter().chain(bodies::SWEEPS) {
        for bytes in [64 << 10, 256 << 10, 1 << 20, 8_300_000] {
            let text = body(bytes).to_string();
            let request: Arc<[u8]> = post("/api/tasks?dryRun=true", &token, &text).into();
            let is_over = Arc::new(AtomicBool::new(false));
            let probe = tokio::spawn(probe(our.address, is_over.clone()));
            let begun = Instant::now();
            let mut senders = JoinSet::new();
            for _ in 0..IN_FLIGHT {
                senders.spawn(send(our.address, request.clone()));
            }
            let statuses = senders.join_all().await;
            is_over.store(true, Ordering::Relaxed);
            let times = probe.await.unwrap();
            println!(
                "  {name}, {} KiB: {statuses:?} in {:.1} s, livez p50 {:.1} ms, p99 {:.1} ms of {}",
                text.len() >> 10,
                begun.elapsed().as_secs_f64(),
                times.percentile(50.0),
                times.percentile(99.0),
                times.len(),
            );
        }
    }
}

/// Asks for `/livez` on connections of its own until the bodies are answered.
async fn probe(address: SocketAddr, is_over: Arc<AtomicBool>) -> Times {
    let mut times = Vec::new();
    let request = b"GET /livez HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";
    while !is_over.load(Ordering::Relaxed) || times.len() < 20 {
        let begun = Instant::now();
        Connection::open(address).await.ask(request).await;
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Times::new(times)
}

/// Waits until the catalogs of the stand-ins are known.
async fn wait_until_checked(address: SocketAddr, token: &str) {
    let body = r#"{"workflow":{"1":{"class_type":"EmptyImage","inputs":{"width":16,"height":16,"batch_size":1,"color":0}},
        "2":{"class_type":"PreviewImage","inputs":{"images":["1",0]}}}}"#;
    let request = post("/api/tasks?dryRun=true", token, body);
    let give_up = Instant::now() + PATIENCE;
    loop {
        let mut connection = Connection::open(address).await;
        let (_, answer) = connection.ask(&request).await;
        if String::from_utf8_lossy(answer).contains("\"checked\":true") {
            return;
        }
        assert!(Instant::now() < give_up, "the stand-ins are not known in time");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Returns the status, 0 if there was none in time.
async fn send(address: SocketAddr, request: Arc<[u8]>) -> u16 {
    let mut connection = Connection::open(address).await;
    timeout(PATIENCE, connection.ask(&request)).await.map_or(0, |(status, _)| status)
}

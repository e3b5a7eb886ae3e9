//! Time between the end of a prompt on an instance and the next POST /prompt, while tasks are waiting.

use super::{
    http::Connection,
    ours,
    program::{Program, Times},
    redis::TestRedis,
};
use serde_json::{Value, value::RawValue};
use shuzhiren::{
    fleet::{FleetConfig, HealthCheck, Scheme, Server},
    queue::Queue,
    task::{NewTask, Payload, Priority, TaskFacts, TaskId},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const TASKS: usize = 200;

pub async fn run() {
    println!("gap: {TASKS} tasks on one instance, one slot");
    let (redis, folder) = (TestRedis::start(), tempfile::tempdir().unwrap());
    let environment = ours::environment(&redis, folder.path());
    let sim = Program::start("sim", &[("SHUZHIREN_SIM_STEP", "1".to_owned())]);
    let queue = ours::queue(&redis.url()).await;
    put_config(&queue, &[sim.address]).await;
    let _dispatcher = Program::background("dispatcher", &environment);
    for number in 0..TASKS {
        queue.enqueue(&task(number)).await.unwrap();
    }
    let give_up = Instant::now() + Duration::from_secs(60);
    while queue.counts().await.unwrap().completed < TASKS as u64 {
        assert!(Instant::now() < give_up, "not done in time: {:?}", queue.counts().await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut connection = Connection::open(sim.address).await;
    let (status, log) = connection.ask(b"GET /sim/log HTTP/1.1\r\nhost: bench\r\n\r\n").await;
    assert_eq!(status, 200);
    let gaps = gaps(&serde_json::from_slice(log).unwrap());
    assert!(gaps.len() >= TASKS - 1, "{} gaps of {TASKS} prompts", gaps.len());
    println!(
        "  end of a prompt to the next POST /prompt: median {:.0} ms, p99 {:.0} ms (wanted: median below 10)",
        gaps.percentile(50.0),
        gaps.percentile(99.0)
    );
}

/// Computes the times between each `succeeded` and the next `submitted` of `[{"at_ms","event","prompt_id",…}]`.
fn gaps(log: &Value) -> Times {
    let entries = log.as_array().or_else(|| log["entries"].as_array()).expect("a list of entries");
    let mut gaps = Vec::new();
    let mut ended = None;
    for entry in entries {
        let at_ms = entry["at_ms"].as_u64().unwrap();
        match entry["event"].as_str().unwrap() {
            "succeeded" => ended = Some(at_ms),
            "submitted" => gaps.extend(ended.take().map(|ended| Duration::from_millis(at_ms.saturating_sub(ended)))),
            _ => {}
        }
    }
    Times::new(gaps)
}

pub async fn put_config(queue: &Queue, instances: &[SocketAddr]) {
    let server = Server {
        id: "server-1".to_owned(),
        name: "主服务器".to_owned(),
        ip: "127.0.0.1".to_owned(),
        ports: instances.iter().map(SocketAddr::port).collect(),
        enabled: true,
        scheme: Scheme::Http,
        base_path: String::new(),
        headers: Default::default(),
        extra_data: Default::default(),
    };
    let health_check = HealthCheck { interval: 30_000, ..HealthCheck::default() };
    let config = FleetConfig { servers: vec![server], health_check, version: 0 };
    queue.put_config(&config, None).await.unwrap();
}

/// Returns a task for a small picture in a unique colour, so that no cache is hit.
fn task(number: usize) -> NewTask {
    let workflow = format!(
        r#"{{"1":{{"class_type":"EmptyImage","inputs":{{"width":64,"height":64,"batch_size":1,"color":{number}}}}},"2":{{"class_type":"SaveImage","inputs":{{"images":["1",0],"filename_prefix":"bench"}}}}}}"#
    );
    NewTask {
        id: TaskId::new(),
        owner: "admin".to_owned(),
        is_unlisted: true,
        priority: Priority::Normal,
        fingerprint: String::new(),
        max_attempts: 3,
        start_by_ms: None,
        payload: Payload {
            workflow: RawValue::from_string(workflow).unwrap(),
            params: RawValue::from_string("{}".to_owned()).unwrap(),
            original: None,
            files: vec![],
            is_editor: false,
            png_info: None,
        },
        keys: None,
        facts: TaskFacts { nodes_total: 2, ..TaskFacts::default() },
    }
}

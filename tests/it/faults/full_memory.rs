//! Redis' memory is full: nothing new is accepted, and what is in the system ends.

use super::{
    cluster::{Cluster, Plan, WAIT_MAX},
    dispatchers::run_everywhere,
    load::{Kind, Load},
    observers::Observers,
    referee::{Allow, verify},
};
use crate::support::{eventually, stack::workflow};
use reqwest::Method;
use serde_json::json;

/// Row 8 of the table of faults: tasks end, leases are renewed and cancels work while Redis refuses more memory;
/// submits, uploads and publishing get the error of their own, before Redis refuses and after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_accepts_nothing_and_ends_what_it_has() {
    let mut cluster = Cluster::start(Plan { dispatchers: 1, ..Plan::default() }).await;
    let (load, observers) = (Load::new(&cluster), Observers::start(&cluster).await);
    let running = run_everywhere(&cluster, &load, 6.0).await;
    let waiting = [load.post(Kind::Quick).await, load.post(Kind::Quick).await];
    let owners = cluster.owners();
    let set_memory = |percent: i64| {
        let mut raw = cluster.raw();
        let info = raw.run(&["INFO", "memory"]).text();
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        let limit = line.trim().parse::<i64>().unwrap() * 100 / percent;
        raw.run(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    };

    // Nearly full: Redis itself would still accept.
    set_memory(93);
    let client = &cluster.client;
    eventually("it is noticed", WAIT_MAX, || async {
        (client.get("/api/health").await["warnings"] == json!(["queue_memory_full"])).then_some(())
    })
    .await;
    let submit = Some(json!({"workflow": workflow::quick(1)}));
    let (status, answer) = client.call(Method::POST, "/api/tasks", submit).await;
    assert_eq!((status.as_u16(), &answer["error"]["type"]), (503, &json!("queue_memory_full")), "{answer}");
    // Full: every write that needs memory is refused, also after endings have freed some.
    set_memory(115);
    let part = reqwest::multipart::Part::bytes(b"\x89PNG\r\n\x1a\n".to_vec()).file_name("a.png");
    let upload = client.http().post(format!("{}/api/files/upload", client.base)).bearer_auth(&client.token);
    let upload = upload.multipart(reqwest::multipart::Form::new().part("file", part)).send().await.unwrap();
    assert_eq!((upload.status().as_u16(), upload.headers()["retry-after"].to_str().unwrap()), (503, "30"));
    let batch = json!({"workflow": workflow::quick(1), "count": 2});
    let requests = [
        (Method::POST, "/api/tasks".to_owned(), batch),
        (Method::PUT, "/api/workflows/one".to_owned(), json!({"workflow": workflow::quick(1)})),
    ];
    for (method, path, body) in requests {
        let (status, answer) = client.call(method, &path, Some(body)).await;
        assert_eq!((status.as_u16(), &answer["error"]["type"]), (503, &json!("queue_memory_full")), "{path}: {answer}");
    }
    assert_eq!(client.get("/api/monitor/overview").await["warnings"], json!(["queue_memory_full"]));
    assert!(load.cancel(&waiting[0]).await, "a cancel is in time");
    for id in &running {
        assert_eq!(client.wait_ended(id).await["status"], "completed");
    }
    assert_eq!(cluster.owners(), owners, "leases were renewed");
    assert_eq!(client.task(&waiting[1]).await["status"], "pending", "what takes more memory waits");
    for process in cluster.apis.iter().chain(&cluster.dispatchers) {
        let log = process.log();
        let count = |words: &str| log.lines().filter(|line| line.contains(words)).count();
        assert_eq!(count("redis memory is full: no tasks"), 1, "{} says it once", process.name);
    }

    cluster.raw().run(&["CONFIG", "SET", "maxmemory", "0"]);
    load.post(Kind::Quick).await;
    verify(&mut cluster, &load, &observers, Allow::default()).await;
}

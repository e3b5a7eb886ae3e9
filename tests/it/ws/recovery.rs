//! No ending is missed by a client that reconnects, or while the subscription or Redis is down.

use super::stage::{Stage, new_task};
use serde_json::json;
use shuzhiren::{
    queue::{Queue, QueueLimits},
    task::TaskId,
    ws::Timing,
};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

const NEVER: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_begins_with_a_snapshot_of_each_task() {
    let stage = Stage::start().await;
    let dispatcher = stage.dispatcher().await;
    let done = stage.submit("admin").await;
    dispatcher.run_one().await;
    let running = stage.submit("admin").await;
    let claim = dispatcher.begin().await;
    dispatcher.progress(claim, 30).await;
    let unknown = TaskId::new();

    let mut client = stage.client().await;
    let answer = client.ask("subscribe", json!({"taskIds": [done, running, unknown]})).await;
    assert_eq!(answer["type"], "subscribed");
    assert_eq!(answer["data"]["taskIds"], json!([done, running]));
    assert_eq!(answer["data"]["unknown"], json!([unknown]));
    assert_eq!(answer["data"]["tasks"][0]["status"], "completed");
    assert_eq!(
        (&answer["data"]["tasks"][1]["status"], &answer["data"]["tasks"][1]["progress"]),
        (&json!("running"), &json!(30))
    );
    assert_eq!(client.until_ended(done).await["type"], "task_completed");
    dispatcher.complete(claim, vec![]).await;
    assert_eq!(client.until_ended(running).await["type"], "task_completed");
}

/// No older state follows a snapshot, even if many events happen while it is read.
#[tokio::test(flavor = "multi_thread")]
async fn versions_never_decrease_on_a_socket() {
    let stage = Stage::start().await;
    let dispatcher = stage.dispatcher().await;
    let id = stage.submit("admin").await;
    let claim = dispatcher.begin().await;
    let mut client = stage.client().await;
    let busy = tokio::spawn(async move {
        for percent in 1..=90 {
            dispatcher.progress(claim, percent).await;
        }
        dispatcher.complete(claim, vec![]).await;
    });
    for _ in 0..40 {
        client.send(json!({"type": "subscribe", "data": {"taskIds": [id]}, "requestId": "s"})).await;
    }
    let (mut version, mut percent, mut answers) = (0, 0, 0);
    while answers < 40 || percent < 100 {
        let message = client.next().await.unwrap();
        let data = match message["type"].as_str().unwrap() {
            "subscribed" => {
                answers += 1;
                &message["data"]["tasks"][0]
            }
            "task_progress" | "task_completed" => {
                let found = message["data"]["version"].as_u64().unwrap();
                assert!(found >= version, "{found} after {version}");
                version = found;
                &message["data"]
            }
            _ => continue,
        };
        let found = data["progress"].as_u64().unwrap();
        assert!(found >= percent, "{found} % after {percent} %: {message}");
        percent = found;
    }
    busy.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_replays_the_endings_since_or_gets_resync() {
    let stage = Stage::start().await;
    let dispatcher = stage.dispatcher().await;
    let mut client = stage.client().await;
    let first = stage.submit("admin").await;
    dispatcher.run_one().await;
    let cursor = client.until_ended(first).await["data"]["cursor"].clone();
    assert!(cursor.is_string());
    drop(client);
    let (second, third) = (stage.submit("admin").await, stage.submit("admin").await);
    dispatcher.run_one().await;
    dispatcher.run_one().await;
    let mut watcher = stage.client().await;
    watcher.ask("subscribe", json!({"taskIds": [third]})).await;

    let mut client = stage.client().await;
    client.send(json!({"type": "subscribe", "data": {"all": true, "since": cursor}, "requestId": "r"})).await;
    let subscribed = client.until_type("subscribed").await;
    client.until_ended(second).await;
    assert_eq!(client.next().await.unwrap()["data"]["taskId"], third.to_string());
    let up_to_date = subscribed["data"]["cursor"].clone();
    client.ask("subscribe", json!({"since": up_to_date})).await;
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.next().await.unwrap()["type"], "pong", "nothing to replay");

    for foreign in ["another-process-7", "", "1"] {
        client.send(json!({"type": "subscribe", "data": {"since": foreign}, "requestId": "r"})).await;
        let resync = client.until_type("resync").await;
        assert_eq!(resync["requestId"], "r");
        assert!(resync["data"]["cursor"].is_string());
    }
}

/// Only gap recovery runs here: the regular check is switched off.
#[tokio::test(flavor = "multi_thread")]
async fn endings_during_a_broken_subscription_arrive() {
    let stage = Stage::start_with(Timing { check: NEVER, ..Timing::default() }, |_| {}).await;
    let dispatcher = stage.dispatcher().await;
    let mut client = stage.client().await;
    for _ in 0..5 {
        let known = stage.submit("admin").await;
        client.until("pending", |message| message["data"]["taskId"] == known.to_string()).await;
        redis(&stage.redis.socket(), &["CLIENT", "KILL", "TYPE", "pubsub"]);
        dispatcher.run_one().await;
        let born = stage.submit("admin").await;
        dispatcher.run_one().await;
        // In either order, depending on whether an event or gap recovery comes first.
        let ended = [known.to_string(), born.to_string()];
        let mut missing: Vec<&String> = ended.iter().collect();
        while !missing.is_empty() {
            let message = client.until_type("task_completed").await;
            missing.retain(|id| message["data"]["taskId"] != id.as_str());
        }
    }
}

/// The ending is never published: only the regular check can find it.
#[tokio::test(flavor = "multi_thread")]
async fn an_unpublished_ending_arrives_within_the_check_interval() {
    let stage = Stage::start_with(Timing { check: Duration::from_millis(300), ..Timing::default() }, |_| {}).await;
    let mut client = stage.client().await;
    let id = stage.submit("admin").await;
    client.until("pending", |message| message["data"]["taskId"] == id.to_string()).await;
    let keys = redis(&stage.redis.socket(), &["KEYS", &format!("*{id}*")]);
    let mut changed = 0;
    for key in keys.split("\r\n").filter(|part| part.contains(&id.to_string())) {
        if redis(&stage.redis.socket(), &["TYPE", key]).contains("hash") {
            redis(&stage.redis.socket(), &["HSET", key, "state", "cancelled", "version", "99"]);
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
    let ended = client.until_ended(id).await;
    assert_eq!((&ended["data"]["status"], &ended["data"]["version"]), (&json!("cancelled"), &json!(99)));
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_survive_a_restart_of_redis() {
    let mut stage = Stage::start_with(Timing { check: Duration::from_secs(2), ..Timing::default() }, |_| {}).await;
    let mut client = stage.client().await;
    let id = stage.submit("admin").await;
    client.until("pending", |message| message["data"]["taskId"] == id.to_string()).await;
    // `appendfsync everysec` may hold the last second in memory only.
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    stage.redis.kill();
    let while_away = client.ask("get_task", json!({"taskId": id})).await;
    assert_eq!(while_away["data"]["type"], "unavailable");
    stage.redis.launch();
    let limits = QueueLimits { waiting_max: 0, keep_tasks: NEVER };
    let queue = Queue::connect(&stage.redis.settings(), limits).await.unwrap();
    queue.cancel(id).await.unwrap();
    assert_eq!(client.until_ended(id).await["data"]["status"], "cancelled");
    let next = new_task("admin");
    queue.enqueue(&next).await.unwrap();
    queue.cancel(next.id).await.unwrap();
    client.until_ended(next.id).await;
}

/// Sends one command on its own connection and returns the raw reply (reads until nothing arrives for 50 ms).
fn redis(socket: &Path, words: &[&str]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    let parts: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    stream.write_all(format!("*{}\r\n{parts}", words.len()).as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let (mut reply, mut buffer) = (Vec::new(), [0; 65_536]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => reply.extend_from_slice(&buffer[..count]),
            Err(_) if reply.is_empty() => {}
            Err(_) => break,
        }
    }
    String::from_utf8(reply).unwrap()
}

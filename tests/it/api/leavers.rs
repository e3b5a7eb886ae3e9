//! Clients that leave, and sites that are slow, while a file is fetched for them.

use super::{
    server::{Api, data},
    urls::{stage, with_url},
};
use crate::support::{eventually, raw::RawRedis};
use serde_json::Value;
use shuzhiren::task::FileId;
use std::time::Duration;
use tokio::time::Instant;

/// Submits without waiting for the answer.
async fn post_and_leave_open(api: &Api, body: &Value) -> tokio::net::TcpStream {
    let body = body.to_string();
    let request = format!(
        "POST /api/tasks HTTP/1.1\r\nhost: test\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        api.bearer(),
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(api.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    stream
}

/// A client that disconnects leaves nothing, and a client that waits for a slow site delays no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_site_holds_up_nobody_and_a_client_that_leaves_leaves_nothing() {
    let (api, web) = stage().await;
    let leaver = post_and_leave_open(&api, &with_url(&web.url("held/a.png"))).await;
    let staying = async { data(&api.post("/api/tasks", &with_url(&web.url("held/b.png"))).await) };
    let others = async {
        eventually("both are asked", Duration::from_secs(10), || async { (web.heads().len() == 2).then_some(()) })
            .await;
        let asked = Instant::now();
        api.submit().await;
        assert!(asked.elapsed() < Duration::from_secs(2));
        drop(leaver);
        web.release();
    };
    let (task, ()) = tokio::join!(staying, others);
    assert_eq!(task["status"], "pending");
    eventually("one file is left", Duration::from_secs(10), || async { (api.stored_files() == 1).then_some(()) }).await;
    assert_eq!(data(&api.get("/api/tasks").await)["total"], 2);
}

/// The client disconnects after the registration of the file and before its task: no request would ever name the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_registered_for_a_client_that_left_is_taken_back() {
    let (api, web) = stage().await;
    let mut leaver = post_and_leave_open(&api, &with_url(&web.url("held/a.png"))).await;
    eventually("it is asked", Duration::from_secs(10), || async { (web.heads().len() == 1).then_some(()) }).await;
    let mut redis = RawRedis::connect(&api.redis.socket());
    redis.run(&["CLIENT", "PAUSE", "1500", "WRITE"]);
    web.release();
    let is_whole = || api.stored_names().iter().any(|name| name.parse::<FileId>().is_ok());
    eventually("its bytes are there", Duration::from_secs(10), || async { is_whole().then_some(()) }).await;
    tokio::io::AsyncWriteExt::shutdown(&mut leaver).await.unwrap();
    drop(leaver);
    eventually("it is gone", Duration::from_secs(10), || async { (api.stored_files() == 0).then_some(()) }).await;
    assert_eq!(data(&api.get("/api/files").await)["total"], 0);
    assert_eq!(data(&api.get("/api/tasks").await)["total"], 0);
}

//! Instances that answer without end: the dispatcher lives, and the others work.

use super::super::put_fleet;
use crate::support::stack::{Stack, workflow};
use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    time::Duration,
};
use tokio::time::timeout;

/// Longest answer of `/livez` on a busy machine. It was ten seconds, or never.
const LIVE_MAX: Duration = Duration::from_secs(5);

/// Starts an instance that answers every request with these bytes without end. Its threads end with its connections.
fn endless(bytes: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = move |mut stream: std::net::TcpStream| {
        let block = bytes.repeat(1_000);
        let mut sent = stream.read(&mut [0; 4_096]).map(drop);
        while sent.is_ok() {
            sent = stream.write_all(block.as_bytes());
        }
    };
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

/// Issue 11, F0: with two of them no instance had an owner any more.
#[tokio::test]
async fn interim_answers_without_end_are_not_felt_by_others() {
    let mut stack = Stack::start(1, 0).await;
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    put_fleet(&stack, &[endless(interim), endless(interim), stack.sims[0].addr().port()]).await;
    let dispatcher = stack.add_dispatcher();
    let live = format!("http://127.0.0.1:{}/livez", stack.dispatchers[dispatcher].port);
    stack.wait_instances_up(1).await;
    for seed in 0..10 {
        let id = stack.client.submit(json!({"workflow": workflow::quick(seed)})).await;
        let task = stack.client.wait_ended(&id).await;
        assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
        let answer = timeout(LIVE_MAX, reqwest::get(&live)).await.expect("a dispatcher that lives").unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert!(stack.log().contains("before the head of the answer ended"), "{}", stack.log());
}

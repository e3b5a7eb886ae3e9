//! An instance that dies, freezes or becomes a zombie, seen from outside.

use super::client::{WAIT_MAX, prompt, stand, steps};
use serde_json::json;
use shuzhiren::sim::Times;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_kill_drops_sockets_and_refuses_connections_until_an_empty_restart() {
    let stand = stand().await;
    let mut socket = stand.socket("me").await;
    stand.submit(&prompt("done")).await;
    stand.ended("done").await;
    stand.submit(&json!({"prompt": steps(100, 20.0, 1), "prompt_id": "running"})).await;
    stand.submit(&prompt("waiting")).await;
    let addr = stand.sim.addr();
    stand.sim.kill().await;
    loop {
        match socket.next().await {
            Some(Message::Close(frame)) => panic!("a close frame: {frame:?}"),
            Some(_) => {}
            None => break,
        }
    }
    let refused = tokio::net::TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(!stand.sim.is_up());
    stand.sim.restart().await.unwrap();
    assert_eq!(stand.sim.addr(), addr);
    assert_eq!(stand.get("/queue").await.1, "{\"queue_running\": [], \"queue_pending\": []}");
    assert_eq!(stand.get("/history").await.1, "{}");
    assert_eq!(stand.submit(&prompt("again")).await["number"], 0);
    stand.ended("again").await;
    assert_eq!((stand.sim.executions("running"), stand.sim.executions("waiting")), (1, 0));
}

#[tokio::test]
async fn it_restarts_on_request_and_a_node_can_end_it() {
    let stand = stand().await;
    stand.submit(&prompt("p")).await;
    stand.ended("p").await;
    assert_eq!(stand.post("/sim/restart", &json!({"down_ms": 30})).await.0, 200);
    let back = async {
        while stand.http.get(stand.url("/history/p")).send().await.map(|reply| reply.content_length()).ok()
            != Some(Some(2))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, back).await.unwrap();
    for body in [
        json!({"prompt": {"1": {"class_type": "TestExit", "inputs": {"how": "kill9"}}}}),
        json!({"prompt": {"1": {"class_type": "TestUi", "inputs": {"kind": "bytes"}}}}),
        json!({"prompt": steps(1, 0.0, 1), "client_id": [1]}),
    ] {
        stand.submit(&body).await;
        let gone = async {
            while stand.sim.is_up() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WAIT_MAX, gone).await.unwrap();
        stand.sim.restart().await.unwrap();
    }
}

#[tokio::test]
async fn a_zombie_accepts_prompts_but_runs_none() {
    for way in 0..5 {
        let stand = stand().await;
        match way {
            0 => stand.sim.make_zombie(),
            1 => stand.sim.set(|faults| faults.zombie = Times::Next(1)),
            2 => {
                stand
                    .submit(&json!({"prompt": {"1": {"class_type": "TestExit", "inputs": {"how": "system_exit"}}}}))
                    .await;
            }
            3 => {
                stand.submit(&json!({"prompt": steps(1, 0.0, 1), "extra_data": 5})).await;
            }
            _ => {
                // A link to nowhere, in an input that the class does not declare.
                let mut graph = steps(1, 0.0, 1);
                let nodes = graph.as_object_mut().unwrap();
                nodes.values_mut().for_each(|node| node["inputs"]["undeclared"] = json!(["99", 0]));
                stand.submit(&json!({"prompt": graph})).await;
            }
        }
        stand.submit(&prompt("a")).await;
        stand.submit(&prompt("b")).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(stand.get_json("/history").await, json!({}), "way {way}");
        let waiting = stand.get_json("/prompt").await["exec_info"]["queue_remaining"].as_u64().unwrap();
        assert_eq!(waiting, if way < 2 { 2 } else { 3 }, "way {way}");
        assert_eq!(stand.get("/system_stats").await.0, 200);
        stand.sim.restart().await.unwrap();
        stand.submit(&prompt("c")).await;
        stand.ended("c").await;
    }
}

#[tokio::test]
async fn equal_number_and_id_break_the_heap() {
    let stand = stand().await;
    stand.submit(&json!({"prompt": steps(10, 0.3, 0), "prompt_id": "first"})).await;
    stand.until_running("first").await;
    let tied = |seed| json!({"prompt": steps(1, 0.0, seed), "prompt_id": "tied", "number": 5});
    stand.submit(&tied(1)).await;
    assert_eq!(stand.post("/prompt", &tied(2)).await.0, 500);
    assert_eq!(
        stand.get_json("/queue").await["queue_pending"].as_array().unwrap().len(),
        2,
        "the prompt must be queued nevertheless"
    );
    stand.ended("first").await;
}

#[tokio::test]
async fn a_hanging_instance_accepts_connections_and_continues_later() {
    let stand = stand().await;
    let mut socket = stand.socket("me").await;
    stand.submit(&json!({"prompt": steps(10, 0.2, 1), "prompt_id": "p", "client_id": "me"})).await;
    socket.until("progress").await;
    stand.sim.set(|faults| faults.hang = true);
    let mut raw = tokio::net::TcpStream::connect(stand.sim.addr()).await.unwrap();
    raw.write_all(b"GET /prompt HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut reply = vec![0; 12];
    let nothing = tokio::time::timeout(Duration::from_millis(400), raw.read(&mut reply)).await;
    assert!(nothing.is_err(), "the hanging instance answered");
    while !socket.is_silent(Duration::from_millis(100)).await {}
    assert_eq!(stand.get_json("/sim/state").await["running"], "p", "control routes must answer");
    assert_eq!(stand.post("/sim/faults", &json!({"hang": false})).await.0, 200);
    tokio::time::timeout(WAIT_MAX, raw.read_exact(&mut reply)).await.unwrap().unwrap();
    assert_eq!(reply, b"HTTP/1.1 200");
    socket.until_end("p").await;
}

#[tokio::test]
async fn a_freeze_and_a_gc_pause_delay_http() {
    let stand = stand().await;
    stand.sim.freeze(Duration::from_millis(300));
    let begun = Instant::now();
    assert_eq!(stand.get("/prompt").await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
    stand.sim.set(|faults| {
        faults.gc_pause_ms = 300;
        faults.gc_every_ms = 0;
    });
    let mut socket = stand.socket("me").await;
    let mut body = prompt("p");
    body["client_id"] = json!("me");
    stand.submit(&body).await;
    socket.until("execution_success").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    let begun = Instant::now();
    assert_eq!(stand.get("/prompt").await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
    stand.sim.set(|faults| faults.gc_pause_ms = 0);
    let hog = json!({"1": {"class_type": "TestHog", "inputs": {"how": "hold_gil", "seconds": 0.3}}});
    stand.submit(&json!({"prompt": hog, "prompt_id": "hog", "client_id": "me"})).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    stand.get("/prompt").await;
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
    stand.ended("hog").await;
}

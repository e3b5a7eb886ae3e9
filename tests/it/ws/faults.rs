//! Misbehaving clients, clients that do not read, and shutdown.

use super::{
    client::{Client, WAIT_MAX, raw_close_code, upgraded},
    stage::{Stage, text_output},
};
use crate::support::eventually;
use futures_util::StreamExt;
use serde_json::json;
use shuzhiren::ws::Timing;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

/// safety.md §2.6. Each bad frame, on its own socket, is answered with an error or a close; other clients are not
/// affected.
#[tokio::test(flavor = "multi_thread")]
async fn bad_frames_are_answered_or_closed() {
    let stage = Stage::start().await;
    let mut witness = stage.client().await;
    let deep = format!(r#"{{"type":"subscribe","data":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    for text in [
        "",
        "not json",
        "null",
        "[]",
        "5",
        "{}",
        "{\"type\":5}",
        "{\"type\":\"task_completed\",\"data\":{\"taskId\":\"x\"}}",
        "{\"type\":\"global_status\"}",
        "{\"type\":\"ping\",\"data\":NaN}",
        "{\"type\":\"ping\"",
        &deep,
        "{\"type\":\"subscribe\",\"data\":{\"taskIds\":[\"*\"]}}",
        "{\"type\":\"subscribe\",\"data\":{\"taskIds\":[1]}}",
        "{\"type\":\"get_task\",\"data\":{\"taskId\":\"../../x\\u0000\"}}",
        "{\"type\":\"ping\",\"requestId\":{\"a\":1}}",
    ] {
        let mut client = stage.client().await;
        client.send_raw(Message::text(text)).await;
        assert_eq!(client.next().await.unwrap()["type"], "error", "{text}");
        assert_eq!(client.ask("ping", json!({})).await["type"], "pong", "{text}");
    }
    let long_id = json!({"type": "ping", "requestId": "x".repeat(60_000)}).to_string();
    let mut client = stage.client().await;
    client.send_raw(Message::text(long_id)).await;
    let error = client.next().await.unwrap();
    assert!(error["type"] == "error" && error.get("requestId").is_none());

    for (message, code) in [
        (Message::binary(vec![1, 2, 3]), 1003),
        (Message::text("x".repeat(70_000)), 1009),
        (Message::text("x".repeat(2 << 20)), 1009),
    ] {
        let mut client = stage.client().await;
        client.send_raw(message).await;
        assert_eq!(client.close_code().await, code);
    }
    let mut noisy = stage.client().await;
    for _ in 0..200 {
        noisy.send_raw(Message::text("x")).await;
    }
    assert!(matches!(noisy.close_code().await, 1008 | 1006));
    assert_eq!(witness.ask("ping", json!({})).await["type"], "pong");
}

/// Frames that no WebSocket library sends.
#[tokio::test(flavor = "multi_thread")]
async fn violations_of_the_protocol_close_the_socket() {
    let stage = Stage::start().await;
    let mut witness = stage.client().await;
    let token = stage.admin_token(Duration::from_secs(60)).await;
    let masked =
        |first: u8, payload: &[u8]| -> Vec<u8> { [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat() };
    let huge = [&[0x81, 0xff][..], &(1_u64 << 62).to_be_bytes(), &[0; 4]].concat();
    let bomb: Vec<u8> = std::iter::once(masked(0x01, &[b'x'; 100]))
        .chain((0..1_000).map(|_| masked(0x00, &[b'x'; 100])))
        .flatten()
        .collect();
    for (what, bytes, code) in [
        ("unmasked", vec![0x81, 0x01, b'x'], 1002),
        ("reserved bit", masked(0xC1, b"x"), 1002),
        ("bad opcode", masked(0x83, b"x"), 1002),
        ("not utf-8", masked(0x81, &[0xff, 0xfe]), 1007),
        ("long ping", [&[0x89, 0xfe, 0, 200, 0, 0, 0, 0][..], &[0; 200]].concat(), 1002),
        ("continuation of nothing", masked(0x80, b"x"), 1002),
        ("huge length", huge, 1009),
        ("fragments without end", bomb, 1009),
    ] {
        let mut stream = upgraded(stage.address, &format!("authorization: Bearer {token}\r\n")).await;
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(raw_close_code(&mut stream).await, Some(code), "{what}");
    }
    assert_eq!(witness.ask("ping", json!({})).await["type"], "pong");
    eventually("only the witness is left", WAIT_MAX, async || (stage.hub.sessions() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_does_not_slow_others() {
    let stage = Stage::start().await;
    let token = stage.admin_token(Duration::from_secs(600)).await;
    const FAST: usize = 20;
    let mut slow = Client::connect_narrow(stage.address, &token).await;
    let mut fast = Vec::new();
    for _ in 0..FAST {
        fast.push(stage.client().await);
    }
    const TASKS: usize = 120;
    let readers: Vec<_> = fast
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                for _ in 0..TASKS {
                    client.until_type("task_completed").await;
                }
                client
            })
        })
        .collect();
    let dispatcher = stage.dispatcher().await;
    for _ in 0..TASKS {
        stage.submit("admin").await;
        let claim = dispatcher.begin().await;
        dispatcher.complete(claim, vec![text_output("x".repeat(32_000))]).await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
    eventually("the slow session is closed", WAIT_MAX, async || (stage.hub.sessions() <= FAST).then_some(())).await;
    // The rest in the kernel's buffers arrives slowly: the receive window of a stalled reader reopens gradually.
    let read_on = async {
        loop {
            match slow.socket.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map_or(1005, |frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return 1006,
            }
        }
    };
    let code: u16 = tokio::time::timeout(Duration::from_secs(120), read_on).await.expect("the connection ends");
    assert!(matches!(code, 4001 | 1006), "{code}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_is_closed_even_if_its_outbox_is_small() {
    let stage = Stage::start_with(Timing { write: Duration::from_millis(500), ..Timing::default() }, |_| {}).await;
    let token = stage.admin_token(Duration::from_secs(600)).await;
    let slow = Client::connect_narrow(stage.address, &token).await;
    let dispatcher = stage.dispatcher().await;
    eventually("its session is open", WAIT_MAX, async || (stage.hub.sessions() == 1).then_some(())).await;
    let begun = Instant::now();
    while stage.hub.sessions() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        stage.submit("admin").await;
        let claim = dispatcher.begin().await;
        dispatcher.complete(claim, vec![text_output("x".repeat(60_000))]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_pings_is_closed_and_one_that_does_is_not() {
    let (ping, pong) = (Duration::from_millis(300), Duration::from_millis(300));
    let stage = Stage::start_with(Timing { ping, pong, ..Timing::default() }, |_| {}).await;
    let token = stage.admin_token(Duration::from_secs(60)).await;
    let mut dead = upgraded(stage.address, &format!("authorization: Bearer {token}\r\n")).await;
    let mut alive = stage.client().await;
    let listening = tokio::spawn(async move { tokio::time::timeout(Duration::from_secs(2), alive.close_code()).await });
    assert_eq!(raw_close_code(&mut dead).await, Some(4002));
    assert!(listening.await.unwrap().is_err(), "a client that answers pings stays connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_closes_with_going_away_and_waits_for_the_sessions() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let mut pending = Client::connect(stage.address, &[]).await.unwrap();
    let token = stage.admin_token(Duration::from_secs(60)).await;
    let stalled = Client::connect_narrow(stage.address, &token).await;
    let begun = Instant::now();
    stage.stop.cancel();
    let (one, other) = tokio::join!(client.close_code(), pending.close_code());
    assert_eq!((one, other), (1001, 1001));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    stage.hub.drained(Duration::from_secs(20)).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(stage.hub.sessions(), 0);
    drop(stalled);
}

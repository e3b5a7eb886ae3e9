//! The WebSocket against peers that flood, send malformed frames, disconnect and refuse.

use super::{
    TIMEOUT, client_of,
    peer::{Peer, reply},
};
use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    routing::get,
};
use shuzhiren::comfy::{Error, PromptEvent, Socket};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;
use uuid::Uuid;

async fn peer<F: Future<Output = ()> + Send + 'static>(
    speak: impl Fn(WebSocket) -> F + Clone + Send + Sync + 'static,
) -> Peer {
    let upgrade = move |upgrade: WebSocketUpgrade| {
        let speak = speak.clone();
        async move { upgrade.on_upgrade(speak) }
    };
    Peer::with(Router::new().route("/ws", get(upgrade))).await
}

async fn next(socket: &mut Socket) -> Option<PromptEvent> {
    tokio::time::timeout(TIMEOUT, socket.next()).await.expect("no event in time")
}

fn ended(prompt: Uuid) -> Message {
    Message::text(format!(r#"{{"type": "execution_success", "data": {{"prompt_id": "{prompt}", "timestamp": 1}}}}"#))
}

#[tokio::test]
async fn the_first_frame_sends_feature_flags() {
    let prompt = Uuid::new_v4();
    let peer = peer(move |mut socket| async move {
        let first = socket.recv().await.unwrap().unwrap();
        let wanted = r#"{"type":"feature_flags","data":{"supports_preview_metadata":true}}"#;
        if first.to_text().unwrap() == wanted {
            socket.send(ended(prompt)).await.unwrap();
        }
    })
    .await;
    let mut socket = client_of(peer.addr, TIMEOUT).connect("me", TIMEOUT).await.unwrap();
    assert_eq!(next(&mut socket).await, Some(PromptEvent::Ended(prompt)));
    assert_eq!(next(&mut socket).await, None, "the socket must be closed");
}

#[tokio::test]
async fn binary_big_and_malformed_frames_are_skipped() {
    let prompt = Uuid::new_v4();
    let peer = peer(move |mut socket| async move {
        let big = format!(
            r#"{{"type": "executed", "data": {{"node": "1", "output": {{"text": ["{}"]}}, "prompt_id": "x"}}}}"#,
            "y".repeat(12 << 20)
        );
        for message in [
            Message::binary(vec![0, 0, 0, 1, 0, 0, 0, 1, 0xFF, 0xD8]),
            Message::binary(vec![]),
            Message::text("not json"),
            Message::text("[[[[".repeat(100_000)),
            Message::text(r#"{"type": "executing", "data": {"node": {"a": NaN}, "prompt_id": 7}}"#),
            Message::text(big),
            ended(prompt),
        ] {
            socket.send(message).await.unwrap();
        }
        socket.recv().await;
    })
    .await;
    let mut socket = client_of(peer.addr, TIMEOUT).connect("me", TIMEOUT).await.unwrap();
    assert_eq!(next(&mut socket).await, Some(PromptEvent::Ended(prompt)));
}

/// A frame that is longer than any of ComfyUI closes the socket; polling goes on without it.
#[tokio::test]
async fn a_frame_that_is_too_long_closes_the_socket() {
    let prompt = Uuid::new_v4();
    let peer = peer(move |mut socket| async move {
        for message in [Message::text("y".repeat(17 << 20)), ended(prompt)] {
            if socket.send(message).await.is_err() {
                return;
            }
        }
        socket.recv().await;
    })
    .await;
    let mut socket = client_of(peer.addr, TIMEOUT).connect("me", TIMEOUT).await.unwrap();
    assert_eq!(next(&mut socket).await, None);
}

/// A stalled reader blocks all messages of a real instance, so our socket is drained even without a reader.
#[tokio::test]
async fn a_socket_is_drained_without_a_reader() {
    let all_sent = Arc::new(Notify::new());
    let sent = Arc::clone(&all_sent);
    let prompt = Uuid::new_v4();
    let peer = peer(move |mut socket| {
        let sent = Arc::clone(&sent);
        async move {
            for n in 0..20_000 {
                let frame = format!(
                    r#"{{"type": "progress", "data": {{"value": {n}, "max": 20000, "node": "{}", "prompt_id": "{prompt}"}}}}"#,
                    n % 2
                );
                socket.send(Message::text(frame)).await.unwrap();
            }
            socket.send(ended(prompt)).await.unwrap();
            sent.notify_one();
            while socket.recv().await.is_some() {}
        }
    })
    .await;
    let mut socket = client_of(peer.addr, TIMEOUT).connect("me", TIMEOUT).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), all_sent.notified())
        .await
        .expect("the peer could not send everything");
    let mut events = 0;
    while next(&mut socket).await != Some(PromptEvent::Ended(prompt)) {
        events += 1;
    }
    // Events in flight when reading started come on top of the 1,024 that are queued.
    assert!(events < 5_000, "{events} events were queued");
}

#[tokio::test]
async fn close_sends_a_close_frame_and_waits_for_the_answer() {
    let closed = Arc::new(Notify::new());
    let told = Arc::clone(&closed);
    let peer = peer(move |mut socket| {
        let told = Arc::clone(&told);
        async move {
            while let Some(Ok(message)) = socket.recv().await {
                if matches!(message, Message::Close(_)) {
                    told.notify_one();
                }
            }
        }
    })
    .await;
    let socket = client_of(peer.addr, TIMEOUT).connect("me", TIMEOUT).await.unwrap();
    tokio::time::timeout(TIMEOUT, socket.close()).await.unwrap();
    tokio::time::timeout(Duration::from_millis(1), closed.notified()).await.expect("close returned too early");
}

#[tokio::test]
async fn dropping_a_socket_closes_it_at_the_peer() {
    let gone = Arc::new(Notify::new());
    let told = Arc::clone(&gone);
    let peer = peer(move |mut socket| {
        let told = Arc::clone(&told);
        async move {
            while let Some(Ok(_)) = socket.recv().await {}
            told.notify_one();
        }
    })
    .await;
    drop(client_of(peer.addr, TIMEOUT).connect("me", TIMEOUT).await.unwrap());
    tokio::time::timeout(TIMEOUT, gone.notified()).await.unwrap();
}

#[tokio::test]
async fn a_refused_upgrade_is_an_error() {
    for status in [200, 307, 403, 404, 500] {
        let peer = Peer::start(move |_| reply(status, "{}")).await;
        let refused = client_of(peer.addr, TIMEOUT).connect("me", TIMEOUT).await;
        assert!(matches!(refused, Err(Error::Broken(_))), "{status}: {refused:?}");
    }
}

#[tokio::test]
async fn a_client_id_is_encoded() {
    let peer = Peer::start(|_| reply(403, "")).await;
    client_of(peer.addr, TIMEOUT).connect("a b&c=d/ü", TIMEOUT).await.unwrap_err();
    assert_eq!(peer.lines(), ["GET /ws?clientId=a+b%26c%3Dd%2F%C3%BC"]);
}

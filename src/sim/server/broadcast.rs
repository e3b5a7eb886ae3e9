//! The loop that sends all messages of a process, one after another.
//!
//! Invariant: the loop waits for each socket in turn. A socket that does not read stalls all others, as in the real
//! server.

use crate::sim::{
    engine::process::Process,
    lock::lock,
    python,
    server::socket_hub::{Outgoing, frame},
};
use axum::extract::ws::Message;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Sends queued messages until the process is killed.
pub(crate) async fn publish(process: Arc<Process>, mut messages: mpsc::UnboundedReceiver<Outgoing>) {
    let token = process.token.clone();
    let deliver_all = async {
        while let Some(outgoing) = messages.recv().await {
            process.gate.pass().await;
            process.hub.stall.pass().await;
            process.hub.dequeued(&outgoing);
            deliver(&process, outgoing).await;
        }
    };
    tokio::select! {
        () = token.cancelled() => {}
        () = deliver_all => {}
    }
}

async fn deliver(process: &Process, outgoing: Outgoing) {
    let (copies, garbage, big, flood) = {
        let faults = &mut *lock(&process.instance.faults);
        let copies = if faults.ws_lose.contains(&outgoing.kind) { 0 } else { 1 + usize::from(faults.ws_double) };
        (copies, faults.ws_garbage.strike(), faults.ws_big.strike(), faults.ws_flood.strike())
    };
    for sender in process.hub.recipients(&outgoing) {
        if garbage {
            send_to(&sender, Message::Text("{\"type\": \"status\", \"data\": {oops".into())).await;
        }
        if big {
            let data = python::dumps(&Value::from("x".repeat(8_000_000)));
            send_to(&sender, Message::Text(frame("sim_big", &data).into())).await;
        }
        if flood {
            send_to(&sender, Message::Text(flood_frame().into())).await;
        }
        for _ in 0..copies {
            send_to(&sender, outgoing.message.clone()).await;
        }
    }
}

/// Returns a `progress_state` of 30,000 nodes, as an oversized graph causes with every step.
fn flood_frame() -> String {
    let node = |n: u32| {
        format!(
            "\"{n}\": {{\"value\": 1, \"max\": 1, \"state\": \"finished\", \"node_id\": \"{n}\", \"prompt_id\": \
             \"00000000-0000-4000-8000-000000000000\", \"display_node_id\": \"{n}\", \"parent_node_id\": null, \
             \"real_node_id\": \"{n}\", \"filler\": \"a line as long as real ones are with names of their own\"}}"
        )
    };
    let nodes: Vec<String> = (0..30_000).map(node).collect();
    let data =
        format!("{{\"prompt_id\": \"00000000-0000-4000-8000-000000000000\", \"nodes\": {{{}}}}}", nodes.join(", "));
    frame("progress_state", &data)
}

async fn send_to(sender: &mpsc::Sender<Message>, message: Message) {
    if sender.send(message).await.is_err() {
        tracing::trace!("socket closed");
    }
}

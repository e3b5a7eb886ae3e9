//! `GET /ws`: a WebSocket connection from upgrade to close.

use crate::sim::{
    engine::process::Process,
    lock::lock,
    python,
    server::{
        aiohttp,
        socket_hub::{Connection, frame},
        system_routes,
    },
};
use axum::{
    extract::{
        Query, State,
        ws::{Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::{SinkExt, StreamExt, stream::SplitStream};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::mpsc;

/// Largest text frame from a client, as in aiohttp. A larger one ends the connection.
const FRAME_MAX: usize = 4 << 20;

pub(crate) async fn upgrade(
    State(process): State<Arc<Process>>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if process.instance.strikes(|faults| &mut faults.ws_refuse) {
        return aiohttp::internal_error();
    }
    let Ok(upgrade) = upgrade else {
        let text = "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\".";
        return aiohttp::with(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", text);
    };
    let client_id = query.get("clientId").cloned().unwrap_or_default();
    upgrade
        .max_message_size(FRAME_MAX)
        .max_frame_size(FRAME_MAX)
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
        .on_upgrade(move |socket| converse(process, socket, client_id))
        .into_response()
}

async fn converse(process: Arc<Process>, socket: WebSocket, client_id: String) {
    let Connection { connection, sid, sender, mut receiver, cut } = process.hub.join(&client_id);
    let (mut sink, stream) = socket.split();
    let write = async {
        while let Some(message) = receiver.recv().await {
            if sink.send(message).await.is_err() {
                break;
            }
        }
        // Writing failed; the reader will notice the closed connection too.
        receiver.close();
        std::future::pending::<()>().await;
    };
    let read = async {
        greet(&process, &sid, &sender).await;
        listen(&process, &sid, &sender, stream).await;
    };
    tokio::select! {
        () = process.token.cancelled() => {}
        () = cut.cancelled() => {}
        () = write => {}
        () = read => {}
    }
    let stale_pop = lock(&process.instance.faults).stale_pop;
    process.hub.leave(&sid, connection, stale_pop);
}

async fn greet(process: &Process, sid: &str, sender: &mpsc::Sender<Message>) {
    let info = lock(&process.queue).info();
    send(sender, "status", &json!({"status": info, "sid": sid})).await;
    let (client, node) = lock(&process.focus).clone();
    if let (Some(client), Some(node)) = (client, node)
        && client == sid
    {
        send(sender, "executing", &json!({"node": node})).await;
    }
}

async fn listen(process: &Process, sid: &str, sender: &mpsc::Sender<Message>, mut stream: SplitStream<WebSocket>) {
    let mut is_first = true;
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let Ok(Value::Object(message)) = serde_json::from_str(&text) else { continue };
        if is_first && message.get("type") == Some(&Value::from("feature_flags")) {
            let wanted = message.get("data").and_then(|flags| flags.get("supports_preview_metadata"));
            process.hub.set_previews(sid, wanted == Some(&Value::Bool(true)));
            send(sender, "feature_flags", &system_routes::server_features(process)).await;
        }
        is_first = false;
    }
}

/// Sends directly to this socket, bypassing the publish loop, as the real handler does.
async fn send(sender: &mpsc::Sender<Message>, kind: &str, data: &Value) {
    if sender.send(Message::Text(frame(kind, &python::dumps(data)).into())).await.is_err() {
        tracing::trace!("socket closed before its first message");
    }
}

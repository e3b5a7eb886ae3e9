//! `GET /ws`: one connection from greeting to end.

use super::{
    aiohttp,
    socket_hub::{Joined, frame},
};
use crate::sim::{engine::incarnation::Life, lock, python};
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

/// Largest text frame from a client, as aiohttp's: beyond it the connection ends.
const FRAME_MAX: usize = 4 << 20;

pub(crate) async fn upgrade(
    State(life): State<Arc<Life>>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if life.shared.strikes(|faults| &mut faults.ws_refuse) {
        return aiohttp::trouble();
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
        .on_upgrade(move |socket| converse(life, socket, client_id))
        .into_response()
}

async fn converse(life: Arc<Life>, socket: WebSocket, client_id: String) {
    let Joined { connection, sid, sender, mut receiver, cut } = life.hub.join(&client_id);
    let (mut sink, stream) = socket.split();
    let write = async {
        while let Some(message) = receiver.recv().await {
            if sink.send(message).await.is_err() {
                break;
            }
        }
        // The client is gone for writing; the reader sees it too.
        receiver.close();
        std::future::pending::<()>().await;
    };
    let read = async {
        greet(&life, &sid, &sender).await;
        listen(&life, &sid, &sender, stream).await;
    };
    tokio::select! {
        () = life.token.cancelled() => {}
        () = cut.cancelled() => {}
        () = write => {}
        () = read => {}
    }
    let stale_pop = lock(&life.shared.faults).stale_pop;
    life.hub.leave(&sid, connection, stale_pop);
}

async fn greet(life: &Life, sid: &str, sender: &mpsc::Sender<Message>) {
    let info = lock(&life.queue).info();
    tell(sender, "status", &json!({"status": info, "sid": sid})).await;
    let (client, node) = lock(&life.focus).clone();
    if let (Some(client), Some(node)) = (client, node)
        && client == sid
    {
        tell(sender, "executing", &json!({"node": node})).await;
    }
}

async fn listen(life: &Life, sid: &str, sender: &mpsc::Sender<Message>, mut stream: SplitStream<WebSocket>) {
    let mut is_first = true;
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let Ok(Value::Object(said)) = serde_json::from_str(&text) else { continue };
        if is_first && said.get("type") == Some(&Value::from("feature_flags")) {
            let wanted = said.get("data").and_then(|flags| flags.get("supports_preview_metadata"));
            life.hub.set_previews(sid, wanted == Some(&Value::Bool(true)));
            tell(sender, "feature_flags", &super::routes::server_features(life)).await;
        }
        is_first = false;
    }
}

/// Straight to this socket, past the publish loop, as the real handler does.
async fn tell(sender: &mpsc::Sender<Message>, kind: &str, data: &Value) {
    if sender.send(Message::Text(frame(kind, &python::dumps(data)).into())).await.is_err() {
        tracing::trace!("the socket closed at once");
    }
}

//! Login by the first message, for clients that cannot set a header.

use super::{
    Door, answers,
    close::Close,
    hub::Hub,
    inbound::{self, Incoming, Refusal, Request},
    limits::STRIKES_BEFORE_LOGIN_MAX,
    outbox::Frame,
};
use crate::auth::Caller;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use tokio::time::{Instant, timeout, timeout_at};

/// How a caller came in.
pub enum Login {
    /// By a header of the handshake: no answer is owed.
    Header(Caller),
    /// By the first message.
    Message(Caller, Option<String>),
}

/// Waits for `auth`; nothing but errors is said before.
pub async fn log_in(socket: &mut WebSocket, door: &Door) -> Result<Login, Close> {
    let give_up = Instant::now() + door.hub.pace().login;
    for _ in 0..STRIKES_BEFORE_LOGIN_MAX {
        let received = tokio::select! {
            received = timeout_at(give_up, socket.recv()) => received.map_err(|_| Close::LOGIN_TIMEOUT)?,
            () = door.hub.stop().cancelled() => return Err(Close::GOING_AWAY),
        };
        let Some(text) = text_of(received)? else { continue };
        let Incoming { request_id, request } = inbound::parse(&text);
        let refusal = match request {
            Ok(Request::Auth(token)) => match door.auth.verify(&token) {
                Ok(caller) => return Ok(Login::Message(caller, request_id)),
                Err(denied) => {
                    let refusal = Refusal::new("unauthorized", denied.to_string());
                    say(socket, &door.hub, answers::error(&refusal, request_id.as_deref())).await?;
                    return Err(Close::NOT_LOGGED_IN);
                }
            },
            Ok(_) => Refusal::new("unauthorized", "log in first: {\"type\":\"auth\",\"data\":{\"token\":\"…\"}}"),
            Err(refusal) => refusal,
        };
        say(socket, &door.hub, answers::error(&refusal, request_id.as_deref())).await?;
    }
    Err(Close::NOT_LOGGED_IN)
}

async fn say(socket: &mut WebSocket, hub: &Hub, frame: Frame) -> Result<(), Close> {
    let sent = timeout(hub.pace().write, socket.send(Message::Text(frame.text))).await;
    sent.map_err(|_| Close::SLOW)?.map_err(|_| Close::BY_CLIENT)
}

/// The text of a message; `None` for pings and pongs.
pub fn text_of(received: Option<Result<Message, axum::Error>>) -> Result<Option<Utf8Bytes>, Close> {
    match received {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Binary(_))) => Err(Close::BINARY),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) | None => Err(Close::BY_CLIENT),
        Some(Err(error)) => Err(Close::of_read_error(&error)),
    }
}

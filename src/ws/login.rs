//! Login by the first message, for clients that cannot set headers.

use super::{
    WsContext,
    close::Close,
    hub::Hub,
    limits::STRIKES_BEFORE_LOGIN_MAX,
    outbox::Frame,
    replies,
    requests::{self, Incoming, Refusal, Request},
};
use crate::auth::Caller;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use tokio::time::{Instant, timeout, timeout_at};

/// A logged-in caller.
pub enum Login {
    /// Logged in by a header of the handshake: gets no `auth_ok`.
    Header(Caller),
    /// Logged in by the first message, with its `requestId`.
    Message(Caller, Option<String>),
}

/// Waits for `auth`; answers anything else with an error.
pub async fn log_in(socket: &mut WebSocket, context: &WsContext) -> Result<Login, Close> {
    let deadline = Instant::now() + context.hub.timing().login;
    for _ in 0..STRIKES_BEFORE_LOGIN_MAX {
        let received = tokio::select! {
            received = timeout_at(deadline, socket.recv()) => received.map_err(|_| Close::LOGIN_TIMEOUT)?,
            () = context.hub.stop().cancelled() => return Err(Close::GOING_AWAY),
        };
        let Some(text) = text_of(received)? else { continue };
        let Incoming { request_id, request } = requests::parse(&text);
        let refusal = match request {
            Ok(Request::Auth(token)) => match context.auth.verify(&token) {
                Ok(caller) => return Ok(Login::Message(caller, request_id)),
                Err(denied) => {
                    let refusal = Refusal::new("unauthorized", denied.to_string());
                    send(socket, &context.hub, replies::error(&refusal, request_id.as_deref())).await?;
                    return Err(Close::NOT_LOGGED_IN);
                }
            },
            Ok(_) => Refusal::new("unauthorized", "log in first: {\"type\":\"auth\",\"data\":{\"token\":\"…\"}}"),
            Err(refusal) => refusal,
        };
        send(socket, &context.hub, replies::error(&refusal, request_id.as_deref())).await?;
    }
    Err(Close::NOT_LOGGED_IN)
}

/// Answers a client that put its token into the URL. Waiting for its login would only hide the mistake.
pub async fn refuse_url_token(socket: &mut WebSocket, context: &WsContext) -> Close {
    let message = "a token in the URL is not read, because URLs are logged: send the header `Authorization: Bearer …` with the \
                   handshake, or {\"type\":\"auth\",\"data\":{\"token\":\"…\"}} as the first message";
    match send(socket, &context.hub, replies::error(&Refusal::new("unauthorized", message), None)).await {
        Ok(()) => Close::TOKEN_IN_URL,
        Err(close) => close,
    }
}

async fn send(socket: &mut WebSocket, hub: &Hub, frame: Frame) -> Result<(), Close> {
    let sent = timeout(hub.timing().write, socket.send(Message::Text(frame.text))).await;
    sent.map_err(|_| Close::SLOW)?.map_err(|_| Close::BY_CLIENT)
}

/// Returns the text of a message; `None` for pings and pongs.
pub fn text_of(received: Option<Result<Message, axum::Error>>) -> Result<Option<Utf8Bytes>, Close> {
    match received {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Binary(_))) => Err(Close::BINARY),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) | None => Err(Close::BY_CLIENT),
        Some(Err(error)) => Err(Close::of_read_error(&error)),
    }
}

//! A WebSocket connection, from login to loss. [`super::event_stream`] reconnects.

use super::{common_args::not_logged_in, rest::Api};
use crate::cli::error::Error;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, header},
    },
};

/// Time limit for opening the connection and for each write.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Silence after which the connection counts as lost. The server pings every 20 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Maximum task ids in one `subscribe` message.
const IDS_MAX: usize = 500;
/// Close code for a token that is invalid or has expired.
const NOT_LOGGED_IN: u16 = 4401;

/// An open connection with a login.
pub(crate) struct Socket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    base: String,
    /// Time of the last frame, so that dropping [`Socket::next`] does not restart the wait for the next one.
    received_at: Instant,
}

/// Reason that a connection failed.
pub(crate) enum SocketError {
    /// The connection was lost, for this reason. Reconnecting may help.
    Lost(String),
    /// Reconnecting would not help.
    Final(Error),
}

/// A message from the server: its type, its data, and the text as received.
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) data: Value,
    pub(crate) raw: String,
    /// Server time, Unix ms.
    pub(crate) timestamp: u64,
    /// Whether it is the reply to a request.
    pub(crate) is_reply: bool,
}

impl Socket {
    /// Connects, sending the token in a header.
    pub(crate) async fn connect(api: &Api) -> Result<Self, SocketError> {
        let token = api.token().ok_or_else(|| SocketError::Final(not_logged_in(api.base())))?;
        let url = format!("{}/ws", api.base().replacen("http", "ws", 1));
        let unusable = |_| SocketError::Final(Error::Usage("the address or the token is not valid".to_owned()));
        let mut request = url.into_client_request().map_err(unusable)?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| SocketError::Final(Error::Usage("the token contains invalid characters".to_owned())))?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        let opened = timeout(WAIT_MAX, Box::pin(connect_async(request))).await;
        match opened.map_err(|_| SocketError::Lost("connect timed out".to_owned()))? {
            Ok((socket, _)) => Ok(Self { socket, base: api.base().to_owned(), received_at: Instant::now() }),
            Err(tungstenite::Error::Http(response)) if response.status() == 401 => {
                Err(SocketError::Final(not_logged_in(api.base())))
            }
            Err(error) => Err(SocketError::Lost(error.to_string())),
        }
    }

    /// Subscribes to the endings and progress of tasks; the reply is a snapshot of each.
    pub(crate) async fn subscribe(&mut self, ids: &[String]) -> Result<(), SocketError> {
        for ids in ids.chunks(IDS_MAX) {
            self.send(&json!({"type": "subscribe", "data": {"taskIds": ids}})).await?;
        }
        Ok(())
    }

    /// Subscribes to everything, including the endings after the cursor `since`.
    pub(crate) async fn subscribe_all(&mut self, since: &str) -> Result<(), SocketError> {
        self.send(&json!({"type": "subscribe", "data": {"all": true, "since": since}, "requestId": "since"})).await
    }

    async fn send(&mut self, message: &Value) -> Result<(), SocketError> {
        match timeout(WAIT_MAX, self.socket.send(Message::text(message.to_string()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SocketError::Lost(error.to_string())),
            Err(_) => Err(SocketError::Lost("write timed out".to_owned())),
        }
    }

    /// Waits for the next message. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Event, SocketError> {
        loop {
            let frame = timeout_at(self.received_at + SILENCE_MAX, self.socket.next()).await;
            let frame = frame.map_err(|_| SocketError::Lost("no ping from the server".to_owned()))?;
            self.received_at = Instant::now();
            match frame {
                Some(Ok(Message::Text(text))) => {
                    if let Some(message) = read(&text) {
                        return Ok(message);
                    }
                }
                Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == NOT_LOGGED_IN => {
                    return Err(SocketError::Final(not_logged_in(&self.base)));
                }
                Some(Ok(Message::Close(_))) | None => return Err(SocketError::Lost("closed".to_owned())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(SocketError::Lost(error.to_string())),
            }
        }
    }
}

fn read(text: &str) -> Option<Event> {
    let message: Value = serde_json::from_str(text).ok()?;
    let kind = message["type"].as_str()?.to_owned();
    let data = message.get("data").cloned().unwrap_or_default();
    let timestamp = message["timestamp"].as_u64().unwrap_or(0);
    let is_reply = message["requestId"].is_string();
    Some(Event { kind, data, raw: text.to_owned(), timestamp, is_reply })
}

#[cfg(test)]
mod tests {
    use super::{SILENCE_MAX, Socket, SocketError};
    use crate::{cli::client::rest::Api, settings::Secret};
    use std::time::Duration;
    use tokio::time::{Instant, sleep, timeout};

    #[tokio::test]
    async fn a_silent_server_is_noticed_although_the_wait_is_dropped_again_and_again() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let api = Api::new(&base, Some(Secret::new("t")), Duration::ZERO).unwrap();
        let accept = async { tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap() };
        let (socket, _silent) = tokio::join!(Socket::connect(&api), accept);
        let Ok(mut socket) = socket else { panic!("no connection") };
        socket.received_at = Instant::now() - SILENCE_MAX + Duration::from_millis(300);
        let lost = async {
            loop {
                tokio::select! {
                    event = socket.next() => return event.err().unwrap(),
                    () = sleep(Duration::from_millis(100)) => {}
                }
            }
        };
        let lost = timeout(Duration::from_secs(10), lost).await.expect("the silence ends the wait");
        assert!(matches!(lost, SocketError::Lost(why) if why.contains("no ping")));
    }
}

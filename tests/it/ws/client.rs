//! WebSocket client of the tests: sends JSON and waits for expected messages.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::Response},
};

/// The longest a test waits for one message.
pub const WAIT_MAX: Duration = Duration::from_secs(15);

pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    /// Connects with extra headers.
    pub async fn connect(
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Response<Option<Vec<u8>>>> {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        match timeout(WAIT_MAX, connect_async(request)).await.unwrap() {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(Error::Http(response)) => Err(*response),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects to a server that may be unreachable.
    pub async fn try_connect(address: SocketAddr, token: &str) -> Option<Self> {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        request.headers_mut().append("authorization", format!("Bearer {token}").parse().unwrap());
        let (socket, _) = timeout(WAIT_MAX, connect_async(request)).await.ok()?.ok()?;
        Some(Self { socket })
    }

    /// Connects with a receive buffer so small that the server soon notices a client that does not read.
    pub async fn connect_narrow(address: SocketAddr, token: &str) -> Self {
        let stream = tokio::net::TcpSocket::new_v4().unwrap();
        stream.set_recv_buffer_size(4 * 1024).unwrap();
        let stream = MaybeTlsStream::Plain(stream.connect(address).await.unwrap());
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        request.headers_mut().append("authorization", format!("Bearer {token}").parse().unwrap());
        Self { socket: client_async(request, stream).await.unwrap().0 }
    }

    pub async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    /// Sends a message. A closed connection is no failure here: the test asserts what the server sent.
    pub async fn send_raw(&mut self, message: Message) {
        match self.socket.send(message).await {
            Ok(()) | Err(Error::AlreadyClosed | Error::ConnectionClosed | Error::Io(_) | Error::Protocol(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns the next message, or the close code as an error (1006 = closed without one).
    pub async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let received = timeout(WAIT_MAX, self.socket.next()).await.expect("a message within the time limit");
            match received {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    assert!(message["type"].is_string() && message["timestamp"].is_u64() && !message["data"].is_null());
                    return Ok(message);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(Some(close)))) => return Err(close.code.into()),
                Some(Ok(Message::Close(None))) => return Err(1005),
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Returns the next message for which `is_it` returns true, skipping others.
    pub async fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                let message = self.next().await.unwrap_or_else(|code| panic!("closed with {code} before {what}"));
                if is_it(&message) {
                    return message;
                }
            }
        };
        timeout(WAIT_MAX, wait).await.unwrap_or_else(|_| panic!("timed out waiting for {what}"))
    }

    pub async fn until_type(&mut self, kind: &str) -> Value {
        self.until(kind, |message| message["type"] == kind).await
    }

    /// Returns the ending of a task, skipping other messages.
    pub async fn until_ended(&mut self, id: impl ToString) -> Value {
        let id = id.to_string();
        self.until(&format!("the ending of {id}"), |message| {
            let kind = message["type"].as_str().unwrap();
            matches!(kind, "task_completed" | "task_failed") && message["data"]["taskId"] == id
        })
        .await
    }

    /// Returns the close code of the server, skipping messages.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    /// Sends a request and waits for the reply with the same `requestId`.
    pub async fn ask(&mut self, kind: &str, data: Value) -> Value {
        let request_id = uuid::Uuid::new_v4().to_string();
        self.send(serde_json::json!({"type": kind, "timestamp": 1, "data": data, "requestId": request_id})).await;
        self.until(kind, |message| message["requestId"] == request_id.as_str()).await
    }
}

/// Performs a handshake by hand; `headers` holds whole lines.
pub async fn upgraded(address: SocketAddr, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(!answer.to_lowercase().contains("sec-websocket-protocol"), "{answer}");
    stream
}

/// Reads server frames until a close frame; `None` = the connection ended without one.
pub async fn raw_close_code(stream: &mut TcpStream) -> Option<u16> {
    let read = async {
        loop {
            let opcode = stream.read_u8().await.ok()? & 0x0f;
            let mut length = u64::from(stream.read_u8().await.ok()?);
            if length == 126 {
                length = u64::from(stream.read_u16().await.ok()?);
            }
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut payload).await.ok()?;
            if opcode == 8 {
                return Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
        }
    };
    timeout(WAIT_MAX, read).await.unwrap()
}

//! The WebSocket of an instance. A task of its own always drains it, because one stalled reader blocks the messages of
//! the whole instance (protocol §5).

pub(super) mod event;
pub(super) mod event_queue;
pub(super) mod node_weights;
pub(super) mod picture;
pub(super) mod preview;
pub(super) mod progress;
pub(super) mod text_frame;

use super::{Client, Error, Preview, PromptEvent, limits, off_runtime};
use crate::{
    fleet::is_allowed_address,
    net::{self, BYTES_PER_POLL, GuardedStream},
};
use event_queue::EventQueue;
use futures_util::{SinkExt, StreamExt};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, interval_at, sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

/// Must be the first frame; otherwise previews come without their prompt id (protocol §5).
const FEATURE_FLAGS: &str = r#"{"type":"feature_flags","data":{"supports_preview_metadata":true}}"#;
/// Write buffer, bytes. The frames that we send are small.
const WRITE_BUFFER_BYTES_MAX: usize = 1 << 20;

/// An open WebSocket. Dropping it closes it.
#[derive(Debug)]
pub struct Socket {
    events: Arc<EventQueue>,
    previews: watch::Receiver<Option<Preview>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// Interval of pings, and the silence after which the socket counts as dead.
#[derive(Debug, Clone, Copy)]
struct KeepAlive {
    ping_every: Duration,
    silence_max: Duration,
}

impl Client {
    /// Opens the WebSocket with `client_id`, within `timeout`. A task drains the returned socket into a bounded queue;
    /// a full queue drops progress, but no start or end of a prompt.
    ///
    /// # Errors
    /// The instance does not answer, or does not speak WebSocket.
    pub async fn connect(&self, client_id: &str, timeout: Duration) -> Result<Socket, Error> {
        let connecting = Box::pin(self.open(client_id));
        let stream = tokio::time::timeout(timeout, connecting)
            .await
            .map_err(|_| Error::unreachable(format!("WebSocket did not open within {timeout:?}")))??;
        Ok(Socket::spawn(stream, KeepAlive { ping_every: limits::PING_EVERY, silence_max: limits::SILENCE_MAX }))
    }

    async fn open(&self, client_id: &str) -> Result<WebSocketStream<MaybeTlsStream<GuardedStream<TcpStream>>>, Error> {
        let base = self.http.base();
        if base.starts_with("https:") {
            install_tls();
        }
        let unusable = |_: url::ParseError| Error::Refused("unusable URL".to_owned());
        let mut url = url::Url::parse(&format!("{}/ws", base.replacen("http", "ws", 1))).map_err(unusable)?;
        url.query_pairs_mut().append_pair("clientId", client_id);
        let mut request = url.as_str().into_client_request().map_err(socket_error)?;
        request.headers_mut().extend(self.http.headers.clone());
        let config = WebSocketConfig::default()
            .max_message_size(Some(limits::FRAME_BYTES_MAX))
            .max_frame_size(Some(limits::FRAME_BYTES_MAX))
            .read_buffer_size(BYTES_PER_POLL)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX);
        let tcp =
            open_tcp(&url).await.map_err(|error| Error::unreachable(format!("cannot open WebSocket: {error}")))?;
        let (mut stream, _) = client_async_tls_with_config(request, GuardedStream::new(tcp), Some(config), None)
            .await
            .map_err(socket_error)?;
        stream.send(Message::text(FEATURE_FLAGS)).await.map_err(socket_error)?;
        Ok(stream)
    }
}

/// Connects to the first allowed address that accepts.
async fn open_tcp(url: &url::Url) -> std::io::Result<TcpStream> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let addresses = net::resolve(host, url.port_or_known_default().unwrap_or(80), is_allowed_address).await?;
    let tcp = TcpStream::connect(addresses.as_slice()).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

impl Socket {
    /// Returns the next event; `None` once the socket has closed or was silent for 20 s (not even a pong). Cancel safe.
    pub async fn next(&mut self) -> Option<PromptEvent> {
        self.events.next().await
    }

    /// Returns a receiver of the latest preview picture. Older ones are dropped.
    pub fn previews(&self) -> watch::Receiver<Option<Preview>> {
        self.previews.clone()
    }

    /// Closes the socket with the closing handshake, after which a new one with the same client id is safe (protocol
    /// §5).
    pub async fn close(mut self) {
        if let Some(stop) = self.stop.take()
            && stop.send(()).is_ok()
            && timeout(2 * limits::CLOSE_WAIT, &mut self.task).await.is_err()
        {
            tracing::debug!("websocket did not close in time");
        }
    }

    fn spawn<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        stream: WebSocketStream<S>,
        keep_alive: KeepAlive,
    ) -> Self {
        let events = Arc::new(EventQueue::default());
        let (stop, stopped) = oneshot::channel();
        let (latest, previews) = watch::channel(None);
        let task = tokio::spawn(drain(stream, Arc::clone(&events), latest, stopped, keep_alive));
        Self { events, previews, stop: Some(stop), task }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads until the peer closes or falls silent, or `stopped` fires.
async fn drain<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: WebSocketStream<S>,
    events: Arc<EventQueue>,
    latest: watch::Sender<Option<Preview>>,
    mut stopped: oneshot::Receiver<()>,
    keep_alive: KeepAlive,
) {
    let mut reader = text_frame::Reader::default();
    let mut pings = interval_at(Instant::now() + keep_alive.ping_every, keep_alive.ping_every);
    let mut last_message = Instant::now();
    loop {
        // Small messages in the buffer need no read, which would let other tasks run.
        tokio::task::coop::consume_budget().await;
        tokio::select! {
            message = stream.next() => {
                let Some(Ok(message)) = message else { break };
                last_message = Instant::now();
                match message {
                    Message::Text(frame) => {
                        let read = off_runtime::parse(frame.len(), move || (reader.read(&frame), reader));
                        let Some((event, same_reader)) = read.await else { break };
                        reader = same_reader;
                        if let Some(event) = event {
                            events.push(event);
                        }
                    }
                    Message::Binary(frame) => {
                        if let Some(preview) = preview::read(&frame) {
                            latest.send_replace(Some(preview));
                        }
                        if let Some(event) = preview::result(&frame, reader.executing()) {
                            events.push(event);
                        }
                    }
                    Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
                }
            }
            _ = pings.tick() => {
                let ping = stream.send(Message::Ping(bytes::Bytes::new()));
                if !matches!(timeout(limits::CLOSE_WAIT, ping).await, Ok(Ok(()))) {
                    break;
                }
            }
            () = sleep_until(last_message + keep_alive.silence_max) => break,
            _ = &mut stopped => {
                close_handshake(&mut stream).await;
                break;
            }
        }
    }
    events.close();
}

/// Sends the close frame and waits for the peer's.
async fn close_handshake<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut WebSocketStream<S>) {
    let handshake = async {
        if stream.close(None).await.is_ok() {
            while let Some(Ok(_)) = stream.next().await {}
        }
    };
    if timeout(limits::CLOSE_WAIT, handshake).await.is_err() {
        tracing::debug!("websocket peer sent no close frame in time");
    }
}

/// Installs the process-wide TLS provider, without which tungstenite panics.
fn install_tls() {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::trace!("TLS provider already installed");
    }
}

fn socket_error(error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Io(error) => Error::unreachable(format!("WebSocket: {error}")),
        tungstenite::Error::Tls(error) => Error::unreachable(format!("WebSocket: {error}")),
        tungstenite::Error::Http(response) => Error::Broken(format!("answered {} to a WebSocket", response.status())),
        tungstenite::Error::Url(_) | tungstenite::Error::HttpFormat(_) => Error::Refused("unusable URL".to_owned()),
        other => Error::Broken(format!("WebSocket: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{KeepAlive, Socket};
    use crate::{comfy::PromptEvent, net::GuardedStream};
    use futures_util::{SinkExt, StreamExt};
    use std::{
        io::Write as _,
        time::{Duration, Instant},
    };
    use tokio_tungstenite::{
        WebSocketStream,
        tungstenite::{Message, protocol::Role},
    };
    use uuid::Uuid;

    const KEEP_ALIVE: KeepAlive =
        KeepAlive { ping_every: Duration::from_millis(50), silence_max: Duration::from_millis(200) };

    /// The peer stays connected but sends no pong, as a suspended machine does.
    #[tokio::test]
    async fn a_silent_socket_is_closed() {
        let (ours, theirs) = tokio::io::duplex(65_536);
        let mut socket = Socket::spawn(WebSocketStream::from_raw_socket(ours, Role::Client, None).await, KEEP_ALIVE);
        let started = Instant::now();
        assert_eq!(socket.next().await, None);
        assert!(started.elapsed() >= KEEP_ALIVE.silence_max && started.elapsed() < KEEP_ALIVE.silence_max * 10);
        drop(theirs);
    }

    /// Frames that make no message, or small ones, without end.
    #[tokio::test]
    async fn frames_without_end_let_other_tasks_run() {
        for (shape, begin, rest) in [
            ("empty continuations", &b"\x01\x01{"[..], &b"\0\0"[..]),
            ("empty texts", b"", b"\x81\0"),
            ("pings", b"", b"\x89\0"),
            ("pongs", b"", b"\x8a\0"),
        ] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let peer = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                // Its answers are never read: a peer that pings need not take pongs.
                let mut sent = stream.write_all(begin);
                let rest = rest.repeat(50_000);
                while sent.is_ok() {
                    sent = stream.write_all(&rest);
                }
            });
            let ours = GuardedStream::new(tokio::net::TcpStream::connect(address).await.unwrap());
            let socket = Socket::spawn(WebSocketStream::from_raw_socket(ours, Role::Client, None).await, KEEP_ALIVE);
            let begun = Instant::now();
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(begun.elapsed() < Duration::from_secs(5), "{shape}: {:?}", begun.elapsed());
            drop(socket);
            tokio::task::spawn_blocking(move || peer.join().unwrap()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn pongs_keep_a_socket_open() {
        let (ours, theirs) = tokio::io::duplex(65_536);
        let mut socket = Socket::spawn(WebSocketStream::from_raw_socket(ours, Role::Client, None).await, KEEP_ALIVE);
        let mut peer = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        let prompt = Uuid::from_u128(5);
        let peer = tokio::spawn(async move {
            let mut pings = 0;
            while let Some(Ok(message)) = peer.next().await {
                let is_ping = matches!(message, Message::Ping(_));
                pings += usize::from(is_ping);
                if is_ping && pings == 10 {
                    let frame = format!(r#"{{"type":"execution_start","data":{{"prompt_id":"{prompt}"}}}}"#);
                    peer.send(Message::text(frame)).await.unwrap();
                }
            }
        });
        // Ten ping intervals exceed the allowed silence.
        assert_eq!(socket.next().await, Some(PromptEvent::Started(prompt)));
        socket.close().await;
        peer.await.unwrap();
    }
}

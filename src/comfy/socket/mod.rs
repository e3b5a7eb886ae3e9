//! The WebSocket of an instance: drained always, by a task of its own, because one reader that stalls stops all messages of
//! the instance (protocol §5).

pub(super) mod event;
pub(super) mod event_queue;
pub(super) mod frame;
pub(super) mod preview;
pub(super) mod progress;

use super::{Client, Error, Preview, Sign, dns_guard, limits};
use event_queue::Mailbox;
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

/// Must be the first frame, or previews come without the name of their prompt (protocol §5).
const FEATURE_FLAGS: &str = r#"{"type":"feature_flags","data":{"supports_preview_metadata":true}}"#;
/// Our own frames are small.
const WRITE_BUFFER_BYTES_MAX: usize = 1 << 20;

/// An open WebSocket. Dropping it closes it.
#[derive(Debug)]
pub struct Socket {
    mailbox: Arc<Mailbox>,
    previews: watch::Receiver<Option<Preview>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// When to ping and when to give up.
#[derive(Debug, Clone, Copy)]
struct Pace {
    ping_every: Duration,
    silence_max: Duration,
}

impl Client {
    /// Opens the WebSocket with `client_id`, within `timeout`. The returned socket is drained by a task of its own into a
    /// bounded channel; a full channel drops progress, never endings.
    ///
    /// # Errors
    /// It does not answer, or does not speak WebSocket.
    pub async fn connect(&self, client_id: &str, timeout: Duration) -> Result<Socket, Error> {
        let connecting = Box::pin(self.open(client_id));
        let stream = tokio::time::timeout(timeout, connecting)
            .await
            .map_err(|_| Error::Unreachable(format!("no WebSocket within {timeout:?}")))??;
        Ok(Socket::spawn(stream, Pace { ping_every: limits::PING_EVERY, silence_max: limits::SILENCE_MAX }))
    }

    async fn open(&self, client_id: &str) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, Error> {
        let base = self.http.base();
        if base.starts_with("https:") {
            install_tls();
        }
        let unusable = |_: url::ParseError| Error::Refused("the URL cannot be used".to_owned());
        let mut url = url::Url::parse(&format!("{}/ws", base.replacen("http", "ws", 1))).map_err(unusable)?;
        url.query_pairs_mut().append_pair("clientId", client_id);
        let mut request = url.as_str().into_client_request().map_err(why)?;
        request.headers_mut().extend(self.http.headers.clone());
        let config = WebSocketConfig::default()
            .max_message_size(Some(limits::FRAME_BYTES_MAX))
            .max_frame_size(Some(limits::FRAME_BYTES_MAX))
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX);
        let tcp = open_tcp(&url).await.map_err(|error| Error::Unreachable(format!("no WebSocket: {error}")))?;
        let (mut stream, _) = client_async_tls_with_config(request, tcp, Some(config), None).await.map_err(why)?;
        stream.send(Message::text(FEATURE_FLAGS)).await.map_err(why)?;
        Ok(stream)
    }
}

/// Connects to the first allowed address that answers.
async fn open_tcp(url: &url::Url) -> std::io::Result<TcpStream> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let addresses = dns_guard::allowed(host, url.port_or_known_default().unwrap_or(80)).await?;
    let tcp = TcpStream::connect(addresses.as_slice()).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

impl Socket {
    /// The next sign; `None` when the socket has closed or fell silent (no pong for 20 s). May be dropped while it waits.
    pub async fn next(&mut self) -> Option<Sign> {
        self.mailbox.next().await
    }

    /// The latest picture of a prompt that runs; older ones are dropped.
    pub fn previews(&self) -> watch::Receiver<Option<Preview>> {
        self.previews.clone()
    }

    /// Closes it fully, so that a new one with the same client id is safe (protocol §5).
    pub async fn close(mut self) {
        if let Some(stop) = self.stop.take()
            && stop.send(()).is_ok()
            && timeout(2 * limits::CLOSE_WAIT, &mut self.task).await.is_err()
        {
            tracing::debug!("a WebSocket did not close in time");
        }
    }

    fn spawn<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: WebSocketStream<S>, pace: Pace) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        let (stop, stopped) = oneshot::channel();
        let (latest, previews) = watch::channel(None);
        let task = tokio::spawn(drain(stream, Arc::clone(&mailbox), latest, stopped, pace));
        Self { mailbox, previews, stop: Some(stop), task }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads until the other side ends, falls silent, or `stopped` fires.
async fn drain<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: WebSocketStream<S>,
    mailbox: Arc<Mailbox>,
    latest: watch::Sender<Option<Preview>>,
    mut stopped: oneshot::Receiver<()>,
    pace: Pace,
) {
    let mut reader = frame::Reader::default();
    let mut pings = interval_at(Instant::now() + pace.ping_every, pace.ping_every);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            message = stream.next() => {
                let Some(Ok(message)) = message else { break };
                heard = Instant::now();
                match message {
                    Message::Text(frame) => {
                        if let Some(sign) = reader.read(&frame) {
                            mailbox.push(sign);
                        }
                    }
                    Message::Binary(frame) => {
                        if let Some(preview) = preview::read(&frame) {
                            latest.send_replace(Some(preview));
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
            () = sleep_until(heard + pace.silence_max) => break,
            _ = &mut stopped => {
                say_goodbye(&mut stream).await;
                break;
            }
        }
    }
    mailbox.close();
}

/// Sends the close frame and waits for the other side's.
async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut WebSocketStream<S>) {
    let goodbye = async {
        if stream.close(None).await.is_ok() {
            while let Some(Ok(_)) = stream.next().await {}
        }
    };
    if timeout(limits::CLOSE_WAIT, goodbye).await.is_err() {
        tracing::debug!("no goodbye from the other side of a WebSocket");
    }
}

/// tungstenite takes the process's provider and panics without one.
fn install_tls() {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::trace!("the process has its TLS provider already");
    }
}

fn why(error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Io(error) => Error::Unreachable(format!("WebSocket: {error}")),
        tungstenite::Error::Tls(error) => Error::Unreachable(format!("WebSocket: {error}")),
        tungstenite::Error::Http(response) => Error::Broken(format!("answered {} to a WebSocket", response.status())),
        tungstenite::Error::Url(_) | tungstenite::Error::HttpFormat(_) => {
            Error::Refused("the URL cannot be used".to_owned())
        }
        other => Error::Broken(format!("WebSocket: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, Socket};
    use crate::comfy::Sign;
    use futures_util::{SinkExt, StreamExt};
    use std::time::{Duration, Instant};
    use tokio_tungstenite::{
        WebSocketStream,
        tungstenite::{Message, protocol::Role},
    };
    use uuid::Uuid;

    const PACE: Pace = Pace { ping_every: Duration::from_millis(50), silence_max: Duration::from_millis(200) };

    /// A peer whose machine sleeps: connected, and no pong comes back.
    #[tokio::test]
    async fn silence_ends_a_socket() {
        let (ours, theirs) = tokio::io::duplex(65_536);
        let mut socket = Socket::spawn(WebSocketStream::from_raw_socket(ours, Role::Client, None).await, PACE);
        let started = Instant::now();
        assert_eq!(socket.next().await, None);
        assert!(started.elapsed() >= PACE.silence_max && started.elapsed() < PACE.silence_max * 10);
        drop(theirs);
    }

    #[tokio::test]
    async fn pongs_are_signs_of_life() {
        let (ours, theirs) = tokio::io::duplex(65_536);
        let mut socket = Socket::spawn(WebSocketStream::from_raw_socket(ours, Role::Client, None).await, PACE);
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
        // Ten pings take longer than the longest silence.
        assert_eq!(socket.next().await, Some(Sign::Started(prompt)));
        socket.close().await;
        peer.await.unwrap();
    }
}

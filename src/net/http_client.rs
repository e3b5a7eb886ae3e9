//! HTTP/1 client for servers that are not trusted: every address is checked, and no answer holds a thread of the
//! runtime ([`GuardedStream`]). No redirects, no proxies, no retries.

use super::{DnsGuard, guarded_stream::GuardedStream};
use hyper::Uri;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use reqwest::{
    Body, Method, RequestBuilder, Response, ResponseBuilderExt,
    header::{ACCEPT, HeaderMap, HeaderValue, USER_AGENT},
};
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};
use tokio_tungstenite::MaybeTlsStream;

/// Bytes of an answer that are buffered before they are parsed; a longer head is refused.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// A client; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    sender: legacy::Client<Connector, Body>,
    /// Sent with every request that does not set them.
    headers: HeaderMap,
}

/// Limits of the connections of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// Time limit of a connect, name resolution and TLS included.
    pub(crate) connect: Duration,
    /// Time after which an idle connection is closed.
    pub(crate) idle: Duration,
    /// Number of idle connections to one host.
    pub(crate) idle_connections: usize,
}

/// The reason for which there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The request cannot be made.
    #[error(transparent)]
    Request(#[from] reqwest::Error),
    /// The request could not be sent, or was not answered.
    #[error(transparent)]
    Exchange(#[from] legacy::Error),
    /// The answer is not HTTP.
    #[error(transparent)]
    Answer(#[from] hyper::http::Error),
}

impl HttpError {
    /// Whether no connection could be made.
    pub(crate) fn is_connect(&self) -> bool {
        matches!(self, Self::Exchange(error) if error.is_connect())
    }
}

impl HttpClient {
    /// Makes a client. `guard` checks names; the caller checks addresses that are written in a URL.
    pub(crate) fn new(guard: DnsGuard, mut headers: HeaderMap, limits: ConnectionLimits) -> Self {
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let agent = HeaderValue::from_static(concat!("shuzhiren/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(agent);
        let sender = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.idle)
            .pool_max_idle_per_host(limits.idle_connections)
            .http1_max_buf_size(BUFFER_BYTES_MAX)
            .build(Connector { guard, connect_max: limits.connect });
        Self { sender, headers }
    }

    /// Begins a request for [`HttpClient::execute`]. Its own `send` would use another client.
    pub(crate) fn request(method: Method, url: impl reqwest::IntoUrl) -> RequestBuilder {
        static BUILDER: OnceLock<reqwest::Client> = OnceLock::new();
        BUILDER.get_or_init(reqwest::Client::new).request(method, url)
    }

    /// Sends a request and returns once its answer begins. Has no time limit except for the connect.
    pub(crate) async fn execute(&self, request: RequestBuilder) -> Result<Response, HttpError> {
        let request = request.build()?;
        let url = request.url().clone();
        let mut request = hyper::Request::try_from(request)?;
        for (name, value) in &self.headers {
            request.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        let (head, body) = self.sender.request(request).await?.into_parts();
        let mut answer = hyper::Response::builder().url(url).status(head.status).body(Body::wrap(body))?;
        *answer.headers_mut() = head.headers;
        Ok(answer.into())
    }
}

/// Makes connections to addresses that the guard allows.
#[derive(Debug, Clone)]
struct Connector {
    guard: DnsGuard,
    connect_max: Duration,
}

type Connected = TokioIo<GuardedStream<MaybeTlsStream<TcpStream>>>;

impl tower::Service<Uri> for Connector {
    type Response = Connected;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Connected>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { guard, connect_max } = self.clone();
        Box::pin(async move {
            let connected = timeout(connect_max, connect(&guard, &uri)).await;
            let stream = connected.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "timed out"))??;
            Ok(TokioIo::new(GuardedStream::of_answers(stream)))
        })
    }
}

async fn connect(guard: &DnsGuard, uri: &Uri) -> io::Result<MaybeTlsStream<TcpStream>> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_name) => guard.resolve(host, port).await?,
    };
    let tcp = TcpStream::connect(addresses.as_slice()).await?;
    tcp.set_nodelay(true)?;
    if !is_tls {
        return Ok(MaybeTlsStream::Plain(tcp));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let tls = TlsConnector::from(tls_config()?).connect(name, tcp).await?;
    Ok(MaybeTlsStream::Rustls(tls))
}

/// Returns the configuration that trusts the certificates of this machine, read once.
fn tls_config() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(CONFIG.get_or_init(|| Arc::new(config)).clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::{ConnectionLimits, HttpClient};
    use crate::net::DnsGuard;
    use reqwest::{Method, header::HeaderMap};
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        sync::mpsc::{Receiver, channel},
        time::{Duration, Instant},
    };

    /// Longest time for which the runtime may not run another task, on a busy machine.
    const STALL_MAX: Duration = Duration::from_secs(3);

    /// Starts a server that answers with `begin` and then `rest` without end. Reports when its connection is closed.
    fn endless(begin: &'static str, rest: &'static str) -> (String, Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/queue", listener.local_addr().unwrap());
        let (closed, is_closed) = channel();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = stream.read(&mut [0; 4_096]).unwrap();
            assert!(request > 0);
            let rest = rest.repeat(10_000);
            let mut sent = stream.write_all(begin.as_bytes());
            while sent.is_ok() {
                sent = stream.write_all(rest.as_bytes());
            }
            closed.send(()).ok();
        });
        (url, is_closed)
    }

    /// An instance that streams `HTTP/1.1 102 Processing` stopped the dispatcher.
    #[tokio::test]
    async fn no_answer_without_end_stops_the_runtime() {
        let limits =
            ConnectionLimits { connect: Duration::from_secs(5), idle: Duration::from_secs(5), idle_connections: 1 };
        let client = HttpClient::new(DnsGuard::new(|_, _| true), HeaderMap::new(), limits);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (shape, begin, rest, has_head) in [
            ("interim heads", "", "HTTP/1.1 102 Processing\r\n\r\n", false),
            ("interim heads with headers", "", "HTTP/1.1 103 Early Hints\r\nLink: a\r\nB: c\r\n\r\n", false),
            ("empty lines", "", "\r\n", false),
            ("no line end", "HTTP/1.1 200 ", "OK", false),
            ("headers", "HTTP/1.1 200 OK\r\n", "A: b\r\n", false),
            ("chunks of a byte", chunked, "1\r\n \r\n", true),
            ("a chunk size", chunked, "0", true),
            ("chunk extensions", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1", ";a=b", true),
            ("trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n", true),
            ("a body", "HTTP/1.1 200 OK\r\n\r\n", " ", true),
        ] {
            let (url, is_closed) = endless(begin, rest);
            let asking = async {
                let answer = client.execute(HttpClient::request(Method::GET, url)).await;
                let answer = answer.map_err(|error| error.to_string());
                assert_eq!(answer.is_ok(), has_head, "{shape}: {answer:?}");
                if let Ok(mut answer) = answer {
                    while let Ok(Some(_)) = answer.chunk().await {}
                }
            };
            let begun = Instant::now();
            // A head must end by itself; a body is the caller's to limit.
            let asked = tokio::time::timeout(Duration::from_millis(200), asking).await;
            assert!(begun.elapsed() < STALL_MAX, "{shape}: {:?}", begun.elapsed());
            assert!(has_head || asked.is_ok(), "{shape}: still read");
            let closing = tokio::task::spawn_blocking(move || is_closed.recv_timeout(Duration::from_secs(10)));
            assert!(closing.await.unwrap().is_ok(), "{shape}: the connection is still open");
        }
    }
}

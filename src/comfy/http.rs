//! Sends a request and reads a bounded reply. Never retries, follows no redirect, uses no proxy, sends no `Origin`
//! (protocol §14).

use super::{Error, NoAnswer, limits, off_runtime, python_json};
use crate::{
    fleet::{Target, is_allowed_address},
    metrics,
    net::{ConnectionLimits, DnsGuard, HttpClient, HttpError},
};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// Configured headers that are ignored because they would change the meaning of a request. `Origin` makes ComfyUI
/// answer 403.
const NEVER_SENT: [&str; 9] = [
    "origin",
    "host",
    "connection",
    "upgrade",
    "content-length",
    "content-type",
    "transfer-encoding",
    "accept-encoding",
    "expect",
];

/// Room for the chunk with which a reply becomes too long, bytes.
const LAST_CHUNK_BYTES: usize = 1 << 20;

/// HTTP client of one instance.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: HttpClient,
    base: Arc<str>,
    /// Configured headers of the target, also sent with the WebSocket upgrade.
    pub(super) headers: HeaderMap,
    /// Time limit of a request, or of each read of a stream.
    pub(super) timeout: Duration,
    /// Held by the one large reply that may be in memory.
    large: Arc<Semaphore>,
}

/// Status and complete body of a response.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    body: Vec<u8>,
    /// Held while a large body is in memory.
    _large: Option<OwnedSemaphorePermit>,
}

impl Http {
    pub(super) fn new(target: &Target, timeout: Duration) -> Result<Self, Error> {
        let headers = headers(target)?;
        let base = url::Url::parse(&target.base_url).map_err(|_| Error::Refused("unusable URL".to_owned()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(Error::Refused("the URL is not http or https".to_owned()));
        }
        // No resolver sees an address that is written as such, e.g. in a config of an older version.
        let literal = match base.host() {
            Some(url::Host::Ipv4(address)) => Some(address.into()),
            Some(url::Host::Ipv6(address)) => Some(address.into()),
            Some(url::Host::Domain(_)) | None => None,
        };
        if literal.is_some_and(|address| !is_allowed_address(address)) {
            return Err(Error::Refused("the address is not allowed".to_owned()));
        }
        let guard = DnsGuard::new(|_host, address| is_allowed_address(address));
        let limits = ConnectionLimits {
            connect: timeout.min(limits::CONNECT_MAX),
            idle: limits::IDLE_MAX,
            idle_connections: limits::IDLE_CONNECTIONS_MAX,
        };
        let client = HttpClient::new(guard, headers.clone(), limits);
        let base = target.base_url.trim_end_matches('/').into();
        Ok(Self { client, base, headers, timeout, large: Arc::new(Semaphore::new(1)) })
    }

    /// Returns a copy with another timeout.
    pub(super) fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// Returns `http…://host:port/base` without a trailing slash.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        HttpClient::request(Method::GET, format!("{}{path}", self.base))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        HttpClient::request(Method::POST, format!("{}{path}", self.base))
    }

    pub(super) fn post_json(&self, path: &str, json: String) -> RequestBuilder {
        self.post(path).header(CONTENT_TYPE, "application/json").body(json)
    }

    /// Sends a request and reads a reply of at most `bytes_max`, all within the timeout. The wait for another large
    /// reply does not count.
    pub(super) async fn send(&self, request: RequestBuilder, bytes_max: usize) -> Result<Reply, Error> {
        self.send_long(request, bytes_max).await.map_err(|error| match error {
            Error::TooLong(reason) => Error::Broken(reason),
            other => other,
        })
    }

    /// Like [`Http::send`], with an error of its own for a reply that is too long.
    pub(super) async fn send_long(&self, request: RequestBuilder, bytes_max: usize) -> Result<Reply, Error> {
        let (client, request) = request.build_split();
        let request = request.map_err(unreachable)?;
        let (operation, started) = (self.operation(request.url().path()), Instant::now());
        let request = RequestBuilder::from_parts(client, request);
        let answered = timeout_at(started + self.timeout, self.client.execute(request)).await;
        let reply = match answered.map_err(|_| self.no_answer()) {
            Ok(Ok(response)) => self.read(response, bytes_max, started + self.timeout).await,
            Ok(Err(error)) => Err(not_answered(error)),
            Err(error) => Err(error),
        };
        let is_ok = reply.as_ref().is_ok_and(|reply| !reply.status.is_server_error());
        metrics::comfy_request(operation, is_ok, started.elapsed());
        reply
    }

    /// Sends a request and returns once its reply begins.
    pub(super) async fn begin(&self, request: RequestBuilder) -> Result<Response, Error> {
        self.client.execute(request).await.map_err(not_answered)
    }

    /// Reads a reply of at most `bytes_max`. Of the body of an error only the start is read.
    ///
    /// # Errors
    /// [`Error::TooLong`], or no answer by `deadline`.
    pub(super) async fn read(
        &self,
        mut response: Response,
        bytes_max: usize,
        mut deadline: Instant,
    ) -> Result<Reply, Error> {
        let status = response.status();
        let is_used = status.is_success() || status == StatusCode::BAD_REQUEST;
        let bytes_max = if is_used { bytes_max } else { bytes_max.min(limits::ERROR_BYTES_MAX) };
        let announced = response.content_length().unwrap_or(0);
        let (mut body, mut large) = (Vec::new(), None);
        loop {
            if body.len() as u64 > bytes_max as u64 || announced > bytes_max as u64 {
                if is_used {
                    return Err(Error::TooLong(format!("answered {status} with more than {bytes_max} bytes")));
                }
                return Ok(Reply { status, body: Vec::new(), _large: None });
            }
            let is_large = body.len() > limits::LARGE_BYTES || announced > limits::LARGE_BYTES as u64;
            if is_large && large.is_none() {
                let waiting = Instant::now();
                large = self.large.clone().acquire_owned().await.ok();
                deadline += waiting.elapsed();
                // At once, because growing would need twice the memory; untouched pages need none.
                let expected = if announced > 0 { announced } else { (bytes_max + LAST_CHUNK_BYTES) as u64 };
                body.reserve_exact(usize::try_from(expected).unwrap_or(bytes_max).saturating_sub(body.len()));
            }
            let chunk = timeout_at(deadline, response.chunk()).await.map_err(|_| self.no_answer())?;
            match chunk.map_err(unreachable)? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(Reply { status, body, _large: large }),
            }
        }
    }

    fn no_answer(&self) -> Error {
        Error::unreachable(format!("no answer within {:?}", self.timeout))
    }

    /// Returns the metrics label of a request: the first segment of its path below the base.
    fn operation(&self, path: &str) -> &'static str {
        let base = self.base.splitn(4, '/').nth(3).unwrap_or_default();
        let below = path.trim_start_matches('/').strip_prefix(base).unwrap_or(path).trim_start_matches('/');
        let below = below.strip_prefix("api/").unwrap_or(below);
        let first = below.split('/').next().unwrap_or_default();
        const OPERATIONS: [&str; 10] = [
            "prompt",
            "queue",
            "history",
            "jobs",
            "interrupt",
            "free",
            "system_stats",
            "features",
            "object_info",
            "upload",
        ];
        OPERATIONS.into_iter().find(|operation| *operation == first).unwrap_or("other")
    }

    /// Like [`Http::send`], for a route that every ComfyUI has: a 404 means that the server is not a ComfyUI.
    pub(super) async fn send_known(&self, request: RequestBuilder, bytes_max: usize) -> Result<Reply, Error> {
        self.send(request, bytes_max).await?.known()
    }
}

impl Reply {
    /// Returns the reply if it is a 2xx.
    pub(super) fn accepted(self) -> Result<Self, Error> {
        check_status(self.status)?;
        Ok(self)
    }

    /// Like [`Reply::accepted`], for a route that every ComfyUI has.
    pub(super) fn known(self) -> Result<Self, Error> {
        self.accepted().map_err(|error| match error {
            Error::NotFound => Error::Broken("answered 404 on a route that every ComfyUI has".to_owned()),
            other => other,
        })
    }

    /// Parses the body as JSON of Python, off the runtime if it is large.
    pub(super) async fn parse<T: Send + 'static>(
        self,
        parse: impl FnOnce(&str) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let parsed = off_runtime::parse(self.body.len(), move || parse(&python_json::tidy(&self.body))).await;
        parsed.ok_or_else(|| Error::Broken("the answer could not be parsed".to_owned()))
    }

    /// Returns the body as JSON text.
    pub(super) async fn into_json(self) -> Result<String, Error> {
        let parsed = off_runtime::parse(self.body.len(), move || python_json::tidy_owned(self.body)).await;
        parsed.ok_or_else(|| Error::Broken("the answer could not be parsed".to_owned()))
    }
}

/// Maps a status to an error: 404 is `NotFound`; 400, 403, 405, 413, … are `Refused` (this request is at fault); 401,
/// 407, 408, 429, 3xx and 5xx are `Broken` (the instance is at fault).
pub(super) fn check_status(status: StatusCode) -> Result<(), Error> {
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::NOT_FOUND => Err(Error::NotFound),
        StatusCode::PAYLOAD_TOO_LARGE => Err(Error::Refused("413: larger than the instance accepts".to_owned())),
        StatusCode::UNAUTHORIZED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => Err(Error::Broken(format!("answered {status}"))),
        status if status.is_client_error() => Err(Error::Refused(status.to_string())),
        status => Err(Error::Broken(format!("answered {status}"))),
    }
}

/// Wraps an error of the connection while a reply is read.
pub(super) fn unreachable(error: reqwest::Error) -> Error {
    Error::unreachable(format!("connection broke: {}", root_cause(&error)))
}

/// Wraps an error of a request, which may or may not have arrived.
fn not_answered(error: HttpError) -> Error {
    let cause = root_cause(&error);
    if !error.is_connect() {
        return Error::unreachable(format!("connection broke: {cause}"));
    }
    Error::Unreachable(NoAnswer { reason: format!("cannot connect: {cause}"), is_refused: is_refused(&error) })
}

/// Whether the connect was refused or reset: no process listens at the port. A connect that timed out, or that found
/// no route, says nothing of the process.
fn is_refused(error: &HttpError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<io::Error>()
            && matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
        {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// Returns the innermost cause. The outer ones only repeat the URL.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

fn headers(target: &Target) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &target.headers {
        let lower = name.to_ascii_lowercase();
        if NEVER_SENT.contains(&lower.as_str()) || lower.starts_with("sec-websocket") {
            continue;
        }
        let unusable = || Error::Refused(format!("unusable header {name:?}"));
        let header = HeaderName::try_from(name.as_str()).map_err(|_| unusable())?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| unusable())?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

//! REST client of all commands: envelope, errors by status, retries.
//!
//! A 429 or 503 is retried after `Retry-After`. A request that got no answer is retried only if it cannot take effect twice
//! ([`Repeat`]). A server that has answered once in this process is waited for; one that never answered is an error at once.

use super::{
    connection::is_loopback,
    envelope::{Answer, Refusal},
    error::Fault,
};
use crate::{cli::term::output, settings::Secret};
use reqwest::{Client, Method, RequestBuilder, Response, header, redirect::Policy};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit of a request that carries no file.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Time limit of each read of a download.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// TCP keep-alive interval: detects a dead connection during an upload, which has no time limit.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// First pause before a retry when the server names none; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Redirects followed by a download: a store may redirect to its bucket.
const REDIRECTS_MAX: usize = 5;

/// Whether a request may be sent again after it may have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Safe to repeat: reads, requests with an idempotency key, and those that set a final state.
    Safe,
    /// Repeated only if it certainly did not arrive.
    IfUnsent,
}

/// A system, and the credentials for it.
pub(crate) struct Api {
    base: String,
    token: Option<Secret>,
    calls: Client,
    downloads: Client,
    patience: Duration,
    has_answered: AtomicBool,
}

impl Api {
    /// Creates a client for `base` that waits up to `patience` for a busy or restarting server.
    pub(crate) fn new(base: &str, token: Option<Secret>, patience: Duration) -> Result<Self, Fault> {
        let client = || {
            let builder = Client::builder().connect_timeout(CONNECT_TIMEOUT).tcp_keepalive(KEEPALIVE);
            let builder = builder.user_agent(concat!("shuzhiren/", env!("CARGO_PKG_VERSION")));
            // A proxy from the environment cannot reach this machine.
            if is_loopback(base) { builder.no_proxy() } else { builder }
        };
        let failed = |error: reqwest::Error| Fault::Local(format!("cannot make an HTTP client: {error}"));
        // A redirected POST would become a GET, so the error names the address to use. Downloads follow redirects themselves.
        let client = || client().redirect(Policy::none());
        Ok(Self {
            base: base.to_owned(),
            token,
            calls: client().build().map_err(failed)?,
            downloads: client().read_timeout(READ_TIMEOUT).build().map_err(failed)?,
            patience,
            has_answered: AtomicBool::new(false),
        })
    }

    /// Returns the address, without a trailing slash.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Whether there is a token.
    pub(crate) const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Returns the token, for the WebSocket and for `whoami`.
    pub(crate) const fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    /// Returns the longest wait for a server that is busy or away.
    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Builds a request with the token, for the closure that is passed to [`Api::call`].
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.upload(method, path).timeout(REQUEST_TIMEOUT)
    }

    /// Builds a request without a time limit, for uploads.
    pub(crate) fn upload(&self, method: Method, path: &str) -> RequestBuilder {
        self.with_token(self.calls.request(method, format!("{}{path}", self.base)))
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    /// Requests a stored file. `link` is its id, followed by the signature of a signed link if there is one. The token, which
    /// private mode asks for, is not sent to a bucket that the system redirects to.
    pub(crate) async fn download(&self, method: Method, link: &str) -> reqwest::Result<Response> {
        let url = format!("{}/upload/file/{link}", self.base);
        let mut response = self.with_token(self.downloads.request(method.clone(), url)).send().await?;
        for _ in 0..REDIRECTS_MAX {
            let Some(next) = elsewhere(&response) else { break };
            response = self.downloads.request(method.clone(), next).send().await?;
        }
        Ok(response)
    }

    /// Sends a `GET` request.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Fault> {
        self.call(Repeat::Safe, async || Ok(self.request(Method::GET, path))).await
    }

    /// Sends the request that `make` builds, and again while a retry is allowed and may help.
    pub(crate) async fn call(
        &self,
        repeat: Repeat,
        make: impl AsyncFn() -> Result<RequestBuilder, Fault>,
    ) -> Result<Answer, Fault> {
        let (began, mut pause, mut is_told) = (Instant::now(), PAUSE_MIN, false);
        loop {
            let Trouble { fault, after } = match self.send(repeat, make().await?).await {
                Ok(answer) => return Ok(answer),
                Err(Stop::Final(fault)) => return Err(fault),
                Err(Stop::Again(trouble)) => trouble,
            };
            let wait = after.unwrap_or(pause);
            if began.elapsed() + wait > self.patience {
                return Err(fault);
            }
            if !is_told {
                output::hint(&format!("waiting: {fault}"));
                is_told = true;
            }
            sleep(wait).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    async fn send(&self, repeat: Repeat, request: RequestBuilder) -> Result<Answer, Stop> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.unanswered(repeat, &error)),
        };
        let again = |fault, after| Err(Stop::Again(Trouble { fault, after }));
        match Answer::read(response, &self.base).await {
            Ok(answer) => {
                self.has_answered.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Err(Refusal::Busy(fault, after)) => {
                self.has_answered.store(true, Ordering::Relaxed);
                again(fault, after)
            }
            Err(Refusal::Lost(fault)) if repeat == Repeat::Safe && self.is_known() => again(fault, None),
            Err(Refusal::Lost(fault) | Refusal::Final(fault)) => Err(Stop::Final(fault)),
        }
    }

    fn is_known(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// Classifies a request without an answer. If there was no connection, it did not arrive.
    fn unanswered(&self, repeat: Repeat, error: &reqwest::Error) -> Stop {
        let fault = Fault::Unreachable(format!("no answer from {}: {}", self.base, cause(error)));
        let may_repeat = if error.is_connect() { self.is_known() } else { repeat == Repeat::Safe };
        if may_repeat { Stop::Again(Trouble { fault, after: None }) } else { Stop::Final(fault) }
    }
}

/// Returns the target of a redirect.
fn elsewhere(response: &Response) -> Option<url::Url> {
    let location = response.headers().get(header::LOCATION).filter(|_| response.status().is_redirection())?;
    response.url().join(location.to_str().ok()?).ok()
}

enum Stop {
    Final(Fault),
    Again(Trouble),
}

struct Trouble {
    fault: Fault,
    after: Option<Duration>,
}

/// Returns the innermost cause: reqwest's own message only says that there was an error.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() { format!("no answer in time ({innermost})") } else { innermost.to_string() }
}

//! REST client of all commands: envelope, errors by status, retries.
//!
//! A 429 or 503 is retried after `Retry-After`. A request that got no answer is retried only if it cannot take effect
//! twice ([`Repeat`]). A server that has answered once in this process is waited for; one that never answered is an
//! error at once.

use super::{
    address::is_loopback,
    envelope::{Answer, AnswerError},
};
use crate::{
    backoff::Backoff,
    cli::{
        error::{Error, root_cause},
        term::output,
    },
    settings::Secret,
};
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
    wait_max: Duration,
    has_answered: AtomicBool,
}

impl Api {
    /// Creates a client for `base` that waits up to `wait_max` for a busy or restarting server.
    pub(crate) fn new(base: &str, token: Option<Secret>, wait_max: Duration) -> Result<Self, Error> {
        let client = || {
            let builder = Client::builder().connect_timeout(CONNECT_TIMEOUT).tcp_keepalive(KEEPALIVE);
            let builder = builder.user_agent(concat!("shuzhiren/", env!("CARGO_PKG_VERSION")));
            // A proxy from the environment cannot reach this machine.
            if is_loopback(base) { builder.no_proxy() } else { builder }
        };
        let failed = |error: reqwest::Error| Error::Local(format!("cannot create an HTTP client: {error}"));
        // A redirected POST would become a GET, so the error names the address to use. Downloads follow redirects
        // themselves.
        let client = || client().redirect(Policy::none());
        Ok(Self {
            base: base.to_owned(),
            token,
            calls: client().build().map_err(failed)?,
            downloads: client().read_timeout(READ_TIMEOUT).build().map_err(failed)?,
            wait_max,
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
    pub(crate) const fn wait_max(&self) -> Duration {
        self.wait_max
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

    /// Requests a stored file. `link` is its id, followed by the signature of a signed link if there is one. The token,
    /// which private mode asks for, is not sent to a bucket that the system redirects to.
    pub(crate) async fn download(&self, method: Method, link: &str) -> reqwest::Result<Response> {
        let url = format!("{}/upload/file/{link}", self.base);
        let mut response = self.with_token(self.downloads.request(method.clone(), url)).send().await?;
        for _ in 0..REDIRECTS_MAX {
            let Some(next) = redirect_target(&response) else { break };
            response = self.downloads.request(method.clone(), next).send().await?;
        }
        Ok(response)
    }

    /// Sends a `GET` request.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.call(Repeat::Safe, async || Ok(self.request(Method::GET, path))).await
    }

    /// Sends the request that `make` builds, and again while a retry is allowed and may help.
    pub(crate) async fn call(
        &self,
        repeat: Repeat,
        make: impl AsyncFn() -> Result<RequestBuilder, Error>,
    ) -> Result<Answer, Error> {
        let (began, mut is_hinted) = (Instant::now(), false);
        let mut pauses = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        loop {
            let Retryable { error, after } = match self.send(repeat, make().await?).await {
                Ok(answer) => return Ok(answer),
                Err(SendError::Final(error)) => return Err(error),
                Err(SendError::Again(retryable)) => retryable,
            };
            let pause = pauses.next_pause();
            let wait = after.unwrap_or(pause);
            if began.elapsed() + wait > self.wait_max {
                return Err(error);
            }
            if !is_hinted {
                output::hint(&format!("waiting: {error}"));
                is_hinted = true;
            }
            sleep(wait).await;
        }
    }

    async fn send(&self, repeat: Repeat, request: RequestBuilder) -> Result<Answer, SendError> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.no_answer(repeat, &error)),
        };
        let again = |error, after| Err(SendError::Again(Retryable { error, after }));
        match Answer::read(response, &self.base).await {
            Ok(answer) => {
                self.has_answered.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Err(AnswerError::Busy(error, after)) => {
                self.has_answered.store(true, Ordering::Relaxed);
                again(error, after)
            }
            Err(AnswerError::Lost(error)) if repeat == Repeat::Safe && self.was_reached() => again(error, None),
            Err(AnswerError::Lost(error) | AnswerError::Final(error)) => Err(SendError::Final(error)),
        }
    }

    fn was_reached(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// Classifies a request without an answer. If there was no connection, it did not arrive.
    fn no_answer(&self, repeat: Repeat, error: &reqwest::Error) -> SendError {
        let may_repeat = if error.is_connect() { self.was_reached() } else { repeat == Repeat::Safe };
        let error = Error::Unreachable(format!("no answer from {}: {}", self.base, root_cause(error)));
        if may_repeat { SendError::Again(Retryable { error, after: None }) } else { SendError::Final(error) }
    }
}

/// Returns the target of a redirect.
fn redirect_target(response: &Response) -> Option<url::Url> {
    let location = response.headers().get(header::LOCATION).filter(|_| response.status().is_redirection())?;
    response.url().join(location.to_str().ok()?).ok()
}

enum SendError {
    Final(Error),
    Again(Retryable),
}

struct Retryable {
    error: Error,
    after: Option<Duration>,
}

//! REST as every command uses it: the envelope, faults by status, waiting when the server asks for it.
//!
//! A 429 or 503 is repeated after `Retry-After`. What was sent and got no answer is repeated only where that cannot do it twice
//! ([`Repeat`]). A server that has answered once in this process is waited for; one that is away from the start is told at once.

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
/// Of one request that carries no file.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Of each read of a download.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection over which a file goes up is looked after by TCP.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// The first pause when the server names none; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Redirections of a download: a store may send elsewhere.
const REDIRECTS_MAX: usize = 5;

/// Whether a request that may have arrived can be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Reads, and what has an idempotency key or says an end state.
    Safe,
    /// Only when it is certain that it did nothing.
    IfUnsent,
}

/// A system, and who speaks to it.
pub(crate) struct Api {
    base: String,
    token: Option<Secret>,
    calls: Client,
    downloads: Client,
    patience: Duration,
    has_answered: AtomicBool,
}

impl Api {
    /// Speaks to `base`; `patience` is how long it is waited for.
    pub(crate) fn new(base: &str, token: Option<Secret>, patience: Duration) -> Result<Self, Fault> {
        let client = || {
            let builder = Client::builder().connect_timeout(CONNECT_TIMEOUT).tcp_keepalive(KEEPALIVE);
            let builder = builder.user_agent(concat!("shuzhiren/", env!("CARGO_PKG_VERSION")));
            // A proxy is for other machines.
            if is_loopback(base) { builder.no_proxy() } else { builder }
        };
        let failed = |error: reqwest::Error| Fault::Local(format!("cannot make an HTTP client: {error}"));
        // A redirected POST would become a GET: the address to use is told instead. Downloads see to whom they are sent.
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

    /// The address, without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Whether there is anybody to be.
    pub(crate) const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The token, for the WebSocket and for `whoami`.
    pub(crate) const fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    /// How long the server is waited for.
    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// A request below `/api` with the token, to be given back by what is passed to [`Api::call`].
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.upload(method, path).timeout(REQUEST_TIMEOUT)
    }

    /// The same without a time limit on the whole.
    pub(crate) fn upload(&self, method: Method, path: &str) -> RequestBuilder {
        self.with_token(self.calls.request(method, format!("{}{path}", self.base)))
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    /// A stored file; `link` is its id, with the signature behind it if there is one. Private mode asks who wants it; where the
    /// system sends us on to, a bucket, nobody is told.
    pub(crate) async fn download(&self, method: Method, link: &str) -> reqwest::Result<Response> {
        let url = format!("{}/upload/file/{link}", self.base);
        let mut response = self.with_token(self.downloads.request(method.clone(), url)).send().await?;
        for _ in 0..REDIRECTS_MAX {
            let Some(next) = elsewhere(&response) else { break };
            response = self.downloads.request(method.clone(), next).send().await?;
        }
        Ok(response)
    }

    /// `GET`.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Fault> {
        self.call(Repeat::Safe, async || Ok(self.request(Method::GET, path))).await
    }

    /// Sends what `make` makes, again as often as that is right.
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

    /// Nothing came back. A connection that never stood carried nothing.
    fn unanswered(&self, repeat: Repeat, error: &reqwest::Error) -> Stop {
        let fault = Fault::Unreachable(format!("no answer from {}: {}", self.base, cause(error)));
        let may_repeat = if error.is_connect() { self.is_known() } else { repeat == Repeat::Safe };
        if may_repeat { Stop::Again(Trouble { fault, after: None }) } else { Stop::Final(fault) }
    }
}

/// Where an answer sends to.
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

/// The innermost reason: reqwest's own sentence only says that there was one.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() { format!("no answer in time ({innermost})") } else { innermost.to_string() }
}

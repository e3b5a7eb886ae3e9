//! One GET: hop by hop to the file; its bytes are [`Arrival`]'s.

use super::{Refusal, allow::Allow, arrival::Arrival, resolve::Guarded};
use crate::settings::FetchSettings;
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, LOCATION},
    redirect,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use url::{Host, Url};

/// Longest URL.
const URL_BYTES_MAX: usize = 4_096;
/// Hops after the first.
const REDIRECTS_MAX: usize = 5;
/// Files of one process on their way at a time.
const FETCHES_MAX: usize = 32;
/// Until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Until an answer begins, name and connection included.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Fetches files; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    client: reqwest::Client,
    allow: Arc<Allow>,
    bytes_max: u64,
    timeout: Duration,
    slots: Arc<Semaphore>,
}

impl Fetcher {
    /// As the settings say.
    ///
    /// # Errors
    /// An entry of the list of what is allowed that is none, in a sentence; no HTTP client.
    pub fn new(settings: &FetchSettings) -> Result<Self, String> {
        let allow = Arc::new(Allow::parse(&settings.fetch_allow)?);
        if settings.no_fetch {
            return Ok(Self::off());
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .dns_resolver(Arc::new(Guarded(allow.clone())))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("shuzhiren/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_MAX)
            // A connection that is kept would be used without asking the resolver.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        Ok(Self(Some(Arc::new(Inner {
            client,
            allow,
            bytes_max: settings.fetch_bytes_max,
            timeout: settings.fetch_timeout,
            slots: Arc::new(Semaphore::new(FETCHES_MAX)),
        }))))
    }

    /// One that fetches nothing.
    pub const fn off() -> Self {
        Self(None)
    }

    /// The time that all files of one request have together.
    pub fn timeout(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |inner| inner.timeout)
    }

    /// Reads a URL and judges what can be judged without asking anybody.
    ///
    /// # Errors
    /// [`Refusal::Off`], [`Refusal::Invalid`], [`Refusal::NotAllowed`].
    pub fn check(&self, text: &str) -> Result<Url, Refusal> {
        let inner = self.0.as_ref().ok_or(Refusal::Off)?;
        if text.len() > URL_BYTES_MAX {
            return Err(Refusal::Invalid("the URL is too long"));
        }
        let url = Url::parse(text).map_err(|_| Refusal::Invalid("it is no URL; write it like https://host/path"))?;
        inner.judge(&url)?;
        Ok(url)
    }

    /// Asks for the file until it begins to arrive.
    ///
    /// # Errors
    /// Every [`Refusal`]: a redirect is judged like the URL itself.
    pub async fn open(&self, url: Url, deadline: Instant) -> Result<Arrival, Refusal> {
        let inner = self.0.as_ref().ok_or(Refusal::Off)?;
        let slot = timeout_at(deadline, inner.slots.clone().acquire_owned()).await;
        let Ok(Ok(slot)) = slot else { return Err(Refusal::Busy) };
        let mut here = url;
        for _ in 0..=REDIRECTS_MAX {
            inner.judge(&here)?;
            let response = inner.ask(here.clone(), deadline).await?;
            match next_hop(&here, &response)? {
                Some(next) => here = next,
                None => return inner.take(response, deadline, slot),
            }
        }
        Err(Refusal::BadAnswer("redirects without an end"))
    }
}

impl Inner {
    /// Scheme, credentials, and an address that stands in the URL itself; names are judged by the resolver.
    fn judge(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Invalid("only http and https are fetched"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Invalid("a URL must not hold a user name or password"));
        }
        let address = match url.host() {
            None => return Err(Refusal::Invalid("the URL names no host")),
            Some(Host::Domain("" | ".")) => return Err(Refusal::Invalid("the URL names no host")),
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
        };
        if self.allow.takes(None, address) { Ok(()) } else { Err(Refusal::NotAllowed) }
    }

    async fn ask(&self, url: Url, deadline: Instant) -> Result<Response, Refusal> {
        let request = self.client.get(url).header(ACCEPT, "*/*").header(ACCEPT_ENCODING, "identity");
        let until = deadline.min(Instant::now() + ANSWER_MAX);
        // Unknown, refused by the guard, closed, silent: one answer for all of them.
        timeout_at(until, request.send()).await.map_err(|_| Refusal::Unreachable)?.map_err(|error| {
            // Without the URL: it may hold a signature.
            tracing::debug!(error = %error.without_url(), "a file could not be fetched");
            Refusal::Unreachable
        })
    }

    fn take(&self, response: Response, deadline: Instant, slot: OwnedSemaphorePermit) -> Result<Arrival, Refusal> {
        if response.status() != StatusCode::OK {
            return Err(Refusal::Status(response.status().as_u16()));
        }
        let encodings = response.headers().get_all(CONTENT_ENCODING);
        if encodings.iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Refusal::BadAnswer("sends the file compressed though that was not asked for"));
        }
        if response.content_length().is_some_and(|length| length > self.bytes_max) {
            return Err(Refusal::TooLarge(self.bytes_max));
        }
        Ok(Arrival { response, got: 0, bytes_max: self.bytes_max, deadline, timeout: self.timeout, _slot: slot })
    }
}

/// Where a redirect leads; `None`: this is no redirect.
fn next_hop(here: &Url, response: &Response) -> Result<Option<Url>, Refusal> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let next =
        location.filter(|location| location.len() <= URL_BYTES_MAX).and_then(|location| here.join(location).ok());
    next.map(Some).ok_or(Refusal::BadAnswer("redirects to something that is no URL"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{Fetcher, Refusal};
    use crate::settings::FetchSettings;
    use std::time::Duration;

    fn fetcher(allow: &[&str]) -> Fetcher {
        Fetcher::new(&FetchSettings {
            no_fetch: false,
            fetch_allow: allow.iter().map(|&entry| entry.to_owned()).collect(),
            fetch_timeout: Duration::from_secs(5),
            fetch_bytes_max: 1_000,
        })
        .unwrap()
    }

    #[test]
    fn what_can_be_judged_without_asking_is() {
        let fetcher = fetcher(&[]);
        for good in ["https://example.com/a.png", "http://example.com:8080/", "HTTP://EXAMPLE.com", "https://8.8.8.8/x"]
        {
            assert!(fetcher.check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a.png",
            "//host/a.png",
            "ftp://host/a",
            "file:///etc/passwd",
            "data:image/png;base64,AAAA",
            "gopher://host/",
            "https://",
            "https://user@host/",
            "https://user:pw@host/",
            "https://:pw@host/",
            "http://[fe80::1%25eth0]/",
            "http://./",
            &format!("https://host/{}", "a".repeat(5_000)),
        ] {
            assert!(matches!(fetcher.check(bad), Err(Refusal::Invalid(_))), "{bad}: {:?}", fetcher.check(bad));
        }
        // Every spelling that a browser takes for 127.0.0.1, and some metadata.
        for inner in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://[::1]:80/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://１２７.0.0.1/",
            "http://0/",
            "http://169.254.169.254/latest/meta-data/",
            "http://[fd00:ec2::254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
        ] {
            assert_eq!(fetcher.check(inner).unwrap_err(), Refusal::NotAllowed, "{inner}");
        }
        assert!(self::fetcher(&["127.0.0.0/8"]).check("http://127.1/").is_ok());
        assert_eq!(Fetcher::off().check("https://example.com/").unwrap_err(), Refusal::Off);
    }

    /// `localhost` leads to a loopback address: judged by the resolver, and told like a name that does not exist.
    #[tokio::test]
    async fn a_name_that_leads_inside_is_told_like_one_that_does_not_exist() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let fetcher = fetcher(&[]);
        for url in [open.as_str(), "http://localhost:1/", "http://no-such-host.invalid/"] {
            let url = fetcher.check(url).unwrap();
            let refused = fetcher.open(url, tokio::time::Instant::now() + Duration::from_secs(5)).await.unwrap_err();
            assert_eq!(refused, Refusal::Unreachable);
        }
        let knocked = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(knocked.is_err(), "nothing may have connected");
    }
}

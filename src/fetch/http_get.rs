//! GET of a file, following redirects hop by hop; [`Download`] reads the body.

use super::{Refusal, allowlist::Allowlist, download::Download};
use crate::{
    net::{ConnectionLimits, DnsGuard, HttpClient},
    settings::FetchSettings,
};
use reqwest::{
    Method, Response, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, LOCATION},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use url::{Host, Url};

/// Longest URL, bytes.
const URL_BYTES_MAX: usize = 4_096;
/// Maximum number of redirects.
const REDIRECTS_MAX: usize = 5;
/// Maximum number of concurrent fetches of a process.
const FETCHES_MAX: usize = 32;
/// Time limit of a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Time limit until a response begins, including name resolution and connection.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Fetches files; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    client: HttpClient,
    allow: Arc<Allowlist>,
    bytes_max: u64,
    timeout: Duration,
    slots: Arc<Semaphore>,
}

impl Fetcher {
    /// Makes a fetcher from the settings.
    ///
    /// # Errors
    /// A message: an entry of the allowlist is invalid.
    pub fn new(settings: &FetchSettings) -> Result<Self, String> {
        let allow = Arc::new(Allowlist::parse(&settings.fetch_allow)?);
        if settings.no_fetch {
            return Ok(Self::off());
        }
        let named = allow.clone();
        let guard = DnsGuard::new(move |host, address| named.takes(Some(host), address));
        // A pooled connection would be used without asking the resolver.
        let limits = ConnectionLimits { connect: CONNECT_MAX, idle: CONNECT_MAX, idle_connections: 0 };
        let client = HttpClient::new(guard, HeaderMap::new(), limits);
        Ok(Self(Some(Arc::new(Inner {
            client,
            allow,
            bytes_max: settings.fetch_bytes_max,
            timeout: settings.fetch_timeout,
            slots: Arc::new(Semaphore::new(FETCHES_MAX)),
        }))))
    }

    /// Makes a fetcher that refuses everything.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Returns the time limit for all files of one request together.
    pub fn timeout(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |inner| inner.timeout)
    }

    /// Parses a URL and checks everything that needs no network access.
    ///
    /// # Errors
    /// [`Refusal::Off`], [`Refusal::Invalid`], [`Refusal::NotAllowed`].
    pub fn check(&self, text: &str) -> Result<Url, Refusal> {
        let inner = self.0.as_ref().ok_or(Refusal::Off)?;
        if text.len() > URL_BYTES_MAX {
            return Err(Refusal::Invalid("the URL is too long"));
        }
        let url = Url::parse(text).map_err(|_| Refusal::Invalid("it is not a URL; write it like https://host/path"))?;
        inner.check_url(&url)?;
        Ok(url)
    }

    /// Requests the file and returns once its body begins.
    ///
    /// # Errors
    /// Every [`Refusal`]: redirects are checked like the URL itself.
    pub async fn open(&self, url: Url, deadline: Instant) -> Result<Download, Refusal> {
        let inner = self.0.as_ref().ok_or(Refusal::Off)?;
        let slot = timeout_at(deadline, inner.slots.clone().acquire_owned()).await;
        let Ok(Ok(slot)) = slot else { return Err(Refusal::Busy) };
        let mut here = url;
        for _ in 0..=REDIRECTS_MAX {
            inner.check_url(&here)?;
            let response = inner.ask(here.clone(), deadline).await?;
            match next_hop(&here, &response)? {
                Some(next) => here = next,
                None => return inner.take(response, deadline, slot),
            }
        }
        Err(Refusal::BadAnswer("redirects too often"))
    }
}

impl Inner {
    /// Checks scheme, credentials, and an address in the URL itself; host names are checked by the resolver.
    fn check_url(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Invalid("only http and https are fetched"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Invalid("a URL must not contain a user name or password"));
        }
        let address = match url.host() {
            None => return Err(Refusal::Invalid("the URL has no host")),
            Some(Host::Domain("" | ".")) => return Err(Refusal::Invalid("the URL has no host")),
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
        };
        if self.allow.takes(None, address) { Ok(()) } else { Err(Refusal::NotAllowed) }
    }

    async fn ask(&self, url: Url, deadline: Instant) -> Result<Response, Refusal> {
        let request = HttpClient::request(Method::GET, url).header(ACCEPT, "*/*").header(ACCEPT_ENCODING, "identity");
        let until = deadline.min(Instant::now() + ANSWER_MAX);
        // An unknown host, a refused address, a closed port and a timeout give the same error.
        timeout_at(until, self.client.execute(request)).await.map_err(|_| Refusal::Unreachable)?.map_err(|error| {
            // Without the URL, which may contain a signature.
            tracing::debug!(is_connect = error.is_connect(), "fetching a file failed");
            Refusal::Unreachable
        })
    }

    fn take(&self, response: Response, deadline: Instant, slot: OwnedSemaphorePermit) -> Result<Download, Refusal> {
        if response.status() != StatusCode::OK {
            return Err(Refusal::Status(response.status().as_u16()));
        }
        let encodings = response.headers().get_all(CONTENT_ENCODING);
        if encodings.iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Refusal::BadAnswer("sends the file compressed, which was not requested"));
        }
        if response.content_length().is_some_and(|length| length > self.bytes_max) {
            return Err(Refusal::TooLarge(self.bytes_max));
        }
        Ok(Download { response, got: 0, bytes_max: self.bytes_max, deadline, timeout: self.timeout, _slot: slot })
    }
}

/// Returns the target of a redirect; `None` if the response is not a redirect.
fn next_hop(here: &Url, response: &Response) -> Result<Option<Url>, Refusal> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let next =
        location.filter(|location| location.len() <= URL_BYTES_MAX).and_then(|location| here.join(location).ok());
    next.map(Some).ok_or(Refusal::BadAnswer("redirects to an invalid URL"))
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
    fn urls_are_checked_without_network_access() {
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
        // Every spelling that browsers accept for 127.0.0.1, and some metadata addresses.
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

    /// `localhost` resolves to a loopback address: the resolver refuses it, with the error of an unknown name.
    #[tokio::test]
    async fn a_name_with_a_private_address_fails_like_an_unknown_name() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let fetcher = fetcher(&[]);
        for url in [open.as_str(), "http://localhost:1/", "http://no-such-host.invalid/"] {
            let url = fetcher.check(url).unwrap();
            let refused = fetcher.open(url, tokio::time::Instant::now() + Duration::from_secs(5)).await.unwrap_err();
            assert_eq!(refused, Refusal::Unreachable);
        }
        let knocked = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(knocked.is_err(), "no connection was made");
    }
}

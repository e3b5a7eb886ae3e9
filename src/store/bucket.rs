//! The store in a bucket of S3 or of what speaks its protocol: its URL, how patient we are with it, and whether it can be used.

use super::Error;
use crate::settings::Secret;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use std::{borrow::Cow, time::Duration};
use url::Url;

/// To a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two pieces of an answer, and from a request's end to its answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries of a request after the first: connections that break, 5xx, "slow down".
const RETRIES_MAX: usize = 3;
/// Retries begin no later than this after the first try.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);
/// Pauses before a retry: from, to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Longest look at the bucket at the start, retries included.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// What a URL may say.
const OPTIONS: &str = "endpoint=http(s)://host:port, region=us-east-1, style=path (default) or virtual";

/// A key of one's own for an `s3://` store; without it the variables `AWS_ACCESS_KEY_ID`, … count, or what AWS gives the machine.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Its name.
    pub access: String,
    /// The secret.
    pub secret: Secret,
}

/// What `s3://bucket/prefix?endpoint=…` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    bucket: String,
    /// In front of every path.
    pub(super) prefix: Path,
    endpoint: Option<String>,
    region: Option<String>,
    is_virtual: bool,
}

/// Whether a URL names a bucket.
pub(super) fn is_named(url: &str) -> bool {
    url.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("s3"))
}

impl Place {
    /// Reads the URL.
    pub(super) fn read(url: &str) -> Result<Self, Error> {
        let unusable = |why: &str| {
            // A key that somebody wrote into the URL must not get into the log.
            let shown = url.split_once('@').map_or(url, |_| "s3://…");
            Error::Unusable(format!("the storage URL `{shown}` cannot be used: {why}"))
        };
        let parsed = Url::parse(url).map_err(|_| unusable("it is no URL"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(unusable("put the key into SHUZHIREN_S3_ACCESS_KEY and SHUZHIREN_S3_SECRET_KEY_FILE"));
        }
        let bucket = parsed.host_str().filter(|host| !host.is_empty() && parsed.port().is_none());
        let bucket = bucket.ok_or_else(|| unusable("write it like s3://bucket/prefix"))?.to_owned();
        let prefix = parsed.path().trim_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
        if !prefix.bytes().all(is_plain) || parsed.fragment().is_some() {
            return Err(unusable("a prefix is made of letters, digits, - _ . and /"));
        }
        let prefix = Path::parse(prefix).map_err(|_| unusable("the prefix is no path"))?;
        let mut place = Self { bucket, prefix, endpoint: None, region: None, is_virtual: false };
        for (name, value) in parsed.query_pairs() {
            place.take(&name, value).map_err(|why| unusable(&why))?;
        }
        Ok(place)
    }

    fn take(&mut self, name: &str, value: Cow<'_, str>) -> Result<(), String> {
        match (name, value.as_ref()) {
            ("endpoint", endpoint) => {
                let is_address = Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
                if !is_address {
                    return Err(format!("the endpoint `{endpoint}` must begin with https:// or http://"));
                }
                self.endpoint = Some(endpoint.trim_end_matches('/').to_owned());
            }
            ("region", "") => return Err("the region is empty".to_owned()),
            ("region", region) => self.region = Some(region.to_owned()),
            ("style", "path") => self.is_virtual = false,
            ("style", "virtual") => self.is_virtual = true,
            (name, value) => return Err(format!("`{name}={value}` is not understood; there are: {OPTIONS}")),
        }
        Ok(())
    }

    /// Makes the client; asks nobody yet.
    pub(super) fn client(&self, keys: Option<&Keys>) -> Result<AmazonS3, Error> {
        let is_http = self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let options = ClientOptions::new()
            .with_allow_http(is_http)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(READ_TIMEOUT)
            // Of a whole request: a large file takes as long as its reader does.
            .with_timeout_disabled();
        let (init_backoff, max_backoff) = BACKOFF;
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff, max_backoff, base: 2.0 },
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_TIMEOUT,
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&self.bucket)
            .with_virtual_hosted_style_request(self.is_virtual)
            .with_client_options(options)
            .with_retry(retry)
            // We delete one by one; not everybody has the other.
            .with_disable_bulk_delete(true);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(keys) = keys {
            builder = builder.with_access_key_id(&keys.access).with_secret_access_key(keys.secret.expose());
        }
        builder.build().map_err(|error| Error::Unusable(error.to_string()))
    }

    /// Lists, writes, reads and deletes, so that what cannot work is said at the start. Lists first: not every server says at a
    /// write that there is no bucket.
    pub(super) async fn probe(&self, objects: &dyn ObjectStore) -> Result<(), Error> {
        let path = self.prefix.clone().join(format!("probe-{}", uuid::Uuid::new_v4().simple()));
        let steps = async {
            objects.list_with_delimiter(Some(&path)).await.map_err(|error| ("list (s3:ListBucket)", error))?;
            objects.put(&path, "probe".into()).await.map_err(|error| ("write (s3:PutObject)", error))?;
            objects.get(&path).await.map_err(|error| ("read (s3:GetObject)", error))?;
            objects.delete(&path).await.map_err(|error| ("delete (s3:DeleteObject)", error))
        };
        match tokio::time::timeout(PROBE_TIMEOUT, steps).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err((step, error))) => match self.explain(step, error) {
                // No room is no reason not to start: what is there can be read.
                Error::Full => Ok(()),
                error => Err(error),
            },
            Err(_elapsed) => {
                Err(Error::Unusable(format!("{} did not answer within {PROBE_TIMEOUT:?}", self.address())))
            }
        }
    }

    fn explain(&self, step: &str, error: object_store::Error) -> Error {
        let (bucket, address) = (&self.bucket, self.address());
        // Lists fail with no more than a text.
        let said = error.to_string();
        let why = if said.contains("NoSuchBucket") {
            format!("there is no bucket `{bucket}` at {address}: create it, or correct the URL")
        } else if ["403 Forbidden", "401 Unauthorized"].iter().any(|status| said.contains(status)) {
            format!(
                "{address} does not let us {step} in the bucket `{bucket}`: check SHUZHIREN_S3_ACCESS_KEY and \
                 SHUZHIREN_S3_SECRET_KEY (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), the region, and what the key may do"
            )
        } else {
            format!("cannot {step} in the bucket `{bucket}` at {address}")
        };
        match Error::from(error) {
            Error::Full => Error::Full,
            error => Error::Unusable(format!("{why} ({error})")),
        }
    }

    fn address(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| "AWS S3".to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{Error, Place};

    #[test]
    fn a_url_says_where_and_how() {
        let place =
            Place::read("s3://pictures/a/b/?endpoint=http://127.0.0.1:9000/&region=eu-1&style=virtual").unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_ref()), ("pictures", "a/b"));
        assert_eq!(place.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!((place.region.as_deref(), place.is_virtual), (Some("eu-1"), true));
        let place = Place::read("s3://pictures").unwrap();
        assert_eq!((place.prefix.as_ref(), place.endpoint, place.is_virtual), ("", None, false));
    }

    #[test]
    fn what_is_not_understood_is_refused_and_secrets_are_not_repeated() {
        for (url, word) in [
            ("s3:///prefix", "s3://bucket/prefix"),
            ("s3://bucket:80/x", "s3://bucket/prefix"),
            ("s3://bucket/a b", "prefix"),
            ("s3://bucket/x#y", "prefix"),
            ("s3://bucket/x?endpont=http://a", "endpont"),
            ("s3://bucket?endpoint=minio:9000", "endpoint"),
            ("s3://bucket?style=fancy", "style"),
            ("s3://bucket?region=", "region"),
            ("s3://key:secret@bucket/x", "SHUZHIREN_S3_SECRET_KEY_FILE"),
        ] {
            let Err(Error::Unusable(message)) = Place::read(url) else { panic!("{url} must be refused") };
            assert!(message.contains(word) && !message.contains("secret@"), "{message}");
        }
    }
}

//! The store in a bucket of S3 or a compatible server: parses its URL, and probes it at start.

use super::Error;
use crate::settings::Secret;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use std::{borrow::Cow, time::Duration};
use url::Url;

/// Time limit for the probe at start, including retries.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// Options of a URL.
const OPTIONS: &str = "endpoint=http(s)://host:port, region=us-east-1, style=path (default) or virtual";

/// Explicit credentials of an `s3://` store. Without them `AWS_ACCESS_KEY_ID` etc. or the machine's AWS role are used.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The access key id.
    pub access: String,
    /// The secret key.
    pub secret: Secret,
}

/// A parsed `s3://bucket/prefix?endpoint=…`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BucketUrl {
    pub(super) bucket: String,
    /// Prefix of every path.
    pub(super) prefix: Path,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) is_virtual: bool,
}

/// Whether a URL names a bucket.
pub(super) fn is_named(url: &str) -> bool {
    url.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("s3"))
}

impl BucketUrl {
    /// Parses the URL.
    pub(super) fn read(url: &str) -> Result<Self, Error> {
        let unusable = |why: &str| {
            // A key in the URL must not get into the log.
            let shown = url.split_once('@').map_or(url, |_| "s3://…");
            Error::Unusable(format!("the storage URL `{shown}` cannot be used: {why}"))
        };
        let parsed = Url::parse(url).map_err(|_| unusable("it is not a URL"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(unusable("put the key into SHUZHIREN_S3_ACCESS_KEY and SHUZHIREN_S3_SECRET_KEY_FILE"));
        }
        let bucket = parsed.host_str().filter(|host| !host.is_empty() && parsed.port().is_none());
        let bucket = bucket.ok_or_else(|| unusable("write it like s3://bucket/prefix"))?.to_owned();
        let prefix = parsed.path().trim_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
        if !prefix.bytes().all(is_plain) || parsed.fragment().is_some() {
            return Err(unusable("a prefix may contain only letters, digits, - _ . and /"));
        }
        let prefix = Path::parse(prefix).map_err(|_| unusable("the prefix is not a path"))?;
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
            (name, value) => return Err(format!("`{name}={value}` is not a valid option; options are {OPTIONS}")),
        }
        Ok(())
    }

    /// Lists, writes, reads and deletes, so that a broken configuration is reported at start. Lists first: not every
    /// server reports a missing bucket on a write.
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
                // A full bucket does not prevent the start: its files can still be read.
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
        // Failed lists have no typed error, only a text.
        let text = error.to_string();
        let why = if text.contains("NoSuchBucket") {
            format!("there is no bucket `{bucket}` at {address}: create it, or correct the URL")
        } else if ["403 Forbidden", "401 Unauthorized"].iter().any(|status| text.contains(status)) {
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
    use super::{BucketUrl, Error};

    #[test]
    fn a_url_gives_bucket_prefix_and_options() {
        let place =
            BucketUrl::read("s3://pictures/a/b/?endpoint=http://127.0.0.1:9000/&region=eu-1&style=virtual").unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_ref()), ("pictures", "a/b"));
        assert_eq!(place.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!((place.region.as_deref(), place.is_virtual), (Some("eu-1"), true));
        let place = BucketUrl::read("s3://pictures").unwrap();
        assert_eq!((place.prefix.as_ref(), place.endpoint, place.is_virtual), ("", None, false));
    }

    #[test]
    fn an_invalid_url_is_refused_without_repeating_secrets() {
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
            let Err(Error::Unusable(message)) = BucketUrl::read(url) else { panic!("{url} must be refused") };
            assert!(message.contains(word) && !message.contains("secret@"), "{message}");
        }
    }
}

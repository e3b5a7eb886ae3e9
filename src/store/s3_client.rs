//! The client of a bucket, with its timeouts and retries; in builds with the feature `s3`.

use super::{Error, Keys, bucket::BucketUrl, dedup::Redirect};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
    signer::{Method, SignedUrlOptions, Signer as _},
};
use std::{sync::Arc, time::Duration};
use url::Url;

/// Time limit for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit between two reads of a response, and from the end of a request to its response.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Retries of a request after broken connections, 5xx and "slow down".
const RETRIES_MAX: usize = 3;
/// Time after the first try beyond which no retry starts.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);
/// Smallest and largest delay before a retry.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Lifetime of a presigned download URL.
const REDIRECT_TTL: Duration = Duration::from_secs(5 * 60);

/// Client of one bucket; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct S3Client(Arc<AmazonS3>);

impl S3Client {
    /// Makes the client; sends no request yet.
    ///
    /// # Errors
    /// [`Error::Unusable`]: the settings contradict each other.
    pub(super) fn new(url: &BucketUrl, keys: Option<&Keys>) -> Result<Self, Error> {
        let is_http = url.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let options = ClientOptions::new()
            .with_allow_http(is_http)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(READ_TIMEOUT)
            // No limit for a whole request: a large file takes as long as its reader.
            .with_timeout_disabled();
        let (init_backoff, max_backoff) = BACKOFF;
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff, max_backoff, base: 2.0 },
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_TIMEOUT,
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&url.bucket)
            .with_virtual_hosted_style_request(url.is_virtual)
            .with_client_options(options)
            .with_retry(retry)
            // Objects are deleted one by one; not every server has bulk delete.
            .with_disable_bulk_delete(true);
        if let Some(endpoint) = &url.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &url.region {
            builder = builder.with_region(region);
        }
        if let Some(keys) = keys {
            builder = builder.with_access_key_id(&keys.access).with_secret_access_key(keys.secret.expose());
        }
        let client = builder.build().map_err(|error| Error::Unusable(error.to_string()))?;
        Ok(Self(Arc::new(client)))
    }

    /// Returns the store that reads and writes the bucket's objects.
    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        self.0.clone()
    }

    /// Returns a URL that allows anyone to read the object for [`REDIRECT_TTL`].
    ///
    /// # Errors
    /// [`Error::Unavailable`]: there is no key to sign with.
    pub(super) async fn sign(&self, path: &Path, headers: Option<Redirect<'_>>) -> Result<Url, Error> {
        let options = headers.map_or_else(SignedUrlOptions::default, |headers| {
            SignedUrlOptions::default().with_query([
                ("response-content-type", headers.content_type),
                ("response-content-disposition", headers.disposition),
            ])
        });
        Ok(self.0.signed_url_opts(Method::GET, path, REDIRECT_TTL, &options).await?)
    }
}

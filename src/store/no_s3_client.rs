//! Stands in for the client of a bucket in builds without the feature `s3`: it cannot be made.

use super::{Error, Keys, bucket::BucketUrl, dedup::Redirect};
use object_store::{ObjectStore, path::Path};
use std::sync::Arc;
use url::Url;

/// Client of one bucket; has no values.
#[derive(Debug, Clone)]
pub(super) enum S3Client {}

impl S3Client {
    /// Refuses.
    ///
    /// # Errors
    /// [`Error::Unusable`], always.
    pub(super) fn new(url: &BucketUrl, _keys: Option<&Keys>) -> Result<Self, Error> {
        let bucket = &url.bucket;
        Err(Error::Unusable(format!(
            "this build cannot use the bucket `{bucket}`: build it with the feature `s3` (a default feature)"
        )))
    }

    /// Is never called.
    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        match *self {}
    }

    /// Is never called.
    pub(super) async fn sign(&self, _path: &Path, _headers: Option<Redirect<'_>>) -> Result<Url, Error> {
        match *self {}
    }
}

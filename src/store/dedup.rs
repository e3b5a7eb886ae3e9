//! Deduplication of identical objects, and presigned download URLs.

use super::{Error, Location, Store};
use crate::task::{FileId, ObjectId};
use object_store::ObjectStoreExt;

/// Response headers of a redirected download.
#[derive(Debug, Clone, Copy)]
pub struct Redirect<'a> {
    /// The `Content-Type`.
    pub content_type: &'a str,
    /// The `Content-Disposition`.
    pub disposition: &'a str,
}

impl Store {
    /// Replaces the upload `own` by the identical, already stored `object`: deletes `own`. If `object` is missing or
    /// has another size (deleted or cut by hand), `own` is moved into its place instead.
    ///
    /// # Errors
    /// [`Error::Unavailable`]. The duplicate then remains until the collector deletes it.
    pub async fn share(&self, own: FileId, object: ObjectId, size_bytes: u64) -> Result<(), Error> {
        let own = ObjectId::from(own);
        let found = self.objects.head(&self.path(object)).await.map_err(Error::from);
        match found {
            Ok(found) if found.size == size_bytes => self.delete(own).await,
            Ok(_) | Err(Error::NotFound) => {
                tracing::error!(%object, size_bytes, "stored object was missing; restored from a new upload");
                Ok(self.objects.rename(&self.path(own), &self.path(object)).await?)
            }
            Err(error) => Err(error),
        }
    }

    /// Enables redirecting downloads to the bucket.
    ///
    /// # Errors
    /// [`Error::Unusable`] on a disk; [`Error::Unavailable`]: there is no key to sign with.
    pub async fn redirecting(self) -> Result<Self, Error> {
        let Location::Bucket(bucket, _) = &self.location else {
            return Err(Error::Unusable("downloads can be redirected only to an s3:// store".to_owned()));
        };
        // Taken from a signed URL: only the client knows how endpoint, region and style make up the bucket's address.
        let address = bucket.sign(&self.at("origin"), None).await?;
        let origin = address.origin().ascii_serialization();
        Ok(Self { redirects: Some(origin.into()), ..self })
    }

    /// Returns the origin to which downloads are redirected, e.g. `https://s3.eu-1.amazonaws.com`; `None` if they are
    /// not.
    #[must_use]
    pub fn redirect_origin(&self) -> Option<&str> {
        self.redirects.as_deref()
    }

    /// Returns a URL that allows anyone to read the object for five minutes; `None` if downloads are not redirected.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: there is no key to sign with.
    pub async fn redirect(&self, object: ObjectId, headers: Redirect<'_>) -> Result<Option<String>, Error> {
        let (Location::Bucket(bucket, _), Some(_)) = (&self.location, &self.redirects) else { return Ok(None) };
        let url = bucket.sign(&self.path(object), Some(headers)).await?;
        Ok(Some(url.into()))
    }
}

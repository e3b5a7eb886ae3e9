//! Bytes that are there already, and bytes that the store itself gives to whoever asks.

use super::{Error, Place, Store};
use crate::task::{FileId, ObjectId};
use object_store::{
    ObjectStoreExt,
    signer::{Method, SignedUrlOptions, Signer},
};
use std::time::Duration;

/// How long an address to which a download is sent is good.
const REDIRECT_TTL: Duration = Duration::from_secs(5 * 60);

/// What a download that the store gives itself is to look like.
#[derive(Debug, Clone, Copy)]
pub struct Redirect<'a> {
    /// `Content-Type`.
    pub content_type: &'a str,
    /// `Content-Disposition`.
    pub disposition: &'a str,
}

impl Store {
    /// The bytes of `own` are those of `object`, which stays: deletes `own`. Should `object` have lost its bytes (somebody
    /// deleted them by hand), it gets these.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; a copy that stays behind costs space and is collected later.
    pub async fn share(&self, own: FileId, object: ObjectId, size_bytes: u64) -> Result<(), Error> {
        let own = ObjectId::from(own);
        let found = self.objects.head(&self.path(object)).await.map_err(Error::from);
        match found {
            Ok(found) if found.size == size_bytes => self.delete(own).await,
            Ok(_) | Err(Error::NotFound) => {
                tracing::error!(%object, "the store had lost these bytes; they are there again");
                Ok(self.objects.rename(&self.path(own), &self.path(object)).await?)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends downloads to the bucket itself from now on.
    ///
    /// # Errors
    /// [`Error::Unusable`] on a disk; [`Error::Unavailable`]: no key to sign with.
    pub async fn redirecting(self) -> Result<Self, Error> {
        let Place::Bucket(bucket, _) = &self.place else {
            return Err(Error::Unusable("downloads can be redirected to an s3:// store only".to_owned()));
        };
        // As it is really signed: how a bucket's address is made of endpoint, region and style is the client's to know.
        let address = bucket.signed_url(Method::GET, &self.at("origin"), REDIRECT_TTL).await?;
        let origin = address.origin().ascii_serialization();
        Ok(Self { redirects: Some(origin.into()), ..self })
    }

    /// Where downloads are sent, such as `https://s3.eu-1.amazonaws.com`; `None` when they are not redirected.
    #[must_use]
    pub fn redirect_origin(&self) -> Option<&str> {
        self.redirects.as_deref()
    }

    /// An address where anybody can read the object for five minutes; `None` when downloads are not redirected.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: no key to sign with.
    pub async fn redirect(&self, object: ObjectId, look: Redirect<'_>) -> Result<Option<String>, Error> {
        let (Place::Bucket(bucket, _), Some(_)) = (&self.place, &self.redirects) else { return Ok(None) };
        let options = SignedUrlOptions::default().with_query([
            ("response-content-type", look.content_type),
            ("response-content-disposition", look.disposition),
        ]);
        let url = bucket.signed_url_opts(Method::GET, &self.path(object), REDIRECT_TTL, &options).await?;
        Ok(Some(url.into()))
    }
}

//! Body of a file being downloaded: limited in size and time, never buffered.

use super::Refusal;
use bytes::Bytes;
use reqwest::{Response, header::CONTENT_TYPE};
use std::time::Duration;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout, timeout_at},
};
use url::Url;

/// Time limit between two chunks of a body.
const PIECE_MAX: Duration = Duration::from_secs(10);

/// A file being downloaded.
#[derive(Debug)]
pub struct Download {
    pub(super) response: Response,
    pub(super) got: u64,
    pub(super) bytes_max: u64,
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
    pub(super) _slot: OwnedSemaphorePermit,
}

impl Download {
    /// Returns the next chunk; `None` at the end.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::TooSlow`]; [`Refusal::BadAnswer`] if the body is truncated or empty.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Refusal> {
        let too_slow = |_| Refusal::TooSlow(self.timeout);
        let next = timeout(PIECE_MAX, self.response.chunk());
        let next = timeout_at(self.deadline, next).await.map_err(too_slow)?.map_err(too_slow)?;
        match next.map_err(|_| Refusal::BadAnswer("broke off in the middle of the file"))? {
            None if self.got == 0 => Err(Refusal::BadAnswer("sent an empty file")),
            None => Ok(None),
            Some(chunk) => {
                self.got += chunk.len() as u64;
                if self.got > self.bytes_max {
                    return Err(Refusal::TooLarge(self.bytes_max));
                }
                Ok(Some(chunk))
            }
        }
    }

    /// Returns the URL that answered, after redirects.
    pub fn url(&self) -> &Url {
        self.response.url()
    }

    /// Returns the content type sent by the server, without parameters, in lower case.
    pub fn content_type(&self) -> Option<String> {
        let text = self.response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = text.split(';').next().unwrap_or_default().trim();
        (!essence.is_empty()).then(|| essence.to_ascii_lowercase())
    }
}

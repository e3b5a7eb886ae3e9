//! URLs of stored files: `<public url>/upload/file/<fileId>`, in private mode with `?expires=…&signature=…`.
//!
//! Links are made for each response and never stored, so links of private mode are always fresh.

use super::FileId;
use crate::clock;
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{sync::Arc, time::Duration};

/// Separates the signing key of links from other uses of the secret.
const PURPOSE: &[u8] = b"shuzhiren links to files, version 1";
/// A link stays the same for 1/`STEPS` of its lifetime, so that browsers can cache the file.
const STEPS: u64 = 4;

/// Makes links to stored files, and verifies those of private mode.
#[derive(Debug, Clone)]
pub struct Links {
    public_url: Arc<str>,
    signing: Option<Signing>,
}

#[derive(Debug, Clone)]
struct Signing {
    key: Arc<hmac::Key>,
    ttl_seconds: u64,
}

/// The reason a link is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRefused {
    /// No signature, or an invalid one.
    NotSigned,
    /// A valid signature that has expired.
    Expired,
}

impl Links {
    /// Makes links below `public_url`, an absolute URL; a trailing slash is dropped.
    pub fn new(public_url: &str) -> Self {
        Self { public_url: public_url.trim_end_matches('/').into(), signing: None }
    }

    /// Enables private mode: links are signed and valid for `ttl` (up to a quarter longer). All processes need the same
    /// `secret`.
    #[must_use]
    pub fn signed(self, secret: &[u8], ttl: Duration) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), PURPOSE);
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()));
        Self { signing: Some(Signing { key, ttl_seconds: ttl.as_secs().max(1) }), ..self }
    }

    /// Returns the URL below which links are made.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Whether links are signed: a file then needs a signed link or a login.
    pub const fn are_signed(&self) -> bool {
        self.signing.is_some()
    }

    /// Returns the link of a file.
    pub fn file(&self, id: FileId) -> String {
        let plain = format!("{}/upload/file/{id}", self.public_url);
        match &self.signing {
            None => plain,
            Some(signing) => {
                let expires = signing.expires(clock::unix_seconds());
                let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&signing.key, &signed_text(id, expires)));
                format!("{plain}?expires={expires}&signature={signature}")
            }
        }
    }

    /// Verifies a signed link and returns its remaining lifetime. Compares the signature in constant time.
    ///
    /// # Errors
    /// [`LinkRefused`].
    pub fn check(&self, id: FileId, expires: &str, signature: &str) -> Result<Duration, LinkRefused> {
        self.check_at(id, expires, signature, clock::unix_seconds())
    }

    fn check_at(&self, id: FileId, expires: &str, signature: &str, now: u64) -> Result<Duration, LinkRefused> {
        let signing = self.signing.as_ref().ok_or(LinkRefused::NotSigned)?;
        let expires: u64 = expires.parse().map_err(|_| LinkRefused::NotSigned)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| LinkRefused::NotSigned)?;
        hmac::verify(&signing.key, &signed_text(id, expires), &signature).map_err(|_| LinkRefused::NotSigned)?;
        let left = expires.checked_sub(now).filter(|left| *left > 0).ok_or(LinkRefused::Expired)?;
        Ok(Duration::from_secs(left))
    }
}

impl Signing {
    fn expires(&self, now: u64) -> u64 {
        let step = (self.ttl_seconds / STEPS).max(1);
        (now / step + 1) * step + self.ttl_seconds
    }
}

fn signed_text(id: FileId, expires: u64) -> Vec<u8> {
    format!("{id} {expires}").into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{FileId, LinkRefused, Links, clock};
    use std::time::Duration;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn private() -> Links {
        Links::new("http://x/").signed(SECRET, Duration::from_secs(400))
    }

    /// Returns `expires` and `signature` of a link.
    fn parts(link: &str) -> (String, String) {
        let (_, query) = link.split_once("?expires=").unwrap();
        let (expires, signature) = query.split_once("&signature=").unwrap();
        (expires.to_owned(), signature.to_owned())
    }

    #[test]
    fn a_link_is_the_url_of_a_file() {
        let id = FileId::new();
        assert_eq!(Links::new("http://x/").file(id), format!("http://x/upload/file/{id}"));
        assert!(!Links::new("http://x/").are_signed());
    }

    #[test]
    fn a_signed_link_is_valid_for_its_file_until_it_expires() {
        let (links, id) = (private(), FileId::new());
        let (expires, signature) = parts(&links.file(id));
        let at: u64 = expires.parse().unwrap();
        let left = links.check(id, &expires, &signature).unwrap().as_secs();
        assert!((400..=500).contains(&left), "{left}");
        assert_eq!(links.check_at(id, &expires, &signature, at - 1), Ok(Duration::from_secs(1)));
        assert_eq!(links.check_at(id, &expires, &signature, at), Err(LinkRefused::Expired));
        assert_eq!(links.check_at(id, &expires, &signature, u64::MAX), Err(LinkRefused::Expired));

        let later = (at + 1).to_string();
        let other = private().signed(b"another secret, as long as the first", Duration::from_secs(400));
        for (links, id, expires, signature) in [
            (&links, FileId::new(), expires.as_str(), signature.as_str()),
            (&links, id, &later, &signature),
            (&links, id, "", &signature),
            (&links, id, &format!("{expires} "), &signature),
            (&links, id, "99999999999999999999999", &signature),
            (&links, id, &expires, ""),
            (&links, id, &expires, &signature[1..]),
            (&links, id, &expires, &"A".repeat(43)),
            (&links, id, &expires, &format!("{signature}=")),
            (&other, id, &expires, &signature),
            (&Links::new("http://x"), id, &expires, &signature),
        ] {
            assert_eq!(links.check(id, expires, signature), Err(LinkRefused::NotSigned), "{expires} {signature}");
        }
    }

    /// Browsers must be able to cache the file.
    #[test]
    fn a_link_stays_the_same_for_a_while() {
        let signing = private().signing.unwrap();
        let now = clock::unix_seconds() / 100 * 100;
        assert_eq!(signing.expires(now), signing.expires(now + 99));
        assert_eq!(signing.expires(now + 100), signing.expires(now) + 100);
    }
}

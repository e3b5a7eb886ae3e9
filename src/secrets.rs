//! Keys of API nodes (`api_key_comfy_org`, `auth_token_comfy_org`): checked, encrypted before they reach Redis, and masked
//! in the texts that come back from an instance.
//!
//! Invariants: a key in the clear is only in a request, in the memory of the processes, and in the `POST /prompt` that
//! needs it. What is stored names its owner (a task, a server) as associated data, so that it cannot be moved to another.
//! Every process needs the same `SHUZHIREN_SECRET_KEY`; both keys of this file are derived from it (HKDF-SHA256).

use crate::settings::Secret;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf::{HKDF_SHA256, Salt},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

/// Names of the keys, which are those of `extra_data` in ComfyUI.
pub const KEY_NAMES: [&str; 2] = ["api_key_comfy_org", "auth_token_comfy_org"];
/// Longest key, bytes: a token of a login has some thousand.
pub const KEY_BYTES_MAX: usize = 8_192;
/// Shortest installation key, bytes.
pub const SECRET_KEY_BYTES_MIN: usize = 32;
/// Start of every encrypted text.
const PREFIX: &str = "encrypted:v1:";
/// Salt of the derivation.
const SALT: &[u8] = b"shuzhiren secrets, version 1";
/// Text in the place of a key.
const MASK: &str = "***";
/// Shortest text that is masked: a shorter one is in many words.
const MASKED_BYTES_MIN: usize = 4;
/// Shortest start of a key that is masked at the end of a text, which may have been cut there.
const MASKED_START_BYTES_MIN: usize = 8;

/// Keys for API nodes, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeKeys(BTreeMap<&'static str, Secret>);

impl NodeKeys {
    /// Adds a key.
    ///
    /// # Errors
    /// The reason for which it is refused, without the key.
    pub fn add(&mut self, name: &str, key: &str) -> Result<(), String> {
        let Some(name) = KEY_NAMES.iter().find(|known| **known == name) else {
            return Err(format!("known are {}", KEY_NAMES.join(", ")));
        };
        check_key(name, key)?;
        self.0.insert(name, Secret::new(key));
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns these keys, and those of `others` whose names are missing.
    #[must_use]
    pub fn or(mut self, others: Self) -> Self {
        for (name, key) in others.0 {
            self.0.entry(name).or_insert(key);
        }
        self
    }

    /// Returns the names and keys in the clear.
    pub fn expose(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, key)| (*name, key.expose()))
    }

    /// Returns the text with every key replaced, as [`Self::mask`] does.
    pub fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_empty() {
            return text.into();
        }
        let mut masked = text.to_owned();
        self.mask(&mut masked);
        masked.into()
    }

    /// Replaces every key in `text`, as it is and as JSON writes it. Also the start of one at the end of a text, which may have
    /// been cut.
    pub fn mask(&self, text: &mut String) {
        for (_, key) in self.expose().filter(|(_, key)| key.len() >= MASKED_BYTES_MIN) {
            let json = serde_json::Value::from(key).to_string();
            for form in [key, json.trim_matches('"')] {
                if text.contains(form) {
                    *text = text.replace(form, MASK);
                }
                mask_start(text, form);
            }
        }
    }
}

/// Masks the start of `key` at the end of `text`, an ellipsis aside.
fn mask_start(text: &mut String, key: &str) {
    let end = text.trim_end_matches(['…', '.']).len();
    let longest = key.len().min(end);
    let found = (MASKED_START_BYTES_MIN..=longest).rev().find(|&length| {
        key.is_char_boundary(length) && text.is_char_boundary(end - length) && text[..end].ends_with(&key[..length])
    });
    if let Some(length) = found {
        text.replace_range(end - length..end, MASK);
    }
}

/// Checks a key of this name.
///
/// # Errors
/// The reason for which it is refused, without the key.
pub fn check_key(name: &str, key: &str) -> Result<(), String> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control) {
        return Err(format!("`{name}` must be 1 to {KEY_BYTES_MAX} bytes without control characters"));
    }
    if key.starts_with(PREFIX) {
        return Err(format!("`{name}` must be the key itself, not what is stored of it"));
    }
    Ok(())
}

/// Whether a stored text is encrypted.
pub fn is_encrypted(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Encrypts and decrypts keys; cheap to clone. Without an installation key it refuses to.
#[derive(Clone, Default)]
pub struct Encryption(Option<Arc<DerivedKeys>>);

struct DerivedKeys {
    encryption: RandomizedNonceKey,
    fingerprint: hmac::Key,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Encryption(***)" } else { "Encryption(none)" })
    }
}

/// The reason for which nothing can be encrypted: `SHUZHIREN_SECRET_KEY` is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this system has no key for secrets: set SHUZHIREN_SECRET_KEY (or SHUZHIREN_SECRET_KEY_FILE) of every api and dispatcher"
)]
pub struct NoSecretKey;

/// The reason for which a stored text cannot be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No installation key is set here.
    #[error("this process has no SHUZHIREN_SECRET_KEY: give it that of the api")]
    NoSecretKey,
    /// Encrypted with another installation key, for another owner, or damaged.
    #[error(
        "it was encrypted with another SHUZHIREN_SECRET_KEY: give every api and dispatcher the same, and send the key again"
    )]
    OtherKey,
}

impl Encryption {
    /// Derives the keys from the installation's.
    ///
    /// # Errors
    /// The key is too short.
    pub fn new(secret_key: &Secret) -> Result<Self, String> {
        let secret_key = secret_key.expose().as_bytes();
        if secret_key.len() < SECRET_KEY_BYTES_MIN {
            let length = secret_key.len();
            return Err(format!(
                "SHUZHIREN_SECRET_KEY has {length} bytes; {SECRET_KEY_BYTES_MIN} are needed, e.g. from openssl rand -hex 32"
            ));
        }
        let failed = |_| "SHUZHIREN_SECRET_KEY: no key can be derived".to_owned();
        let derivation = Salt::new(HKDF_SHA256, SALT).extract(secret_key);
        let derive = |purpose: &'static [u8]| {
            let mut key = [0_u8; 32];
            derivation.expand(&[purpose], &AES_256_GCM).and_then(|material| material.fill(&mut key)).map(|()| key)
        };
        let encryption = RandomizedNonceKey::new(&AES_256_GCM, &derive(b"encryption").map_err(failed)?);
        let fingerprint = hmac::Key::new(hmac::HMAC_SHA256, &derive(b"fingerprint").map_err(failed)?);
        Ok(Self(Some(Arc::new(DerivedKeys { encryption: encryption.map_err(failed)?, fingerprint }))))
    }

    /// Checks that keys can be encrypted.
    ///
    /// # Errors
    /// [`NoSecretKey`].
    pub fn check(&self) -> Result<(), NoSecretKey> {
        if self.0.is_some() { Ok(()) } else { Err(NoSecretKey) }
    }

    /// Encrypts a text of `owner`, such as `task <id>`.
    ///
    /// # Errors
    /// [`NoSecretKey`].
    pub fn encrypt(&self, owner: &str, text: &str) -> Result<String, NoSecretKey> {
        let keys = self.0.as_ref().ok_or(NoSecretKey)?;
        let mut bytes = text.as_bytes().to_vec();
        let nonce = keys.encryption.seal_in_place_append_tag(Aad::from(owner.as_bytes()), &mut bytes);
        let nonce = nonce.map_err(|_| NoSecretKey)?;
        Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&nonce.as_ref()[..], &bytes].concat())))
    }

    /// Decrypts a text of `owner`.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn decrypt(&self, owner: &str, stored: &str) -> Result<Secret, Unreadable> {
        let keys = self.0.as_ref().ok_or(Unreadable::NoSecretKey)?;
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(stored.strip_prefix(PREFIX)?).ok()?;
            let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
            let mut sealed = sealed.to_vec();
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let text = keys.encryption.open_in_place(nonce, Aad::from(owner.as_bytes()), &mut sealed).ok()?;
            Some(Secret::new(std::str::from_utf8(text).ok()?))
        };
        read().ok_or(Unreadable::OtherKey)
    }

    /// Encrypts keys of `owner` as one text.
    ///
    /// # Errors
    /// [`NoSecretKey`].
    pub fn encrypt_keys(&self, owner: &str, keys: &NodeKeys) -> Result<String, NoSecretKey> {
        let object: serde_json::Map<String, serde_json::Value> =
            keys.expose().map(|(name, key)| (name.to_owned(), key.into())).collect();
        self.encrypt(owner, &serde_json::Value::Object(object).to_string())
    }

    /// Decrypts a text of [`Self::encrypt_keys`].
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn decrypt_keys(&self, owner: &str, stored: &str) -> Result<NodeKeys, Unreadable> {
        let text = self.decrypt(owner, stored)?;
        let members: BTreeMap<String, String> =
            serde_json::from_str(text.expose()).map_err(|_| Unreadable::OtherKey)?;
        let mut keys = NodeKeys::default();
        for (name, key) in members {
            keys.add(&name, &key).map_err(|_| Unreadable::OtherKey)?;
        }
        Ok(keys)
    }

    /// Returns a fingerprint of a body that holds keys, which says nothing of them without the installation key.
    ///
    /// # Errors
    /// [`NoSecretKey`].
    pub fn fingerprint(&self, digest: &str) -> Result<String, NoSecretKey> {
        let keys = self.0.as_ref().ok_or(NoSecretKey)?;
        let tag = hmac::sign(&keys.fingerprint, digest.as_bytes());
        Ok(tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests;

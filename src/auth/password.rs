//! A password, stored as its argon2id hash.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use std::{sync::Arc, thread};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// The hash of a password, and the limit of concurrent checks.
pub(super) struct PasswordCheck {
    hash: Arc<str>,
    slots: Semaphore,
}

impl PasswordCheck {
    /// Hashes `password`; without one, a random text.
    pub(super) fn new(password: Option<&str>) -> Self {
        let unknown = uuid::Uuid::new_v4().to_string();
        let password = password.unwrap_or(&unknown);
        let hash = Argon2::default()
            .hash_password(password.as_bytes())
            .expect("a process without randomness or with a password of 4 GiB must not start")
            .to_string();
        // Each check takes 19 MiB and about 20 ms of a core; more at once would starve the rest of the process.
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { hash: hash.into(), slots: Semaphore::new((cores / 2).max(1)) }
    }

    /// Whether `password` is correct. Takes the same time either way.
    pub(super) async fn matches(&self, password: &str) -> bool {
        let Ok(_slot) = self.slots.acquire().await else { return false };
        let (hash, password) = (Arc::clone(&self.hash), password.to_owned());
        let check = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        check.await.unwrap_or(false)
    }
}

/// Compares two texts in constant time.
pub(super) fn equal(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

//! Counts of failed logins, shared by all processes.

use super::{
    Queue, Result,
    redis::{script_call::ms, scripts::Verb},
};
use sha2::{Digest, Sha256};
use std::time::Duration;

impl Queue {
    /// Counts one failed login under `scope` (user or address). Returns the count within `window`.
    pub async fn count_login_failure(&self, scope: &str, window: Duration) -> Result<u64> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        self.call(Verb::LoginFailed, vec![digest(scope).into(), ms(window), nonce.into()]).await?.parse()
    }

    /// Returns the number of failed logins under `scope`, and the time until the count expires.
    pub async fn login_failures(&self, scope: &str) -> Result<(u64, Duration)> {
        let key = self.root().login(&digest(scope));
        let count: Option<u64> = self.command("HGET", vec![key.clone().into(), "count".into()]).await?;
        let Some(count) = count else { return Ok((0, Duration::ZERO)) };
        let left: i64 = self.command("PTTL", vec![key.into()]).await?;
        Ok((count, Duration::from_millis(left.try_into().unwrap_or(0))))
    }
}

/// Returns a digest of a scope (16 bytes, hex). Scopes come from clients and may be long.
fn digest(scope: &str) -> String {
    format!("{:.32x}", Sha256::digest(scope.as_bytes()))
}

//! Passwords, tokens, callers and roles. Independent of HTTP. The only user of jsonwebtoken and argon2.
//!
//! Start with [`Auth`]; processes call [`prepare()`] before they start.

mod password;
mod startup_check;
mod token;

pub use startup_check::{DEFAULT_PASSWORD, JWT_SECRET_BYTES_MIN, Profile, prepare};

use crate::{clock, settings::AuthSettings};
use password::PasswordCheck;
use std::{sync::Arc, time::Duration};
use token::Tokens;

/// Authenticated sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// User name (`sub` of the token); the owner of tasks and files.
    pub username: String,
    /// Role of the user.
    pub role: Role,
    /// Expiry of the token, Unix seconds.
    pub expires_at: u64,
}

impl Caller {
    /// Whether the caller may read, cancel, retry or delete what `owner` owns.
    pub fn may_read(&self, owner: &str) -> bool {
        self.may_manage() || self.username == owner
    }

    /// Whether the caller may change the fleet and published workflows, and list what every user owns.
    pub fn may_manage(&self) -> bool {
        match self.role {
            Role::Admin => true,
            Role::User => false,
        }
    }

    /// Returns the owner that the caller's lists are restricted to; `None` if the caller may read everything.
    pub fn only_owner(&self) -> Option<&str> {
        (!self.may_manage()).then_some(self.username.as_str())
    }
}

/// Role of a caller, which decides its permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do everything.
    Admin,
    /// May use own tasks and files; may not change the config or switch instances.
    User,
}

/// The reason a login is refused. All are 401; the text never reveals which part was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Wrong user or wrong password: same response and same duration for both.
    #[error("wrong username or password")]
    Credentials,
    /// The token is missing, malformed, forged or expired.
    #[error("log in again: the token is missing, invalid or expired")]
    Token,
}

/// A new token from a login.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The JWT (HS256).
    pub token: String,
    /// The user that it was issued to.
    pub caller: Caller,
}

/// Checks logins and tokens; cheap to clone.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    admin_username: String,
    admin_password: PasswordCheck,
    tokens: Tokens,
    token_ttl: Duration,
}

impl Auth {
    /// Hashes the admin's password once. Without a password every login fails; without a key a random one is used,
    /// whose tokens are valid in this process only. Processes start with the settings from [`prepare()`], which have
    /// both.
    pub fn new(settings: &AuthSettings) -> Self {
        let password = settings.admin_password.as_ref().map(|secret| secret.expose());
        let key = settings.jwt_secret.as_ref().map(|secret| secret.expose().as_bytes());
        Self {
            inner: Arc::new(Inner {
                admin_username: settings.admin_username.clone(),
                admin_password: PasswordCheck::new(password),
                tokens: Tokens::new(key),
                token_ttl: settings.token_ttl,
            }),
        }
    }

    /// Checks a login outside the runtime's threads, a bounded number at a time; unknown users take the same time.
    ///
    /// # Errors
    /// [`Denied::Credentials`].
    pub async fn login(&self, username: &str, password: &str) -> Result<Issued, Denied> {
        let is_password = self.inner.admin_password.matches(password).await;
        let is_user = password::equal(username, &self.inner.admin_username);
        if !(is_password & is_user) {
            return Err(Denied::Credentials);
        }
        let expires_at = clock::unix_seconds().saturating_add(self.inner.token_ttl.as_secs());
        let caller = Caller { username: username.to_owned(), role: Role::Admin, expires_at };
        Ok(Issued { token: self.inner.tokens.issue(&caller), caller })
    }

    /// Checks a token: HS256 only, `exp` required, `nbf` honoured, a known role.
    ///
    /// # Errors
    /// [`Denied::Token`].
    pub fn verify(&self, token: &str) -> Result<Caller, Denied> {
        self.inner.tokens.verify(token)
    }
}

#[cfg(test)]
mod tests {
    use super::{Auth, Caller, Denied, Role};
    use crate::settings::{AuthSettings, Secret};
    use std::time::Duration;

    fn settings() -> AuthSettings {
        AuthSettings {
            admin_username: "admin".to_owned(),
            admin_password: Some(Secret::new("correct horse")),
            admin_password_file: None,
            jwt_secret: Some(Secret::new("0123456789abcdef0123456789abcdef")),
            jwt_secret_file: None,
            token_ttl: Duration::from_secs(3_600),
        }
    }

    #[tokio::test]
    async fn a_login_gives_a_token_that_verifies() {
        let auth = Auth::new(&settings());
        let issued = auth.login("admin", "correct horse").await.unwrap();
        let caller = auth.verify(&issued.token).unwrap();
        assert_eq!(caller, issued.caller);
        assert_eq!((caller.username.as_str(), caller.role), ("admin", Role::Admin));
    }

    #[test]
    fn a_user_reads_only_what_the_user_owns() {
        let caller = |role| Caller { username: "lin".to_owned(), role, expires_at: 0 };
        let (admin, user) = (caller(Role::Admin), caller(Role::User));
        assert!(admin.may_manage() && admin.may_read("lin") && admin.may_read("kim"));
        assert!(!user.may_manage() && user.may_read("lin") && !user.may_read("kim"));
        assert_eq!((admin.only_owner(), user.only_owner()), (None, Some("lin")));
    }

    #[tokio::test]
    async fn similar_credentials_do_not_log_in() {
        let auth = Auth::new(&settings());
        for (username, password) in [
            ("admin", "correct horse\0"),
            ("admin", "Correct horse"),
            ("admin", "correct horse "),
            ("admin", ""),
            ("Admin", "correct horse"),
            ("admin\0", "correct horse"),
            ("", "correct horse"),
        ] {
            assert_eq!(auth.login(username, password).await.unwrap_err(), Denied::Credentials, "{username} {password}");
        }
    }

    #[tokio::test]
    async fn without_a_password_every_login_fails() {
        let auth = Auth::new(&AuthSettings { admin_password: None, ..settings() });
        assert!(auth.login("admin", "").await.is_err());
        assert!(auth.login("admin", "admin123").await.is_err());
    }

    #[tokio::test]
    async fn without_a_key_tokens_are_valid_in_one_process_only() {
        let issuer = Auth::new(&AuthSettings { jwt_secret: None, ..settings() });
        let issued = issuer.login("admin", "correct horse").await.unwrap();
        assert!(issuer.verify(&issued.token).is_ok());
        assert!(Auth::new(&AuthSettings { jwt_secret: None, ..settings() }).verify(&issued.token).is_err());
    }
}

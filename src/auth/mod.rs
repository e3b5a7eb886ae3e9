//! Passwords, tokens, callers, roles. Knows no HTTP. The only user of jsonwebtoken and argon2.

use crate::settings::AuthSettings;

/// Whoever a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `sub` of the token; owns tasks.
    pub username: String,
    /// What they may do.
    pub role: Role,
    /// The token ends at this Unix second.
    pub expires_at: u64,
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Own tasks and files; no config, no instances' switches.
    User,
}

/// Why somebody was not let in. All are 401; the text never says which part was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Wrong user or wrong password: one answer, one time.
    #[error("wrong username or password")]
    Credentials,
    /// The token is missing, malformed, forged or expired.
    #[error("log in again: the token is missing, not valid, or expired")]
    Token,
}

/// A token fresh from a login.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The JWT (HS256).
    pub token: String,
    /// Who it is for.
    pub caller: Caller,
}

/// Judges logins and tokens; cheap to clone.
#[derive(Clone)]
pub struct Auth {}

impl Auth {
    /// Hashes the admin's password once.
    pub fn new(_settings: &AuthSettings) -> Self {
        todo!("helper api")
    }

    /// Checks a login off the runtime's threads, a bounded number at a time; unknown users cost the same.
    ///
    /// # Errors
    /// [`Denied::Credentials`].
    pub async fn login(&self, _username: &str, _password: &str) -> Result<Issued, Denied> {
        todo!("helper api")
    }

    /// Checks a token: HS256 only, `exp` required, `nbf` honoured, a known role.
    ///
    /// # Errors
    /// [`Denied::Token`].
    pub fn verify(&self, _token: &str) -> Result<Caller, Denied> {
        todo!("helper api")
    }
}

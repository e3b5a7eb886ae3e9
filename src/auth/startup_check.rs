//! Check of the login settings at start, so that the default password is never used in production.

use crate::settings::{AuthSettings, Secret};
use std::path::Path;

/// The published default password, allowed only for `up` on loopback.
pub const DEFAULT_PASSWORD: &str = "admin123";
/// Shortest key of tokens, bytes.
pub const JWT_SECRET_BYTES_MIN: usize = 32;

/// Strictness of [`prepare`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `up` on loopback: the published password is the default.
    Development,
    /// All other processes: a password must be set.
    Production,
}

/// Reads the files of secrets and checks all login settings, so that [`super::Auth::new`] gets a password and a key.
///
/// # Errors
/// A message that names the setting and the remedy.
pub fn prepare(settings: &AuthSettings, profile: Profile) -> Result<AuthSettings, String> {
    let password = secret(settings.admin_password.as_ref(), settings.admin_password_file.as_deref())?;
    let key = secret(settings.jwt_secret.as_ref(), settings.jwt_secret_file.as_deref())?;
    let password = match (password, profile) {
        (Some(password), _) => password,
        (None, Profile::Development) => Secret::new(DEFAULT_PASSWORD),
        (None, Profile::Production) => {
            return Err("the administrator has no password: set SHUZHIREN_ADMIN_PASSWORD".to_owned());
        }
    };
    if password.expose().is_empty() {
        return Err("SHUZHIREN_ADMIN_PASSWORD is empty".to_owned());
    }
    if settings.admin_username.is_empty() {
        return Err("SHUZHIREN_ADMIN_USERNAME is empty".to_owned());
    }
    if profile == Profile::Production && password.expose() == DEFAULT_PASSWORD {
        return Err("SHUZHIREN_ADMIN_PASSWORD is the published default: choose another one".to_owned());
    }
    let Some(key) = key else {
        return Err("no key of the tokens is set: set SHUZHIREN_JWT_SECRET, the same in every api and ws process; \
                    `openssl rand -hex 32` makes one"
            .to_owned());
    };
    if key.expose().len() < JWT_SECRET_BYTES_MIN {
        return Err(format!("SHUZHIREN_JWT_SECRET is shorter than {JWT_SECRET_BYTES_MIN} bytes"));
    }
    Ok(AuthSettings {
        admin_password: Some(password),
        admin_password_file: None,
        jwt_secret: Some(key),
        jwt_secret_file: None,
        ..settings.clone()
    })
}

fn secret(plain: Option<&Secret>, file: Option<&Path>) -> Result<Option<Secret>, String> {
    if let Some(plain) = plain {
        return Ok(Some(plain.clone()));
    }
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_PASSWORD, Profile, prepare};
    use crate::settings::{AuthSettings, Secret};
    use std::time::Duration;

    fn settings(password: Option<&str>, key: Option<&str>) -> AuthSettings {
        AuthSettings {
            admin_username: "admin".to_owned(),
            admin_password: password.map(Secret::new),
            admin_password_file: None,
            jwt_secret: key.map(Secret::new),
            jwt_secret_file: None,
            token_ttl: Duration::from_secs(60),
        }
    }

    #[test]
    fn production_needs_its_own_password_and_key() {
        let key = "k".repeat(32);
        for (password, key) in [
            (None, Some(key.as_str())),
            (Some(""), Some(key.as_str())),
            (Some(DEFAULT_PASSWORD), Some(key.as_str())),
            (Some("mine"), None),
            (Some("mine"), Some(&key[1..])),
        ] {
            assert!(prepare(&settings(password, key), Profile::Production).is_err(), "{password:?} {key:?}");
        }
        assert!(prepare(&settings(Some("mine"), Some(&key)), Profile::Production).is_ok());
    }

    #[test]
    fn development_uses_the_published_password() {
        let ready = prepare(&settings(None, Some(&"k".repeat(32))), Profile::Development).unwrap();
        assert_eq!(ready.admin_password.unwrap().expose(), DEFAULT_PASSWORD);
    }

    #[test]
    fn secrets_are_read_from_files_without_the_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let (password, key) = (folder.path().join("password"), folder.path().join("key"));
        std::fs::write(&password, "mine\n").unwrap();
        std::fs::write(&key, format!("{}\r\n", "k".repeat(32))).unwrap();
        let from_files =
            AuthSettings { admin_password_file: Some(password), jwt_secret_file: Some(key), ..settings(None, None) };
        let ready = prepare(&from_files, Profile::Production).unwrap();
        assert_eq!(ready.admin_password.unwrap().expose(), "mine");
        assert_eq!(ready.jwt_secret.unwrap().expose(), "k".repeat(32));
        let absent = AuthSettings { jwt_secret_file: Some(folder.path().join("absent")), ..settings(None, None) };
        assert!(prepare(&absent, Profile::Production).unwrap_err().contains("absent"));
    }
}

//! Address of the system and credentials for it: flags, variables, the saved login.

use super::{address::base_of, credentials::Logins, rest::Api};
use crate::{
    cli::error::Error,
    settings::{Secret, duration},
};
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// Address of the system when neither a flag, a variable nor a login names one.
const DEFAULT_URL: &str = "http://127.0.0.1:3000";

/// Flags that every client command has.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Print JSON, for programs
    ///
    /// One document: `data` of the API's answer. `watch`, and `submit` with --watch or --out, print JSON lines
    /// {"type","data"}: the messages of the WebSocket, `task` for a whole task (first and last), `saved` for each file.
    /// Commands with several arguments print one document for each. Hints, progress bars and waiting are on standard
    /// error; colors only on a terminal, and never with NO_COLOR.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Address and credentials.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Address of the system [default: address of the last login, else http://127.0.0.1:3000]
    #[arg(long, env = "SHUZHIREN_URL")]
    pub(crate) url: Option<String>,
    /// Token to use instead of the saved login, e.g. `token` in the answer of POST /api/auth/login
    #[arg(long, env = "SHUZHIREN_TOKEN", hide_env_values = true)]
    token: Option<Secret>,
    /// File with the token, e.g. /run/secrets/token
    #[arg(long, env = "SHUZHIREN_TOKEN_FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Time to wait for a system that is busy or stops answering
    ///
    /// After a 429 or 503 the request is repeated when the answer's Retry-After allows, with the same Idempotency-Key.
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "DURATION")]
    pub(crate) wait_for_server: Duration,
}

impl Connection {
    /// Returns the address, without a trailing slash.
    pub(crate) fn base(&self) -> Result<String, Error> {
        match self.url.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => base_of(url),
            None => Ok(Logins::read()?.current.unwrap_or_else(|| DEFAULT_URL.to_owned())),
        }
    }

    /// Creates a client, with the token for its address if there is one.
    pub(crate) fn api(&self) -> Result<Api, Error> {
        let base = self.base()?;
        let token = self.token(&base)?;
        Api::new(&base, token, self.wait_for_server)
    }

    /// Creates a client with a token.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`] if there is no token for the address.
    pub(crate) fn logged_in(&self) -> Result<Api, Error> {
        let api = self.api()?;
        if api.has_token() { Ok(api) } else { Err(not_logged_in(api.base())) }
    }

    /// Returns the token of the flag or variable, else that of the login at exactly this address.
    fn token(&self, base: &str) -> Result<Option<Secret>, Error> {
        if let Some(token) = self.token.as_ref().filter(|token| !token.expose().is_empty()) {
            return Ok(Some(token.clone()));
        }
        if let Some(path) = &self.token_file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Error::Usage(format!("cannot read {}: {error}", path.display())))?;
            return Ok(Some(Secret::new(text.trim())));
        }
        Ok(Logins::read()?.get(base).map(|login| Secret::new(login.token.clone())))
    }
}

/// Error that names the command to log in with.
pub(crate) fn not_logged_in(base: &str) -> Error {
    Error::NotLoggedIn(format!("not logged in: shuzhiren login --url {base}"))
}

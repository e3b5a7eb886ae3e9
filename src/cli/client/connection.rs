//! Address of the system and credentials for it: flags, variables, the saved login.

use super::{credentials::Logins, error::Fault, rest::Api};
use crate::settings::{Secret, duration};
use clap::Args;
use std::{path::PathBuf, time::Duration};
use url::Url;

/// Address of the system when neither a flag, a variable nor a login names one.
const DEFAULT_URL: &str = "http://127.0.0.1:3000";

/// Flags that every client command has.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Print JSON, for programs
    ///
    /// One document: `data` of the API's answer. `watch`, and `submit` with --watch or --out, print JSON lines {"type","data"}: the messages
    /// of the WebSocket, `task` for a whole task (first and last), `saved` for each file. Commands with several arguments print one document
    /// for each. Hints, progress bars and waiting are on standard error; colors only on a terminal, and never with NO_COLOR.
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
    pub(crate) fn base(&self) -> Result<String, Fault> {
        match self.url.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => base_of(url),
            None => Ok(Logins::read()?.current.unwrap_or_else(|| DEFAULT_URL.to_owned())),
        }
    }

    /// Creates a client, with the token for its address if there is one.
    pub(crate) fn api(&self) -> Result<Api, Fault> {
        let base = self.base()?;
        let token = self.token(&base)?;
        Api::new(&base, token, self.wait_for_server)
    }

    /// Creates a client with a token.
    ///
    /// # Errors
    /// [`Fault::NotLoggedIn`] if there is no token for the address.
    pub(crate) fn logged_in(&self) -> Result<Api, Fault> {
        let api = self.api()?;
        if api.has_token() { Ok(api) } else { Err(not_logged_in(api.base())) }
    }

    /// Returns the token of the flag or variable, else that of the login at exactly this address.
    fn token(&self, base: &str) -> Result<Option<Secret>, Fault> {
        if let Some(token) = self.token.as_ref().filter(|token| !token.expose().is_empty()) {
            return Ok(Some(token.clone()));
        }
        if let Some(path) = &self.token_file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Fault::Usage(format!("cannot read {}: {error}", path.display())))?;
            return Ok(Some(Secret::new(text.trim())));
        }
        Ok(Logins::read()?.of(base).map(|login| Secret::new(login.token.clone())))
    }
}

/// Error that names the command to log in with.
pub(crate) fn not_logged_in(base: &str) -> Fault {
    Fault::NotLoggedIn(format!("not logged in: shuzhiren login --url {base}"))
}

/// Parses an address: http or https, without query or password.
pub(crate) fn base_of(url: &str) -> Result<String, Fault> {
    let wrong = |why: &str| Fault::Usage(format!("--url `{url}`: {why}"));
    let parsed = Url::parse(url).map_err(|_| wrong("invalid address; write it like http://127.0.0.1:3000"))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(wrong("the address must start with http:// or https://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(wrong("the address must not contain a user or password: use shuzhiren login"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(wrong("the address must not contain ? or #"));
    }
    Ok(parsed.as_str().trim_end_matches('/').to_owned())
}

/// Whether an address is on this machine.
pub(crate) fn is_loopback(base: &str) -> bool {
    Url::parse(base).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::{base_of, is_loopback};

    #[test]
    fn addresses_are_checked_and_normalized() {
        assert_eq!(base_of("http://127.0.0.1:3000/").unwrap(), "http://127.0.0.1:3000");
        assert_eq!(base_of("HTTPS://Comfy.example.com/x/").unwrap(), "https://comfy.example.com/x");
        for bad in ["", "127.0.0.1:3000", "localhost:3000", "ftp://x", "http://a:b@x", "http://x?y", "http://x#y"] {
            assert!(base_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_addresses_are_this_machine() {
        for here in ["http://127.0.0.1:1", "http://localhost", "http://[::1]:3000"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in ["http://10.0.0.1", "http://localhost.example.com", "https://127.0.0.1.example.com"] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}

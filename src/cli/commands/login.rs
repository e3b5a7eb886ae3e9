//! `shuzhiren login`, `logout`, `whoami`.

use crate::{
    cli::{
        client::{
            common_args::{Common, not_logged_in},
            credentials::{Login, Logins},
            rest::{Api, Repeat},
        },
        error::Error,
        term::{ask, output},
    },
    settings::Secret,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Read as _;

/// Maximum bytes of a password from standard input.
const PASSWORD_BYTES_MAX: u64 = 4_096;

/// Settings of `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// User name
    #[arg(short, long, env = "SHUZHIREN_USERNAME", default_value = "admin", alias = "username")]
    user: String,
    /// Read the password from standard input instead of the terminal
    #[arg(long)]
    password_stdin: bool,
    /// Password. Other users can see flags: prefer the variable, --password-stdin or the prompt
    #[arg(long, env = "SHUZHIREN_PASSWORD", hide_env_values = true, hide = true)]
    password: Option<Secret>,
    #[command(flatten)]
    common: Common,
}

/// Settings of `logout` and `whoami`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    #[command(flatten)]
    common: Common,
}

/// Exchanges the password for a token and saves it.
pub(crate) async fn login(args: LoginArgs) -> Result<(), Error> {
    let base = args.common.connection.base()?;
    let api = Api::new(&base, None, args.common.connection.wait_for_server)?;
    let password = match (&args.password, args.password_stdin) {
        (_, true) => from_stdin()?,
        (Some(password), false) => password.expose().to_owned(),
        (None, false) => ask::password(&format!("Password of {} at {base}", output::sanitize(&args.user))).await?,
    };
    let body = json!({"username": args.user, "password": password});
    let answer = api.call(Repeat::Safe, async || Ok(api.request(Method::POST, "/api/auth/login").json(&body))).await?;
    let (token, expires_at) = (answer.text("token").to_owned(), answer.text("expiresAt").to_owned());
    if token.is_empty() {
        return Err(Error::Unreachable(format!("{base} returned no token")));
    }
    let username = answer.value["user"]["username"].as_str().unwrap_or(&args.user).to_owned();
    let path = Logins::save(&base, Login { username: username.clone(), token, expires_at: expires_at.clone() })?;
    if args.common.json {
        return output::print_line(
            &json!({"url": base, "user": answer.value["user"], "expiresAt": expires_at}).to_string(),
        );
    }
    output::print_line(&format!(
        "logged in at {base} as {} until {}",
        output::sanitize(&username),
        output::sanitize(&expires_at)
    ))?;
    output::hint(&format!("token saved in {}", path.display()));
    Ok(())
}

fn from_stdin() -> Result<String, Error> {
    let mut text = String::new();
    let read = std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Error::Usage(format!("cannot read the password: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Deletes the saved token. The server stores no tokens, so it stays valid until it expires.
pub(crate) fn logout(args: LogoutArgs) -> Result<(), Error> {
    let base = args.common.connection.base()?;
    let was_saved = Logins::remove(&base)?;
    if args.common.json {
        return output::print_line(&json!({"url": base, "wasLoggedIn": was_saved}).to_string());
    }
    output::print_line(&format!("{} {base}", if was_saved { "logged out of" } else { "not logged in at" }))
}

/// Prints the user of the token, after checking that the system accepts it.
pub(crate) async fn whoami(args: LogoutArgs) -> Result<(), Error> {
    let api = args.common.connection.api()?;
    let token = api.token().ok_or_else(|| not_logged_in(api.base()))?;
    // Only the system can verify the token; its claims are readable by all.
    api.get("/api/monitor/overview").await?;
    let claims = claims_of(token.expose()).unwrap_or_default();
    let expires_at = claims["exp"].as_i64().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let expires_at = expires_at.map(|time| format!("{time:.3}")).unwrap_or_default();
    let (username, role) =
        (crate::cli::term::format::text(&claims, "sub"), crate::cli::term::format::text(&claims, "role"));
    if args.common.json {
        let user = json!({"username": username, "role": role});
        return output::print_line(&json!({"url": api.base(), "user": user, "expiresAt": expires_at}).to_string());
    }
    output::print_line(&format!(
        "{} ({}) at {} until {expires_at}",
        output::sanitize(username),
        output::sanitize(role),
        api.base()
    ))
}

/// Decodes the payload of a JSON Web Token.
fn claims_of(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

//! Credentials of Redis and of its sentinels: whose were refused, and whether the sentinels want any.

use super::{connect, script_call::from_fred};
use crate::queue::Error;
use fred::{
    error::{Error as FredError, ErrorKind},
    types::config::{Config, ServerConfig},
};

/// Answer of a server without a password to AUTH.
const NO_PASSWORD: &str = "without any password configured";

/// Removes the credentials that the sentinels took over from Redis if they have none: such a sentinel refuses AUTH.
pub(crate) async fn settle_sentinels(config: &mut Config) {
    let ServerConfig::Sentinel { username, password, .. } = &config.server else { return };
    if password.is_none() || (username, password) != (&config.username, &config.password) {
        return;
    }
    let wants_none = async {
        for probe in sentinels(config) {
            match connect::connected(&probe, None).await {
                Ok(_client) => return false,
                Err(error) if error.details().contains(NO_PASSWORD) => return true,
                Err(_unreachable) => {}
            }
        }
        false
    };
    if wants_none.await
        && let ServerConfig::Sentinel { username, password, .. } = &mut config.server
    {
        (*username, *password) = (None, None);
    }
}

/// Maps the error of a failed connection; says whose credentials were refused.
pub(crate) async fn explain(config: &Config, error: FredError) -> Error {
    let is_sentinel = matches!(config.server, ServerConfig::Sentinel { .. });
    let is_explainable = is_refusal(&error) || (is_sentinel && *error.kind() == ErrorKind::Sentinel);
    if !is_explainable {
        return from_fred(error);
    }
    for probe in sentinels(config) {
        if let Err(refusal) = connect::connected(&probe, None).await
            && is_refusal(&refusal)
        {
            let host = probe.server.hosts().first().map(ToString::to_string).unwrap_or_default();
            let whose = format!("the sentinel {host} (sentinelUsername, sentinelPassword)");
            return refused(&whose, &probe, &refusal);
        }
    }
    if is_refusal(&error) { refused("redis", config, &error) } else { from_fred(error) }
}

fn refused(whose: &str, config: &Config, error: &FredError) -> Error {
    let user = config.username.as_deref().unwrap_or("default");
    let details = error.details();
    Error::Unusable(match &config.password {
        None => format!("{whose} wants a password, but REDIS_URL has none: {details}"),
        Some(_) => format!("{whose} refuses the password of the user `{user}`: {details}"),
    })
}

fn is_refusal(error: &FredError) -> bool {
    *error.kind() == ErrorKind::Auth || ["NOAUTH", "WRONGPASS"].iter().any(|word| error.details().contains(word))
}

/// Returns an address of each sentinel, with its credentials.
fn sentinels(config: &Config) -> Vec<Config> {
    let ServerConfig::Sentinel { hosts, username, password, .. } = &config.server else { return Vec::new() };
    let address = |server: &fred::types::config::Server| Config {
        server: ServerConfig::Centralized { server: server.clone() },
        username: username.clone(),
        password: password.clone(),
        database: None,
        ..config.clone()
    };
    hosts.iter().map(address).collect()
}

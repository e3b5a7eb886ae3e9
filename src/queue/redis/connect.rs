//! Connections: builds fred's clients from the settings, with a timeout on every operation.

use super::script_call::from_fred;
use crate::{
    queue::{Error, Result},
    settings::RedisSettings,
};
use fred::{
    clients::{Client, Pool, SubscriberClient},
    interfaces::ClientLike,
    types::{
        Builder,
        config::{Config, ReconnectError, ReconnectPolicy, UnresponsiveConfig},
    },
};
use std::time::Duration;

/// Clients that share the ordinary commands of a process: a hung cluster node blocks one router, not all.
const POOL_SIZE: usize = 4;
/// Timeout of one attempt to connect, and of fred's internal commands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of a command including reconnects, so that the API answers 503 within 3 s.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// Time without the reply to a command after which a connection is closed.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Commands buffered while there is no connection; more fail at once.
const BUFFER_LEN_MAX: usize = 10_000;
/// Messages by which a subscriber may fall behind (fred's default of 32 loses bursts).
const BROADCAST_CAPACITY: usize = 16_384;

/// Reads the URL from the variable or its file, and parses it.
pub(crate) fn config(settings: &RedisSettings) -> Result<Config> {
    let url = match (&settings.redis_url, &settings.redis_url_file) {
        (Some(url), _) => url.expose().to_owned(),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|error| Error::Unusable(format!("cannot read REDIS_URL_FILE {}: {error}", path.display())))?,
        (None, None) => return Err(Error::Unusable("REDIS_URL is not set".to_owned())),
    };
    install_tls_provider();
    let scheme = url.trim().split_once("://").map_or("", |(scheme, _)| scheme);
    if !SCHEMES.contains(&scheme) {
        return Err(unusable("unknown scheme"));
    }
    Config::from_url(url.trim()).map_err(|error| unusable(error.details()))
}

/// Schemes of a URL. fred would take any other for plain TCP.
const SCHEMES: [&str; 9] = [
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "redis+unix",
    "redis-sentinel",
    "rediss-sentinel",
    "redis-cluster",
    "rediss-cluster",
];

/// Makes the error for a bad URL. The message omits the URL, which may hold a password.
fn unusable(why: &str) -> Error {
    Error::Unusable(format!(
        "REDIS_URL is not usable ({why}); write redis://, rediss://, redis+unix:///path, redis-sentinel:// or redis-cluster://"
    ))
}

/// Installs the crypto provider of rustls, which the first `rediss://` needs.
fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only if another thread installed it meanwhile, with the same effect.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    }
}

/// Builds clients with our timeouts, limits and reconnects.
fn builder(config: &Config) -> Builder {
    let mut builder = Builder::from_config(config.clone());
    builder
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECT_TIMEOUT;
            connection.internal_command_timeout = CONNECT_TIMEOUT;
            connection.max_command_buffer_len = BUFFER_LEN_MAX;
            connection.tcp.nodelay = Some(true);
            connection.unresponsive =
                UnresponsiveConfig { max_timeout: Some(SILENCE_MAX), interval: Duration::from_secs(1) };
            // After a Sentinel failover the old connection stays up and answers READONLY.
            connection.reconnect_errors = vec![
                ReconnectError::ClusterDown,
                ReconnectError::Loading,
                ReconnectError::ReadOnly,
                ReconnectError::MasterDown,
            ];
        })
        .with_performance_config(|performance| performance.default_command_timeout = COMMAND_TIMEOUT)
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2));
    builder
}

/// Connects the pool of ordinary commands.
pub(crate) async fn pool(config: &Config) -> Result<Pool> {
    let pool = builder(config).build_pool(POOL_SIZE).map_err(from_fred)?;
    until_connected(pool.init()).await?;
    Ok(pool)
}

/// Connects a single client.
pub(crate) async fn client(config: &Config) -> Result<Client> {
    let client = builder(config).build().map_err(from_fred)?;
    until_connected(client.init()).await?;
    Ok(client)
}

/// Builds a client for subscriptions, not connected yet. Only this one has the large backlog: fred allocates seven
/// channels of that size.
pub(crate) fn subscriber(config: &Config) -> Result<SubscriberClient> {
    let mut builder = builder(config);
    builder.with_performance_config(|performance| performance.broadcast_channel_capacity = BROADCAST_CAPACITY);
    builder.build_subscriber_client().map_err(from_fred)
}

/// Waits for a first connection, at most twice [`CONNECT_TIMEOUT`].
pub(crate) async fn until_connected<T>(
    init: impl Future<Output = std::result::Result<T, fred::error::Error>>,
) -> Result<T> {
    match tokio::time::timeout(CONNECT_TIMEOUT * 2, init).await {
        Ok(connected) => connected.map_err(from_fred),
        Err(_elapsed) => Err(Error::Unavailable(format!("no connection within {:?}", CONNECT_TIMEOUT * 2))),
    }
}

//! Connections: builds fred's clients from the settings, with a timeout on every operation.

use super::{connection::Purpose, credentials};
use crate::queue::Result;
use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike, FredResult},
    types::{
        Builder,
        config::{Config, ReconnectError, ReconnectPolicy, ServerConfig},
    },
};
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// Timeout of one attempt to connect, and of fred's internal commands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of a command including reconnects, so that the API answers 503 within 3 s.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval at which a client that connects is looked at.
const CONNECTED_CHECK: Duration = Duration::from_millis(100);
/// Commands buffered while there is no connection; more fail at once.
const BUFFER_LEN_MAX: usize = 10_000;
/// Messages by which a subscriber may fall behind (fred's default of 32 loses bursts).
const BROADCAST_CAPACITY: usize = 16_384;

/// Builds clients with our timeouts, limits and reconnects.
fn builder(config: &Config) -> Builder {
    let mut builder = Builder::from_config(config.clone());
    builder
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECT_TIMEOUT;
            connection.internal_command_timeout = CONNECT_TIMEOUT;
            connection.max_command_buffer_len = BUFFER_LEN_MAX;
            connection.tcp.nodelay = Some(true);
            // MOVED renews fred's view of the cluster and fails the command, which `script_call` repeats. ASK must not be
            // followed: while a slot is being moved, a script at the other node would run on a part of the keys.
            connection.max_redirections = 0;
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

/// Task that drives a client. Dropping it closes the client's connections.
pub(super) type Driver = AbortOnDropHandle<FredResult<()>>;

/// Connects a client. An error says whose credentials were refused.
pub(super) async fn client(config: &Config, purpose: Purpose) -> Result<(Client, Driver)> {
    match connected(config, Some(purpose)).await {
        Ok(client) => Ok(client),
        Err(error) => Err(Box::pin(credentials::explain(config, error)).await),
    }
}

/// Connects a client, within a time limit.
pub(super) async fn connected(config: &Config, purpose: Option<Purpose>) -> FredResult<(Client, Driver)> {
    let mut builder = builder(config);
    if purpose == Some(Purpose::Events) {
        // Only here: fred allocates seven channels of that size.
        builder.with_performance_config(|performance| performance.broadcast_channel_capacity = BROADCAST_CAPACITY);
    }
    let client = builder.build()?;
    let mut driver = AbortOnDropHandle::new(client.connect());
    let connected = async {
        // fred reports a connection only to those that wait for it already, hence the short waits.
        while tokio::time::timeout(CONNECTED_CHECK, client.wait_for_connect()).await.is_err() {}
        if client.is_connected() { Ok(()) } else { std::future::pending().await }
    };
    let within = CONNECT_TIMEOUT * (2 + u32::try_from(config.server.hosts().len()).unwrap_or(0));
    let connected = async {
        tokio::select! {
            connected = connected => connected,
            ended = &mut driver => match ended {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) | Err(_) => Err(Error::new(ErrorKind::IO, "the connection was closed")),
            },
        }
    };
    match tokio::time::timeout(within, connected).await {
        Ok(connected) => connected?,
        Err(_elapsed) => return Err(Error::new(ErrorKind::Timeout, format!("no connection within {within:?}"))),
    }
    Ok((client, driver))
}

/// Adds the cluster nodes that `client` knows to the hosts of the URL, which may all be gone by now.
pub(super) fn with_known_servers(config: &Config, client: &Client) -> Config {
    let mut config = config.clone();
    if let ServerConfig::Clustered { hosts, .. } = &mut config.server {
        for server in client.active_connections() {
            if !hosts.contains(&server) {
                hosts.push(server);
            }
        }
    }
    config
}

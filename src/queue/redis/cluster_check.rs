//! Check of all nodes of a cluster for `--durability fsync`: our slot may move or fail over to any of them.

use super::{
    connect,
    script_call::from_fred,
    server_check::{Demand, ServerInfo, setting_of},
};
use crate::{
    queue::{Error, Result},
    settings::Durability,
};
use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{
        ClusterHash, CustomCommand, Value,
        config::{Config, Server, ServerConfig},
    },
};
use std::collections::BTreeSet;

/// Refuses a cluster with a node that cannot give the durability. A node that is down is logged and left out.
pub(crate) async fn check(config: &Config, client: &Client, slot: u16, demand: Demand) -> Result<()> {
    if demand.durability != Durability::Fsync || !matches!(config.server, ServerConfig::Clustered { .. }) {
        return Ok(());
    }
    let command = CustomCommand::new_static("CLUSTER", ClusterHash::Custom(slot), false);
    let slots: Value = client.custom(command, vec!["SLOTS"]).await.map_err(from_fred)?;
    for server in nodes(slots) {
        let address = Config { server: ServerConfig::Centralized { server: server.clone() }, ..config.clone() };
        let node = match connect::connected(&address, None).await {
            Ok(node) => node,
            Err(error) => {
                tracing::warn!(node = %server, %error, "cluster node not checked");
                continue;
            }
        };
        let info = CustomCommand::new_static("INFO", ClusterHash::FirstKey, false);
        let info: String = node.0.custom(info, Vec::<String>::new()).await.map_err(from_fred)?;
        let fsync = setting_of(&node.0, slot, "appendfsync").await?;
        let validated = ServerInfo::parse(&info).into_primary().validate(demand, fsync.as_deref());
        validated.map_err(|refusal| Error::Unusable(format!("cluster node {server}: {refusal}")))?;
    }
    Ok(())
}

/// Reads the nodes of CLUSTER SLOTS: `[[first, last, [host, port, id, …], …], …]`.
fn nodes(slots: Value) -> BTreeSet<Server> {
    let list = |value| match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let server = |node: Value| {
        let mut node = list(node).into_iter();
        let (host, port) = (node.next()?.into_string()?, node.next()?.as_u64()?);
        (!host.is_empty()).then(|| Server::new(host, u16::try_from(port).unwrap_or(0)))
    };
    list(slots).into_iter().flat_map(|range| list(range).into_iter().skip(2)).filter_map(server).collect()
}

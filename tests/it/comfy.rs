//! The client of ComfyUI: against servers that answer oddly, and against the stand-in in both of its modes.

mod odd;
mod peer;
mod sockets;
mod stand_in;

use shuzhiren::{comfy::Client, fleet::Target, task::InstanceId};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// Of clients whose requests should succeed.
const TIMEOUT: Duration = Duration::from_secs(10);

fn target(base_url: String) -> Target {
    Target {
        id: InstanceId::new("test"),
        server_id: "test".to_owned(),
        server_name: "test".to_owned(),
        ip: "127.0.0.1".to_owned(),
        port: 1,
        base_url,
        headers: BTreeMap::new(),
        server_enabled: true,
    }
}

fn client_of(addr: SocketAddr, timeout: Duration) -> Client {
    Client::new(&target(format!("http://{addr}")), timeout).unwrap()
}

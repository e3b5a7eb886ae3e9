//! Tests of `comfy`: the client against misbehaving servers, and against the stand-in in both modes.

mod odd;
mod peer;
mod sockets;
mod stand_in;
mod streams;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use shuzhiren::{
    comfy::{Client, RemoteFile},
    fleet::Target,
    task::InstanceId,
};
use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

/// Time limit of clients whose requests should succeed.
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
        extra_data: Default::default(),
        server_enabled: true,
    }
}

fn client_of(addr: SocketAddr, timeout: Duration) -> Client {
    Client::new(&target(format!("http://{addr}")), timeout).unwrap()
}

fn file(filename: &str, subfolder: &str) -> RemoteFile {
    RemoteFile { filename: filename.to_owned(), subfolder: subfolder.to_owned(), folder_type: "output".to_owned() }
}

fn chunks(parts: &[&'static str]) -> BoxStream<'static, io::Result<bytes::Bytes>> {
    let parts: Vec<io::Result<bytes::Bytes>> = parts.iter().map(|part| Ok(bytes::Bytes::from(*part))).collect();
    stream::iter(parts).boxed()
}

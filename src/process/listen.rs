//! The listening socket, and enough file descriptors for what it will accept.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{io::ErrorKind, net::SocketAddr};
use tokio::net::TcpListener;

/// Binds, with one clear line on failure (`127.0.0.1:3000 is in use: …`).
///
/// # Errors
/// That line.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, String> {
    raise_file_limit();
    TcpListener::bind(listen).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!("{listen} is in use: stop what listens there, or choose another with --listen"),
        ErrorKind::PermissionDenied => {
            format!("{listen} needs more rights: choose a port of 1024 or above with --listen")
        }
        ErrorKind::AddrNotAvailable => {
            format!("{} is not an address of this machine: choose another with --listen", listen.ip())
        }
        _ => format!("cannot listen on {listen}: {error}"),
    })
}

/// Raises the soft limit of open files to the hard one: 1,024, the usual soft limit, is less than the connections allowed.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

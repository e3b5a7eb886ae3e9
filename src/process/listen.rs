//! The listening socket, and the limit of open files for its connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{io::ErrorKind, net::SocketAddr};
use tokio::net::TcpListener;

/// Binds the socket; a failure is one line for the operator (`127.0.0.1:3000 is in use: …`).
///
/// # Errors
/// This line.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, String> {
    raise_file_limit();
    TcpListener::bind(listen).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!("{listen} is in use: stop the process there, or choose another with --listen"),
        ErrorKind::PermissionDenied => {
            format!("{listen} needs more privileges: choose a port of 1024 or above with --listen")
        }
        ErrorKind::AddrNotAvailable => {
            format!("{} is not an address of this machine: choose another with --listen", listen.ip())
        }
        _ => format!("cannot listen on {listen}: {error}"),
    })
}

/// Raises the soft limit of open files to the hard one: the usual soft limit, 1,024, is below the number of connections
/// allowed.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "raising the limit of open files failed");
    }
}

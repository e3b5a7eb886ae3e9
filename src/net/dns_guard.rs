//! Name resolution that drops forbidden addresses. Every connect resolves again and connects to what was checked, so a
//! name cannot change its address in between (DNS rebinding).

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The resolver of an HTTP client, which does not use it for addresses in a URL.
#[derive(Clone)]
pub(crate) struct DnsGuard(Arc<IsAllowed>);

/// Whether a host may be reached at an address.
type IsAllowed = dyn Fn(&str, IpAddr) -> bool + Send + Sync;

impl DnsGuard {
    /// A guard that returns only the addresses of a host for which `is_allowed(host, address)` holds.
    pub(crate) fn new(is_allowed: impl Fn(&str, IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_allowed))
    }

    /// Resolves a host name to its allowed addresses.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        resolve(host, port, |address| (self.0)(host, address)).await
    }
}

impl fmt::Debug for DnsGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DnsGuard")
    }
}

/// Resolves a host name or IP literal (IPv6 without brackets) to its allowed addresses.
///
/// # Errors
/// The name is unknown; [`io::ErrorKind::PermissionDenied`] if it has no allowed address.
pub(crate) async fn resolve(host: &str, port: u16, is_allowed: impl Fn(IpAddr) -> bool) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((host, port)).await?;
    let allowed: Vec<SocketAddr> = found.filter(|address| is_allowed(address.ip())).collect();
    if allowed.is_empty() {
        let message = format!("{host} has no address that may be connected to");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::resolve;
    use std::{io::ErrorKind, net::IpAddr};

    #[tokio::test]
    async fn only_allowed_addresses_are_returned() {
        let is_loopback = |address: IpAddr| address.is_loopback();
        assert!(!resolve("localhost", 80, is_loopback).await.unwrap().is_empty());
        for host in ["169.254.169.254", "0.0.0.0"] {
            assert_eq!(resolve(host, 80, is_loopback).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
    }
}

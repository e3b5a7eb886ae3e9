//! Names of instances, resolved anew at each connect; only addresses that the fleet's rules allow are ever connected
//! to, so that a name which changes its mind cannot lead us to a metadata service.

use crate::fleet::is_allowed_address;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{io, net::SocketAddr};

/// For reqwest.
#[derive(Debug, Clone, Copy)]
pub(super) struct AllowedOnly;

impl Resolve for AllowedOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Addrs = Box::new(allowed(name.as_str(), 0).await?.into_iter());
            Ok(addresses)
        })
    }
}

/// The allowed addresses of a host name or IP literal (IPv6 without brackets).
///
/// # Errors
/// The name is unknown, or leads only to where we must not connect.
pub(super) async fn allowed(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> =
        tokio::net::lookup_host((host, port)).await?.filter(|address| is_allowed_address(address.ip())).collect();
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{host} leads to no address that is allowed"),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[tokio::test]
    async fn only_allowed_addresses_are_given() {
        assert!(!allowed("localhost", 80).await.unwrap().is_empty());
        assert_eq!(allowed("169.254.169.254", 80).await.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        assert_eq!(allowed("0.0.0.0", 80).await.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    }
}

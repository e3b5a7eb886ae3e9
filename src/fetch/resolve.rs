//! DNS resolver that returns only allowed addresses. It runs at each connect, so that the checked address is the one
//! connected to.

use super::allowlist::Allow;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{io, sync::Arc};

/// Resolver for reqwest, which does not use it for addresses in a URL.
#[derive(Debug, Clone)]
pub(super) struct Guarded(pub(super) Arc<Allow>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = allow.of_name(name.as_str(), found);
            if allowed.is_empty() {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

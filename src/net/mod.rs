//! Addresses that must not be connected to, and a resolver for `reqwest` that never returns them.

mod dns_guard;
mod ip_class;

pub(crate) use dns_guard::{DnsGuard, resolve};
pub(crate) use ip_class::{IpClass, embeds_ipv4, is_within};

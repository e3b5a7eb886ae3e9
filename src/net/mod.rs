//! Connections to servers that are not trusted: addresses that must not be connected to, streams without end, an HTTP
//! client.

mod dns_guard;
mod guarded_stream;
mod http_client;
mod ip_class;

pub(crate) use dns_guard::{DnsGuard, resolve};
pub(crate) use guarded_stream::{BYTES_PER_POLL, GuardedStream};
pub(crate) use http_client::{ConnectionLimits, HttpClient, HttpError};
pub(crate) use ip_class::{IpClass, embeds_ipv4, is_within};

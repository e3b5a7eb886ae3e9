//! Hosts that an instance may have: an IP literal or an RFC 1123 name. Special addresses ([`IpClass::Special`]) are refused;
//! loopback and private networks are where ComfyUI usually runs.

use crate::net::{IpClass, embeds_ipv4};
use std::net::IpAddr;

/// Whether the dispatcher may connect to this address. For a host name, ask about every address that it resolves to.
pub fn is_allowed_address(address: IpAddr) -> bool {
    // An embedded IPv4 address has a spelling of its own; accepting both would give one instance two ids.
    let is_ipv4_in_ipv6 = matches!(address, IpAddr::V6(v6) if embeds_ipv4(v6));
    !is_ipv4_in_ipv6 && IpClass::of(address) != IpClass::Special
}

/// Returns the host in its canonical spelling: lower case, IPv6 in its short form.
///
/// # Errors
/// The reason it cannot be the host of an instance, as a message.
pub(super) fn host(text: &str) -> Result<String, &'static str> {
    if let Ok(address) = text.parse::<IpAddr>() {
        if !is_allowed_address(address) {
            return Err(
                "link-local, metadata, IPv4-in-IPv6, unspecified, broadcast, multicast and reserved addresses \
                        are not allowed",
            );
        }
        return Ok(address.to_string());
    }
    if text.starts_with('[') {
        return Err("an IPv6 address is written without brackets");
    }
    if text.contains(['/', '@', '?', '#', ':', '%']) {
        return Err("`ip` is an IP address or a host name alone: no scheme, user, port, path or zone");
    }
    if !is_rfc1123_name(text) {
        return Err("`ip` must be an IP address or a host name of letters, digits, hyphens and dots");
    }
    Ok(text.to_ascii_lowercase())
}

fn is_rfc1123_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A resolver takes `127.1`, `2130706433` and `0x7f.1` as addresses.
    let last = text.rsplit('.').next().unwrap_or_default();
    let ends_in_a_number =
        last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    text.len() <= 253 && text.split('.').all(is_label) && !ends_in_a_number
}

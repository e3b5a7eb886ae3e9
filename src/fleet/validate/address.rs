//! Which hosts an instance may have: an IP literal or an RFC 1123 name, and no address that leads to a cloud's metadata,
//! to everybody, or to nobody. Loopback and private networks are where ComfyUI lives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata services outside the link-local range: Alibaba, Azure.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
/// AWS.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether the dispatcher may connect to this address. For names: to be asked of every address they resolve to.
pub fn is_allowed_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_allowed_v4(v4),
        IpAddr::V6(v6) => is_allowed_v6(v6),
    }
}

fn is_allowed_v4(v4: Ipv4Addr) -> bool {
    let this_network = v4.octets()[0] == 0;
    let reserved = v4.octets()[0] >= 240;
    !(this_network || reserved || v4.is_link_local() || v4.is_multicast() || METADATA_V4.contains(&v4))
}

fn is_allowed_v6(v6: Ipv6Addr) -> bool {
    let segments = v6.segments();
    // An IPv4 address in IPv6 clothes would pass by the list above: mapped, compatible, NAT64, 6to4.
    let embeds_v4 = segments[..5] == [0; 5] && !v6.is_loopback()
        || segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0]
        || segments[0] == 0x2002;
    !(embeds_v4 || v6.is_unicast_link_local() || v6.is_multicast() || v6 == METADATA_V6)
}

/// The host in one spelling (lower case, IPv6 in its short form), or why it cannot be one.
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
    // `127.1`, `2130706433` and `0x7f.1` are addresses to a resolver, whatever they look like.
    let last = text.rsplit('.').next().unwrap_or_default();
    let ends_in_a_number =
        last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    text.len() <= 253 && text.split('.').all(is_label) && !ends_in_a_number
}

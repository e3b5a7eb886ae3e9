//! The class of an IP address: public, internal, or special (IANA's special-purpose registries of IPv4 and IPv6, and the
//! metadata services of clouds).
//!
//! The only table of special addresses: `fetch` and the fleet both use it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Class of an address, which decides whether it may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IpClass {
    /// The public internet.
    Public,
    /// Loopback, private and documentation networks. Instances live here; files are fetched from here only if the operator
    /// names the host.
    Internal,
    /// Metadata services, link-local, multicast, unspecified and reserved addresses. No instance and no file server has one.
    Special,
}

/// Private, shared (CGNAT), loopback, documentation, benchmarks.
const INTERNAL_V4: [([u8; 4], u32); 11] = [
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
];
/// This host, link-local (metadata), the metadata services outside of it (Azure, Alibaba, Oracle), multicast, reserved.
const SPECIAL_V4: [([u8; 4], u32); 7] = [
    ([0, 0, 0, 0], 8),
    ([100, 100, 100, 200], 32),
    ([168, 63, 129, 16], 32),
    ([169, 254, 0, 0], 16),
    ([192, 0, 0, 192], 32),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];
/// Within the public part of IPv6: protocol assignments (Teredo among them), documentation, 6to4.
const SPECIAL_V6: [([u16; 8], u32); 4] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];
/// Metadata services with a unique local address (AWS, Google).
const METADATA_V6: [[u16; 8]; 2] = [[0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]];
/// NAT64 (RFC 6052): an IPv4 address in the last 32 bits.
const NAT64: ([u16; 8], u32) = ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

impl IpClass {
    /// Classifies an address. An IPv6 address that embeds an IPv4 address is never in a better class than that one.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

/// Whether an IPv6 address carries an IPv4 address: mapped, compatible, NAT64 or 6to4.
pub(crate) fn embeds_ipv4(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    segments[..5] == [0; 5] && !address.is_loopback()
        || segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0]
        || segments[0] == 0x2002
}

/// Whether `address` shares the first `bits` with `network`. An IPv4 and an IPv6 address never do.
pub(crate) fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.leading_zeros() >= bits
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.leading_zeros() >= bits
        }
        _ => false,
    }
}

fn of_v4(address: Ipv4Addr) -> IpClass {
    let is_in = |list: &[([u8; 4], u32)]| {
        list.iter().any(|&(network, bits)| is_within(address.into(), Ipv4Addr::from(network).into(), bits))
    };
    if is_in(&SPECIAL_V4) {
        IpClass::Special
    } else if is_in(&INTERNAL_V4) {
        IpClass::Internal
    } else {
        IpClass::Public
    }
}

fn of_v6(address: Ipv6Addr) -> IpClass {
    let is_in = |(network, bits): ([u16; 8], u32)| is_within(address.into(), Ipv6Addr::from(network).into(), bits);
    if is_in(NAT64) {
        let [.., a, b, c, d] = address.octets();
        // A translator to our own network is never a way to a file server.
        return if of_v4(Ipv4Addr::new(a, b, c, d)) == IpClass::Public { IpClass::Public } else { IpClass::Special };
    }
    if METADATA_V6.contains(&address.segments()) {
        return IpClass::Special;
    }
    if address.is_loopback() || address.is_unique_local() {
        return IpClass::Internal;
    }
    // Everything that is not global unicast: unspecified, link-local, site-local, multicast, discard, v4-compatible, local NAT64.
    if !is_in(([0x2000, 0, 0, 0, 0, 0, 0, 0], 3)) || SPECIAL_V6.into_iter().any(is_in) {
        return IpClass::Special;
    }
    IpClass::Public
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{IpClass, embeds_ipv4, is_within, of_v4};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, prop_assert_ne, proptest};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// The first and last address of every block, and the neighbours outside.
    #[test]
    fn every_special_block_is_recognised_up_to_its_edges() {
        for (class, addresses) in [
            (
                IpClass::Internal,
                "10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255 172.16.0.0 172.31.255.255 \
                 192.0.0.0 192.0.0.255 192.0.2.1 192.88.99.1 192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 \
                 198.51.100.7 203.0.113.255 ::1 fc00:: fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::ffff:10.0.0.1 \
                 ::ffff:127.0.0.1 ::ffff:192.168.1.1",
            ),
            (
                IpClass::Special,
                "0.0.0.0 0.255.255.255 169.254.0.0 169.254.169.254 169.254.255.255 100.100.100.200 168.63.129.16 \
                 192.0.0.192 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: fe80::1 febf::1 fec0::1 ff02::1 \
                 ::ffff:169.254.169.254 ::ffff:0.0.0.0 ::127.0.0.1 ::1.2.3.4 100::1 2001::1 2001:0:4136:e378::1 \
                 2001:1ff:ffff::1 2001:db8::1 2002:7f00:1::1 2002:808:808::1 3fff::1 3fff:fff::1 5f00::1 64:ff9b::10.0.0.1 \
                 64:ff9b::169.254.169.254 64:ff9b::127.0.0.1 64:ff9b:1::8.8.8.8 fd00:ec2::254 fd20:ce::254 4000::1 1fff::1",
            ),
            (
                IpClass::Public,
                "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
                 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 \
                 198.17.255.255 198.20.0.0 223.255.255.255 168.63.129.17 2606:4700:4700::1111 2001:200::1 2a00::1 \
                 3ffe::1 64:ff9b::8.8.8.8 ::ffff:8.8.8.8 2001:db7::1 2001:db9::1 2003::1",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(IpClass::of(address.parse().unwrap()), class, "{address}");
            }
        }
    }

    proptest! {
        /// An IPv4 address gains nothing by any of its IPv6 forms.
        #[test]
        fn an_embedded_ipv4_address_is_never_in_a_better_class(bits in any::<u32>()) {
            let bare = of_v4(Ipv4Addr::from_bits(bits));
            let mapped = Ipv4Addr::from_bits(bits).to_ipv6_mapped();
            prop_assert_eq!(IpClass::of(IpAddr::V6(mapped)), bare);
            let nat64 = Ipv6Addr::from_bits((0x64_ff9b << 96) | u128::from(bits));
            prop_assert_eq!(IpClass::of(nat64.into()) == IpClass::Public, bare == IpClass::Public);
            let (six_to_four, compatible) = ((0x2002 << 112) | (u128::from(bits) << 80), u128::from(bits));
            for v6 in [mapped, nat64, Ipv6Addr::from_bits(six_to_four)] {
                prop_assert!(embeds_ipv4(v6));
            }
            prop_assert_ne!(IpClass::of(Ipv6Addr::from_bits(six_to_four).into()), IpClass::Public);
            prop_assert_ne!(IpClass::of(Ipv6Addr::from_bits(compatible).into()), IpClass::Public);
        }

        #[test]
        fn what_the_standard_library_calls_special_is_not_public(bits in any::<u32>(), wide in any::<u128>()) {
            let v4 = Ipv4Addr::from_bits(bits);
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_unspecified()
            {
                prop_assert_ne!(IpClass::of(v4.into()), IpClass::Public);
            }
            let v6 = Ipv6Addr::from_bits(wide);
            if v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_multicast() {
                prop_assert_ne!(IpClass::of(v6.into()), IpClass::Public);
            }
        }

        #[test]
        fn a_network_contains_addresses_with_its_first_bits(a in any::<u32>(), b in any::<u32>(), bits in 0_u32..=32) {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let is_in = is_within(Ipv4Addr::from_bits(a).into(), Ipv4Addr::from_bits(b).into(), bits);
            prop_assert_eq!(is_in, a & mask == b & mask);
        }
    }
}

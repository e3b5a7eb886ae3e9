//! Allowlist of fetches: the public internet, and the networks and hosts in `SHUZHIREN_FETCH_ALLOW`.

use crate::net::{IpClass, is_within};
use std::net::IpAddr;

/// The parsed allowlist.
#[derive(Debug, Default)]
pub(super) struct Allowlist {
    networks: Vec<(IpAddr, u32)>,
    /// Hosts: `files.intern`, or `.intern` for all hosts below it.
    hosts: Vec<String>,
}

impl Allowlist {
    /// Parses `10.0.0.0/8`, `fd00::/8`, `192.168.1.7`, `files.intern`, `*.intern`.
    ///
    /// # Errors
    /// A message about an entry that is none of these.
    pub(super) fn parse(entries: &[String]) -> Result<Self, String> {
        let mut allow = Self::default();
        for entry in entries.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty()) {
            if let Some(network) = network(entry) {
                allow.networks.push(network);
            } else if let Some(host) = host(entry) {
                allow.hosts.push(host);
            } else {
                return Err(format!(
                    "`{entry}` in SHUZHIREN_FETCH_ALLOW is not a network, address or host; write it like 10.0.0.0/8 or files.intern"
                ));
            }
        }
        Ok(allow)
    }

    /// Whether a connection to this address of this host is allowed (`None` = the URL contains the address itself).
    pub(super) fn takes(&self, host: Option<&str>, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|&(network, bits)| is_within(address, network, bits))
            || match IpClass::of(address) {
                IpClass::Public => true,
                IpClass::Internal => host.is_some_and(|host| self.names(host)),
                IpClass::Special => false,
            }
    }

    fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.hosts.iter().any(|known| match known.strip_prefix('.') {
            Some(_) => host.ends_with(known.as_str()),
            None => host == *known,
        })
    }
}

fn network(entry: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match entry.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (entry, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok()).filter(|bits| *bits <= most)?;
    Some((address, bits))
}

fn host(entry: &str) -> Option<String> {
    let (prefix, name) = entry.strip_prefix("*.").map_or(("", entry), |rest| (".", rest));
    let name = name.trim_end_matches('.');
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // A last label of digits is a mistyped address.
    let is_name = name.split('.').all(is_label) && !name.rsplit('.').next()?.bytes().all(|byte| byte.is_ascii_digit());
    is_name.then(|| format!("{prefix}{}", name.to_ascii_lowercase()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::Allowlist;
    use std::net::IpAddr;

    fn allow(entries: &[&str]) -> Allowlist {
        Allowlist::parse(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn without_a_list_only_the_public_internet_is_allowed() {
        let none = allow(&[]);
        for (address, is_taken) in [("8.8.8.8", true), ("10.0.0.1", false), ("127.0.0.1", false), ("::1", false)] {
            assert_eq!(none.takes(None, ip(address)), is_taken, "{address}");
            assert_eq!(none.takes(Some("localhost"), ip(address)), is_taken, "{address} by name");
        }
    }

    #[test]
    fn a_network_allows_exactly_its_addresses() {
        let some = allow(&["10.1.0.0/16", "127.0.0.1", " fd12::/16 ", "169.254.169.254/32"]);
        for address in ["10.1.0.0", "10.1.255.255", "127.0.0.1", "::ffff:10.1.2.3", "fd12::9", "169.254.169.254"] {
            assert!(some.takes(None, ip(address)), "{address}");
        }
        for address in ["10.0.255.255", "10.2.0.0", "127.0.0.2", "fd13::1", "169.254.169.253", "64:ff9b::10.1.2.3"] {
            assert!(!some.takes(None, ip(address)), "{address}");
        }
    }

    #[test]
    fn a_host_allows_private_addresses_but_never_a_metadata_service() {
        let some = allow(&["files.Intern", "*.lan"]);
        for (host, address, is_taken) in [
            ("files.intern", "10.0.0.1", true),
            ("FILES.INTERN.", "192.168.0.1", true),
            ("files.intern", "169.254.169.254", false),
            ("files.intern", "0.0.0.0", false),
            ("files.intern", "fe80::1", false),
            ("other.intern", "10.0.0.1", false),
            ("files.intern.evil.example", "10.0.0.1", false),
            ("a.lan", "10.0.0.1", true),
            ("a.b.lan", "::1", true),
            ("lan", "10.0.0.1", false),
            ("evillan", "10.0.0.1", false),
        ] {
            assert_eq!(some.takes(Some(host), ip(address)), is_taken, "{host} {address}");
        }
        assert!(!some.takes(None, ip("10.0.0.1")), "an address in the URL has no host name");
    }

    /// A private address of a name that also has a public one (rebinding) is not tried.
    #[test]
    fn private_addresses_among_several_are_dropped() {
        let found = ["10.0.0.1", "1.1.1.1", "::1"].map(ip).into_iter();
        let none = allow(&[]);
        let kept: Vec<IpAddr> = found.filter(|address| none.takes(Some("rebind.example"), *address)).collect();
        assert_eq!(kept, [ip("1.1.1.1")]);
    }

    #[test]
    fn an_invalid_entry_prevents_the_start() {
        for bad in
            ["10.0.0.0/33", "fd00::/129", "10.0.0", "300.1.1.1", "10.0.0.0/x", "http://x", "a..b", "*", "a b", "/8"]
        {
            assert!(Allowlist::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(Allowlist::parse(&[String::new()]).is_ok(), "an empty variable has no entries");
    }
}

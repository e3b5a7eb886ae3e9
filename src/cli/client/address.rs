//! The address of a system.

use crate::cli::error::Error;
use url::Url;

/// Parses an address: http or https, without query or password.
pub(crate) fn base_of(url: &str) -> Result<String, Error> {
    let wrong = |why: &str| Error::Usage(format!("--url `{url}`: {why}"));
    let parsed = Url::parse(url).map_err(|_| wrong("invalid address; write it like http://127.0.0.1:3000"))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(wrong("the address must start with http:// or https://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(wrong("the address must not contain a user or password: use shuzhiren login"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(wrong("the address must not contain ? or #"));
    }
    Ok(parsed.as_str().trim_end_matches('/').to_owned())
}

/// Whether an address is on this machine.
pub(crate) fn is_loopback(base: &str) -> bool {
    Url::parse(base).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::{base_of, is_loopback};

    #[test]
    fn addresses_are_checked_and_normalized() {
        assert_eq!(base_of("http://127.0.0.1:3000/").unwrap(), "http://127.0.0.1:3000");
        assert_eq!(base_of("HTTPS://Comfy.example.com/x/").unwrap(), "https://comfy.example.com/x");
        for bad in ["", "127.0.0.1:3000", "localhost:3000", "ftp://x", "http://a:b@x", "http://x?y", "http://x#y"] {
            assert!(base_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_addresses_are_this_machine() {
        for here in ["http://127.0.0.1:1", "http://localhost", "http://[::1]:3000"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in ["http://10.0.0.1", "http://localhost.example.com", "https://127.0.0.1.example.com"] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}

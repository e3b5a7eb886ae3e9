//! Limits of open connections, in total and per address, so that one address cannot lock out other clients.

use crate::metrics;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Counter of open connections.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    per_address_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Permit for one open connection; released when dropped, also after an upgrade.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    address: IpAddr,
}

/// The limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Address,
}

impl Full {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Address => "address",
        }
    }
}

impl Slots {
    pub(super) fn new(max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { max, per_address_max, open: Mutex::default() })
    }

    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Slot, Full> {
        let address = network(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= self.max {
            return Err(Full::All);
        }
        let of_address = open.by_address.entry(address).or_default();
        if *of_address >= self.per_address_max {
            return Err(Full::Address);
        }
        *of_address += 1;
        open.all += 1;
        drop(open);
        metrics::connection_opened();
        Ok(Slot { slots: self.clone(), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(of_address) = open.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&self.address);
            }
        }
        metrics::connection_closed();
    }
}

/// Returns the network that counts as one address: a subscriber usually has a whole IPv6 /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_slots_and_releases_them() {
        let slots = Slots::new(3, 2);
        let (one, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let held = [slots.take(one).unwrap(), slots.take(one).unwrap()];
        assert_eq!(slots.take(one).unwrap_err(), Full::Address);
        let _third = slots.take(other).unwrap();
        assert_eq!(slots.take(other).unwrap_err(), Full::All);
        drop(held);
        let _again = slots.take("2001:db8::ffff".parse().unwrap()).unwrap();
        assert_eq!(slots.take(other).unwrap_err(), Full::Address, "the same /64");
        assert_eq!(slots.open.lock().unwrap().by_address.len(), 1);
    }
}

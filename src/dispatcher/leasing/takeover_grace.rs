//! Decides when an expired lease may be taken over.
//!
//! Leases expire by Redis' clock, and owners cannot renew them while Redis is unreachable. After an outage, owners
//! therefore get a grace period in which only released leases are taken. A restarted Redis extends the leases itself
//! (`lua/lib/redis_restart.lua`); a paused or partitioned one cannot.

use crate::task::InstanceId;
use std::{collections::BTreeSet, time::Duration};

/// Gap between two reads that means Redis, or this process, was unavailable in between.
const OUTAGE_GAP: Duration = Duration::from_millis(2_500);
/// Grace period for owners after an outage, and at the start of a dispatcher that finds no other dispatcher. Equals the
/// pause of claims in `lua/lib/redis_restart.lua`.
const GRACE: Duration = Duration::from_secs(3);

/// Times of the lease reads, since boot.
#[derive(Debug, Default)]
pub(crate) struct TakeoverGrace {
    last_read: Option<Duration>,
    grace_until: Duration,
}

/// Leases sorted by whether they may be taken over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ownership {
    /// Leases that must not be taken over.
    pub(crate) held: BTreeSet<InstanceId>,
    /// Dispatchers that let a lease expire. They get no share, even if their heartbeat is still valid.
    pub(crate) dead: BTreeSet<String>,
}

impl TakeoverGrace {
    /// Sorts the leases of the instances `known` that dispatcher `me` read at `now`. Those in `free` are not held: each
    /// is (instance, owner); an empty owner means that the lease was released.
    ///
    /// `live` holds the dispatchers with a valid heartbeat. On the first read, another live dispatcher proves that
    /// Redis was available all the time, so a restarted process needs no grace period.
    pub(crate) fn classify(
        &mut self,
        me: &str,
        live: &BTreeSet<String>,
        known: &BTreeSet<InstanceId>,
        free: Vec<(InstanceId, String)>,
        now: Duration,
    ) -> Ownership {
        let after_outage = match self.last_read.replace(now) {
            Some(before) => now.saturating_sub(before) > OUTAGE_GAP,
            None => live.iter().all(|dispatcher| dispatcher == me),
        };
        if after_outage {
            self.grace_until = now + GRACE;
        }
        let mut ownership = Ownership { held: known.clone(), dead: BTreeSet::new() };
        for (instance, owner) in free {
            let is_expired = !owner.is_empty() && owner != me;
            if is_expired && now < self.grace_until {
                ownership.held.insert(instance);
                continue;
            }
            ownership.held.remove(&instance);
            if is_expired {
                ownership.dead.insert(owner);
            }
        }
        ownership
    }
}

#[cfg(test)]
mod tests {
    use super::{Ownership, TakeoverGrace};
    use crate::task::InstanceId;
    use std::{collections::BTreeSet, time::Duration};

    fn known() -> BTreeSet<InstanceId> {
        ["alive", "expired", "released", "mine"].map(InstanceId::new).into()
    }

    fn free() -> Vec<(InstanceId, String)> {
        [("expired", "b"), ("released", ""), ("mine", "me")]
            .map(|(instance, owner)| (InstanceId::new(instance), owner.to_owned()))
            .to_vec()
    }

    fn held(ownership: &Ownership) -> Vec<&str> {
        ownership.held.iter().map(InstanceId::as_str).collect()
    }

    #[test]
    fn an_expired_lease_is_taken_over_only_without_an_outage() {
        let alone = BTreeSet::from(["me".to_owned()]);
        let mut grace = TakeoverGrace::default();
        let mut at = |ms: u64| grace.classify("me", &alone, &known(), free(), Duration::from_millis(ms));
        assert_eq!(held(&at(10_000)), ["alive", "expired"], "at the start");
        assert_eq!(held(&at(12_000)), ["alive", "expired"]);
        let later = at(13_000);
        assert_eq!((held(&later), later.dead.iter().map(String::as_str).collect()), (vec!["alive"], vec!["b"]));
        let after_outage = at(20_000);
        assert_eq!(held(&after_outage), ["alive", "expired"]);
        assert!(after_outage.dead.is_empty());
    }

    #[test]
    fn a_dispatcher_that_starts_beside_others_takes_over_at_once_but_not_after_an_outage() {
        let live = BTreeSet::from(["a".to_owned(), "me".to_owned()]);
        let mut grace = TakeoverGrace::default();
        let mut at = |ms: u64| grace.classify("me", &live, &known(), free(), Duration::from_millis(ms));
        assert_eq!(held(&at(10_000)), ["alive"]);
        assert_eq!(held(&at(20_000)), ["alive", "expired"]);
    }
}

//! Whose a lease is that has run out: its owner is dead or asleep, unless Redis, or this process, was away.
//!
//! A lease runs out by Redis' clock, and nobody can renew it while Redis does not answer. So after an outage the owners come
//! first: for a while only what was given back is taken. A Redis that was restarted prolongs the leases itself
//! (`lua/lib/boot.lua`); one that was paused or cut off does not know.

use crate::task::InstanceId;
use std::{collections::BTreeSet, time::Duration};

/// Readings so far apart say that Redis, or this process, was away.
const AWAY_AFTER: Duration = Duration::from_millis(2_500);
/// After that, and at the start of a dispatcher that finds no other, leases that ran out are left to their owners for so long:
/// as long as claims rest in `lua/lib/boot.lua`.
const OWNERS_FIRST: Duration = Duration::from_secs(3);

/// Remembers when leases were read. Times are since boot.
#[derive(Debug, Default)]
pub(super) struct OwnersFirst {
    read: Option<Duration>,
    until: Duration,
}

/// What the leases say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owned {
    /// Not to be taken.
    pub(super) held: BTreeSet<InstanceId>,
    /// Dispatchers that let a lease run out: they get no share, whatever their last heartbeat said.
    pub(super) dead: BTreeSet<String>,
}

impl OwnersFirst {
    /// Sorts what `me` read at `now`: (instance, owner or "" = given back, remaining).
    ///
    /// `live` are the dispatchers whose heartbeat lasts. At the start another one among them says that Redis was there all
    /// the time: then a process that was started anew takes over as quickly as one that never died.
    pub(super) fn sort(
        &mut self,
        me: &str,
        live: &BTreeSet<String>,
        leases: Vec<(InstanceId, String, Duration)>,
        now: Duration,
    ) -> Owned {
        let was_away = match self.read.replace(now) {
            Some(before) => now.saturating_sub(before) > AWAY_AFTER,
            None => live.iter().all(|dispatcher| dispatcher == me),
        };
        if was_away {
            self.until = now + OWNERS_FIRST;
        }
        let mut owned = Owned { held: BTreeSet::new(), dead: BTreeSet::new() };
        for (instance, owner, remaining) in leases {
            let has_run_out = remaining.is_zero() && !owner.is_empty() && owner != me;
            if !remaining.is_zero() || (has_run_out && now < self.until) {
                owned.held.insert(instance);
            } else if has_run_out {
                owned.dead.insert(owner);
            }
        }
        owned
    }
}

#[cfg(test)]
mod tests {
    use super::{Owned, OwnersFirst};
    use crate::task::InstanceId;
    use std::{collections::BTreeSet, time::Duration};

    fn leases() -> Vec<(InstanceId, String, Duration)> {
        [("alive", "a", 5), ("run-out", "b", 0), ("given-back", "", 0), ("mine", "me", 0)]
            .map(|(instance, owner, seconds)| {
                (InstanceId::new(instance), owner.to_owned(), Duration::from_secs(seconds))
            })
            .to_vec()
    }

    fn held(owned: &Owned) -> Vec<&str> {
        owned.held.iter().map(InstanceId::as_str).collect()
    }

    #[test]
    fn a_lease_that_ran_out_is_inherited_only_when_nobody_was_away() {
        let alone = BTreeSet::from(["me".to_owned()]);
        let mut owners_first = OwnersFirst::default();
        let mut at = |ms: u64| owners_first.sort("me", &alone, leases(), Duration::from_millis(ms));
        assert_eq!(held(&at(10_000)), ["alive", "run-out"], "at the start");
        assert_eq!(held(&at(12_000)), ["alive", "run-out"]);
        let later = at(13_000);
        assert_eq!((held(&later), later.dead.iter().map(String::as_str).collect()), (vec!["alive"], vec!["b"]));
        let after_outage = at(20_000);
        assert_eq!(held(&after_outage), ["alive", "run-out"]);
        assert!(after_outage.dead.is_empty());
    }

    #[test]
    fn one_that_starts_beside_others_inherits_at_once_but_not_after_an_outage() {
        let live = BTreeSet::from(["a".to_owned(), "me".to_owned()]);
        let mut owners_first = OwnersFirst::default();
        let mut at = |ms: u64| owners_first.sort("me", &live, leases(), Duration::from_millis(ms));
        assert_eq!(held(&at(10_000)), ["alive"]);
        assert_eq!(held(&at(20_000)), ["alive", "run-out"]);
    }
}

//! Passes over the first head of a lane by later tasks of the lane: their number, and the time of the first.
//!
//! Only the *first* head counts: of the heads of a lane that a place can run, the one with the lowest tag. When the place
//! takes another head of the lane, the first one is passed over. A task behind others is not passed over when a later one
//! goes first: it was not its turn. Each claim therefore changes one counter.

/// Passes over the head of a group.
///
/// A task with a lower tag may become the head. It takes over the passes, which makes it due a little early, and leaves
/// them to the next head ([`Self::after_take`]): no task is passed over more often than its group's passes say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Passes {
    /// Tasks that went before it.
    pub times: u32,
    /// Unix ms of the first of them; without meaning while `times` is 0.
    pub since_ms: u64,
    /// Highest tag of the heads that were passed over.
    pub tag: f64,
}

impl Passes {
    /// Returns the passes after one more over the head with this tag at `now_ms`.
    #[must_use]
    pub fn one_more(self, tag: f64, now_ms: u64) -> Self {
        let since_ms = if self.times == 0 { now_ms } else { self.since_ms };
        Self { times: self.times.saturating_add(1), since_ms, tag: self.tag.max(tag) }
    }

    /// Returns the passes of the next head of the group after the head with this tag was taken.
    #[must_use]
    pub fn after_take(self, tag: f64) -> Self {
        if tag < self.tag { self } else { Self::default() }
    }

    /// Whether the head must be taken next by each place that can run it.
    #[must_use]
    pub fn is_due(self, times_max: u32, ms_max: u64, now_ms: u64) -> bool {
        self.times >= times_max || self.times > 0 && now_ms.saturating_sub(self.since_ms) >= ms_max
    }
}

#[cfg(test)]
mod tests {
    use super::Passes;

    #[test]
    fn a_head_is_due_by_count_or_by_time() {
        let fresh = Passes::default();
        assert!(!fresh.is_due(2, 100, u64::MAX), "never passed over");
        let once = fresh.one_more(7.0, 50);
        assert!(!once.is_due(2, 100, 149) && once.is_due(2, 100, 150));
        let twice = once.one_more(6.0, 60);
        assert_eq!(twice, Passes { times: 2, since_ms: 50, tag: 7.0 });
        assert!(twice.is_due(2, 100, 61));
    }

    #[test]
    fn passes_stay_until_the_last_passed_head_is_taken() {
        let passes = Passes::default().one_more(7.0, 50);
        assert_eq!(passes.after_take(6.0), passes, "a task that came before it");
        assert_eq!(passes.after_take(7.0), Passes::default());
    }
}

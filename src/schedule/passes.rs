//! How often and since when the first head of a lane was passed over by later tasks of the lane.
//!
//! Only the *first* head counts: of the heads of a lane that a place can run, the one with the lowest tag. When the place
//! takes another head of the lane, the first one is passed over. A task behind others is not passed over when a later one
//! goes first: it was not its turn. Each claim therefore changes one counter.

/// Passes over one head. They stay with it until it is taken; a head that is first again later keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passes {
    /// Tasks that went before it.
    pub times: u32,
    /// Unix ms of the first of them; without meaning while `times` is 0.
    pub since_ms: u64,
}

impl Passes {
    /// Returns the passes after one more at `now_ms`.
    #[must_use]
    pub fn one_more(self, now_ms: u64) -> Self {
        let since_ms = if self.times == 0 { now_ms } else { self.since_ms };
        Self { times: self.times.saturating_add(1), since_ms }
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
        let once = fresh.one_more(50);
        assert!(!once.is_due(2, 100, 149) && once.is_due(2, 100, 150));
        let twice = once.one_more(60);
        assert_eq!(twice, Passes { times: 2, since_ms: 50 });
        assert!(twice.is_due(2, 100, 61));
    }
}

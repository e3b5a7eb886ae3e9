//! Budget of one request: the work of reading and resolving it, the bytes that its params multiply, and the end of both
//! when the client is gone.
//!
//! Loops over lists of a request spend steps before they work. When the budget is over they stop wherever they are, with
//! a result that means nothing; [`Budget::check`] reports it to the caller, who asks before the result is used.

use rustix::time::{ClockId, clock_gettime};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Bytes of text that count as one step.
const BYTES_PER_STEP: usize = 64;
/// Steps between two looks at the clock and at the cancellation: well below a millisecond.
const STEPS_PER_LOOK: u64 = 4_096;
/// Steps of a search for similar names.
const SEARCH_STEPS: usize = 20_000;

/// Limits of a [`Budget`].
#[derive(Debug, Clone, Copy)]
pub struct BudgetLimits {
    /// Steps: looking up a name, checking a value, or reading 64 bytes.
    pub steps: u64,
    /// CPU time of the thread.
    pub cpu: Duration,
    /// Bytes of values that params write: a value counts once for each input that it is written to.
    pub bytes: u64,
    /// Searches for similar names.
    pub searches: u64,
}

/// Reason why a budget is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// No steps or no CPU time are left.
    Work,
    /// No bytes are left.
    Bytes,
    /// The request was cancelled.
    Cancelled,
}

/// Work that one request may still make. Shared by everything that belongs to the request, all tasks of a batch included.
#[derive(Debug)]
pub struct Budget {
    limits: Option<BudgetLimits>,
    /// CPU time of the thread at which the budget is over.
    cpu_end: Duration,
    cancelled: Option<Arc<AtomicBool>>,
    // Atomics for an unlimited budget that all threads share; a limited one belongs to one thread, so that no step is an
    // atomic read-modify-write.
    steps: AtomicU64,
    next_look: AtomicU64,
    bytes: AtomicU64,
    searches: AtomicU64,
    end: AtomicU64,
}

static UNLIMITED: Budget = Budget {
    limits: None,
    cpu_end: Duration::ZERO,
    cancelled: None,
    steps: AtomicU64::new(0),
    next_look: AtomicU64::new(0),
    bytes: AtomicU64::new(0),
    searches: AtomicU64::new(0),
    end: AtomicU64::new(0),
};

impl Default for &Budget {
    /// Returns a budget that never ends.
    fn default() -> Self {
        &UNLIMITED
    }
}

impl Budget {
    /// Returns a budget for work on this thread, which ends early once `cancelled` is set.
    pub fn new(limits: BudgetLimits, cancelled: Option<Arc<AtomicBool>>) -> Self {
        Self {
            limits: Some(limits),
            cpu_end: cpu_time() + limits.cpu,
            cancelled,
            steps: AtomicU64::new(0),
            next_look: AtomicU64::new(STEPS_PER_LOOK),
            bytes: AtomicU64::new(0),
            searches: AtomicU64::new(0),
            end: AtomicU64::new(0),
        }
    }

    /// Spends steps. Returns whether the work may go on.
    pub fn spend(&self, steps: usize) -> bool {
        let Some(limits) = &self.limits else { return true };
        let spent = self.steps.load(Relaxed).saturating_add(steps as u64);
        self.steps.store(spent, Relaxed);
        if spent > limits.steps {
            self.end_by(Exhausted::Work);
        } else if spent >= self.next_look.load(Relaxed) {
            self.next_look.store(spent + STEPS_PER_LOOK, Relaxed);
            self.look();
        }
        !self.is_over()
    }

    /// Spends the steps of reading `bytes` of text once. Returns whether the work may go on.
    pub fn spend_text(&self, bytes: usize) -> bool {
        self.spend(1 + bytes / BYTES_PER_STEP)
    }

    /// Spends bytes of values that are about to be copied, and the steps for it. Returns whether there is room.
    pub fn keep(&self, bytes: usize) -> bool {
        let Some(limits) = &self.limits else { return true };
        let kept = self.bytes.load(Relaxed).saturating_add(bytes as u64);
        self.bytes.store(kept, Relaxed);
        if kept > limits.bytes {
            self.end_by(Exhausted::Bytes);
        }
        self.spend_text(bytes)
    }

    /// Gives the bytes of one task back: the tasks of a batch are resolved one after the other.
    pub fn next_task(&self) {
        if self.limits.is_some() {
            self.bytes.store(0, Relaxed);
        }
    }

    /// Takes one of the searches for similar names. Returns whether there was one. Without any, a budget is over at the
    /// first.
    pub fn take_search(&self) -> bool {
        let Some(limits) = &self.limits else { return true };
        let searches = self.searches.load(Relaxed);
        if limits.searches == 0 {
            self.end_by(Exhausted::Work);
        }
        if searches >= limits.searches {
            return false;
        }
        self.searches.store(searches + 1, Relaxed);
        self.spend(SEARCH_STEPS)
    }

    /// Whether the budget is over.
    pub fn is_over(&self) -> bool {
        self.end.load(Relaxed) != 0
    }

    /// Checks that the work was done in full.
    ///
    /// # Errors
    /// The reason why the budget is over: the result of the work means nothing then.
    pub fn check(&self) -> Result<(), Exhausted> {
        match self.end.load(Relaxed) {
            0 => Ok(()),
            1 => Err(Exhausted::Work),
            2 => Err(Exhausted::Bytes),
            _ => Err(Exhausted::Cancelled),
        }
    }

    /// Returns the number of steps spent.
    pub fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }

    fn look(&self) {
        if self.cancelled.as_ref().is_some_and(|cancelled| cancelled.load(Relaxed)) {
            self.end_by(Exhausted::Cancelled);
        } else if cpu_time() > self.cpu_end {
            self.end_by(Exhausted::Work);
        }
    }

    fn end_by(&self, why: Exhausted) {
        if !self.is_over() {
            let end = match why {
                Exhausted::Work => 1,
                Exhausted::Bytes => 2,
                Exhausted::Cancelled => 3,
            };
            self.end.store(end, Relaxed);
        }
    }
}

/// Returns the CPU time that this thread has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Budget, BudgetLimits, Exhausted};
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    const LIMITS: BudgetLimits =
        BudgetLimits { steps: 10_000, cpu: Duration::from_secs(60), bytes: 1_000, searches: 2 };

    #[test]
    fn a_budget_ends_by_the_first_limit_that_is_reached() {
        let budget = Budget::new(BudgetLimits { searches: 0, ..LIMITS }, None);
        assert!(budget.spend(9_000) && budget.keep(1_000) && budget.check().is_ok());
        assert!(!budget.spend(9_000) && !budget.keep(1_000));
        assert_eq!(budget.check(), Err(Exhausted::Work));
        let budget = Budget::new(LIMITS, None);
        assert!(budget.keep(600) && !budget.keep(600));
        assert_eq!(budget.check(), Err(Exhausted::Bytes));
        let budget = Budget::new(BudgetLimits { searches: 0, ..LIMITS }, None);
        assert!(!budget.take_search() && budget.check() == Err(Exhausted::Work));
        let unlimited: &Budget = Default::default();
        assert!(unlimited.spend(usize::MAX) && unlimited.keep(usize::MAX) && unlimited.check().is_ok());
    }

    #[test]
    fn each_task_has_its_bytes_and_all_share_the_searches() {
        let budget = Budget::new(BudgetLimits { steps: 1_000_000, ..LIMITS }, None);
        for _ in 0..3 {
            assert!(budget.keep(900));
            budget.next_task();
        }
        let searches = (0..5).filter(|_| budget.take_search()).count();
        assert_eq!((searches, budget.check()), (2, Ok(())));
    }

    #[test]
    fn a_cancelled_request_and_a_thread_without_time_end_soon() {
        let cancelled = Arc::new(AtomicBool::new(false));
        let budget = Budget::new(LIMITS, Some(cancelled.clone()));
        assert!(budget.spend(5_000));
        cancelled.store(true, Ordering::Relaxed);
        assert!(!budget.spend(5_000));
        assert_eq!(budget.check(), Err(Exhausted::Cancelled));
        let budget = Budget::new(BudgetLimits { cpu: Duration::ZERO, ..LIMITS }, None);
        assert!(!budget.spend(5_000));
        assert_eq!(budget.check(), Err(Exhausted::Work));
    }
}

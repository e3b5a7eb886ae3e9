//! Health of an instance, derived from its checks and runs. A pure state machine: times are parameters.

use crate::{
    backoff::Backoff,
    fleet::{Absence, Phase, PhaseChange},
};
use std::time::Duration;

/// First pause after repeated failed runs.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Consecutive failed runs that pause the instance.
const FAILURES_TO_PAUSE: u32 = 3;
/// Largest number of phase changes kept.
const HISTORY_MAX: usize = 20;
/// Longest check interval of an instance that seems unhealthy.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Health of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    misses: u32,
    answered: bool,
    down: bool,
    failures: u32,
    paused_until: Option<Duration>,
    pauses: Backoff,
    stuck: Option<String>,
    /// Reason of the quarantine.
    quarantine: Option<String>,
    /// First of the checks in a row that failed, Unix ms.
    missed_since_ms: Option<u64>,
    /// Whether connections were refused in all of these.
    is_refused: bool,
    last_error: Option<String>,
    history: Vec<PhaseChange>,
    phase: Phase,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            misses: 0,
            answered: false,
            down: false,
            failures: 0,
            paused_until: None,
            pauses: Backoff::new(PAUSE_MIN, PAUSE_MAX),
            stuck: None,
            quarantine: None,
            missed_since_ms: None,
            is_refused: false,
            last_error: None,
            history: Vec::new(),
            phase: Phase::default(),
        }
    }
}

impl Health {
    /// Records an answered check. `queue_empty` means that the instance has no prompt at all.
    pub(crate) fn answered(&mut self, queue_empty: bool) {
        if self.misses > 0 && self.failures < FAILURES_TO_PAUSE {
            self.last_error = None;
        }
        self.misses = 0;
        self.missed_since_ms = None;
        self.answered = true;
        self.down = false;
        if queue_empty {
            self.stuck = None;
        }
    }

    /// Records a failed check.
    pub(crate) fn missed(&mut self, reason: &str, misses_to_down: u32) {
        self.misses = self.misses.saturating_add(1);
        self.last_error = Some(reason.to_owned());
        if !self.answered || self.misses >= misses_to_down {
            self.down = true;
        }
    }

    /// Records the time of a failed check, and whether the connection was refused.
    pub(crate) fn missed_at(&mut self, unix_ms: u64, is_refused: bool) {
        self.is_refused = is_refused && (self.missed_since_ms.is_none() || self.is_refused);
        self.missed_since_ms.get_or_insert(unix_ms);
    }

    /// Returns the absence of an instance that does not answer. Its tasks are given to others after `gone_after`, or
    /// after `refused_max` if it refuses connections.
    pub(crate) fn absence(&self, gone_after: Duration, refused_max: Duration) -> Option<Absence> {
        let since_ms = self.missed_since_ms?;
        let longest = if self.is_refused { gone_after.min(refused_max) } else { gone_after };
        let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Some(Absence { since_ms, gone_at_ms: since_ms.saturating_add(longest_ms) })
    }

    /// Sets the reason of the quarantine; `None` ends it.
    pub(crate) fn set_quarantine(&mut self, reason: Option<String>) {
        self.quarantine = reason;
    }

    /// Records a run that proves the instance works; this includes node errors, which are the task's fault.
    pub(crate) fn run_succeeded(&mut self) {
        self.failures = 0;
        self.paused_until = None;
        self.pauses.reset();
        if self.misses == 0 {
            self.last_error = None;
        }
    }

    /// Records a run that failed because of the instance.
    pub(crate) fn run_failed(&mut self, reason: &str, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(reason.to_owned());
        if self.failures >= FAILURES_TO_PAUSE {
            self.paused_until = Some(now + self.pauses.next_pause());
        }
    }

    /// Records that a prompt ignores its interrupt. The instance gets no tasks until its queue was seen empty and the
    /// pause has passed.
    pub(crate) fn stuck(&mut self, reason: &str, now: Duration) {
        self.stuck = Some(reason.to_owned());
        self.failures = self.failures.max(FAILURES_TO_PAUSE - 1);
        self.run_failed(reason, now);
    }

    /// Whether the instance gets no tasks for this reason.
    pub(crate) fn is_stuck_by(&self, reason: &str) -> bool {
        self.stuck.as_deref() == Some(reason)
    }

    /// Whether the instance answers.
    pub(crate) fn is_alive(&self) -> bool {
        self.answered && !self.down
    }

    /// Whether the instance may get a task now.
    pub(crate) fn may_claim(&self, now: Duration) -> bool {
        self.is_alive()
            && self.misses == 0
            && self.stuck.is_none()
            && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Returns the delay until the next check.
    pub(crate) fn next_check(&self, interval: Duration) -> Duration {
        if self.misses > 0 || self.stuck.is_some() { interval.min(RECHECK_INTERVAL) } else { interval }
    }

    /// Updates the phase. Returns true if it changed. `unix_ms` is only recorded.
    pub(crate) fn update_phase(&mut self, enabled: bool, now: Duration, unix_ms: u64) -> bool {
        let phase = match (self.is_alive(), enabled) {
            (false, _) => Phase::Down,
            (true, false) => Phase::Draining,
            (true, true) if self.quarantine.is_some() => Phase::Quarantined,
            // After a pause the instance stays suspect until a run succeeds.
            (true, true) if self.may_claim(now) && self.failures < FAILURES_TO_PAUSE => Phase::Up,
            (true, true) => Phase::Suspect,
        };
        if phase == self.phase && !self.history.is_empty() {
            return false;
        }
        self.phase = phase;
        let reason = match phase {
            Phase::Suspect | Phase::Down => self.last_error(),
            Phase::Quarantined => self.quarantine.clone(),
            Phase::Up | Phase::Draining => None,
        };
        self.history.insert(0, PhaseChange { at_ms: unix_ms, phase, reason });
        self.history.truncate(HISTORY_MAX);
        true
    }

    /// The current phase.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The current or last error.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.stuck.clone().or_else(|| self.last_error.clone())
    }

    /// Phase changes, newest first.
    pub(crate) fn history(&self) -> &[PhaseChange] {
        &self.history
    }
}

#[cfg(test)]
mod tests {
    use super::Health;
    use crate::fleet::Phase;
    use std::time::Duration;

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn one_miss_is_suspect_three_are_down_and_an_answer_is_up() {
        let mut health = Health::default();
        health.answered(true);
        assert!(health.update_phase(true, NOW, 1) && health.phase() == Phase::Up);
        health.missed("refused", 3);
        assert!(health.update_phase(true, NOW, 2) && health.phase() == Phase::Suspect && health.is_alive());
        health.missed("refused", 3);
        health.missed("refused", 3);
        assert!(health.update_phase(true, NOW, 3) && health.phase() == Phase::Down);
        assert_eq!(health.history()[0].reason.as_deref(), Some("refused"));
        health.answered(true);
        assert!(health.update_phase(true, NOW, 4) && health.may_claim(NOW));
        assert_eq!(health.last_error(), None, "an instance that is back has no error");
    }

    #[test]
    fn an_instance_that_never_answered_is_down_at_its_first_miss() {
        let mut health = Health::default();
        health.missed("refused", 3);
        assert!(health.update_phase(true, NOW, 1));
        assert_eq!(health.phase(), Phase::Down);
    }

    #[test]
    fn pauses_after_failed_runs_grow() {
        let mut health = Health::default();
        health.answered(true);
        health.run_failed("500", NOW);
        health.run_failed("500", NOW);
        assert!(health.may_claim(NOW));
        health.run_failed("500", NOW);
        let later = NOW + Duration::from_secs(1);
        assert!(!health.may_claim(NOW) && health.may_claim(later));
        health.update_phase(true, later, 1);
        assert_eq!(health.phase(), Phase::Suspect, "suspect until a run succeeds");
        for _ in 0..20 {
            health.run_failed("500", NOW);
        }
        assert!(!health.may_claim(NOW + Duration::from_secs(59)) && health.may_claim(NOW + Duration::from_secs(60)));
        health.run_succeeded();
        assert!(health.may_claim(NOW) && health.update_phase(true, NOW, 2) && health.phase() == Phase::Up);
    }

    #[test]
    fn a_stuck_instance_gets_no_task_before_its_queue_is_empty() {
        let mut health = Health::default();
        health.answered(true);
        health.stuck("ignores its interrupt", NOW);
        let later = NOW + Duration::from_secs(600);
        health.answered(false);
        assert!(!health.may_claim(later));
        health.answered(true);
        assert!(health.may_claim(later));
    }

    #[test]
    fn a_quarantine_is_a_phase_with_its_reason() {
        let mut health = Health::default();
        health.answered(true);
        health.set_quarantine(Some("CUDA error".to_owned()));
        assert!(health.update_phase(true, NOW, 1) && health.phase() == Phase::Quarantined);
        assert_eq!(health.history()[0].reason.as_deref(), Some("CUDA error"));
        health.set_quarantine(None);
        assert!(health.update_phase(true, NOW, 2) && health.phase() == Phase::Up);
    }

    #[test]
    fn an_absence_ends_sooner_if_connections_are_refused() {
        let (gone_after, refused) = (Duration::from_secs(60), Duration::from_secs(10));
        let mut health = Health::default();
        health.answered(true);
        assert_eq!(health.absence(gone_after, refused), None);
        health.missed_at(1_000, true);
        health.missed_at(2_000, true);
        assert_eq!(
            health.absence(gone_after, refused).map(|one| (one.since_ms, one.gone_at_ms)),
            Some((1_000, 11_000))
        );
        health.missed_at(3_000, false);
        assert_eq!(health.absence(gone_after, refused).map(|one| one.gone_at_ms), Some(61_000));
        health.answered(true);
        assert_eq!(health.absence(gone_after, refused), None);
    }

    #[test]
    fn a_disabled_instance_drains() {
        let mut health = Health::default();
        health.answered(true);
        health.update_phase(false, NOW, 1);
        assert_eq!(health.phase(), Phase::Draining);
    }
}

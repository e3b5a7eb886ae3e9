//! Estimate of a task's start. Tasks ahead of it take the mean of all recent runs, running tasks have half of that left, and
//! every healthy instance that can run the task works on those ahead.

use crate::{
    fleet::{InstanceView, Phase},
    queue::WaitFacts,
    task::InstanceId,
};
use std::collections::HashSet;

/// Estimates the time until a task starts, ms. `eligible` lists the instances that may run it; empty = all.
///
/// `None` if there is no dispatcher, or no healthy instance that may run it, or if tasks are ahead and no run was recorded yet.
pub fn eta_ms(wait_facts: &WaitFacts, eligible: &[InstanceId], instances: &[InstanceView]) -> Option<u64> {
    let known: HashSet<&str> = eligible.iter().map(InstanceId::as_str).collect();
    let may_run = |one: &&InstanceView| {
        one.enabled && one.alive && one.phase == Phase::Up && (known.is_empty() || known.contains(one.id.as_str()))
    };
    let fitting = instances.iter().filter(may_run).count() as u64;
    let free = instances.iter().filter(may_run).filter(|one| !one.busy).count() as u64;
    if wait_facts.dispatchers == 0 || fitting == 0 {
        return None;
    }
    let rest_ms = u64::try_from(wait_facts.claims_pause.as_millis()).unwrap_or(u64::MAX);
    let ahead = wait_facts.urgent.saturating_add(wait_facts.position?);
    let Some(behind) = ahead.checked_sub(free) else { return Some(rest_ms) };
    // A slot becomes free every `run / fitting`; the first after half of that, since running tasks are half done on average.
    let halves = behind.saturating_mul(2).saturating_add(1);
    let wait_ms = wait_facts.any_run_ms?.saturating_mul(halves) / fitting.saturating_mul(2);
    Some(wait_ms.saturating_add(rest_ms))
}

#[cfg(test)]
mod tests {
    use super::eta_ms;
    use crate::{
        fleet::{InstanceView, Phase},
        queue::WaitFacts,
        task::InstanceId,
    };
    use proptest::prelude::{any, proptest};
    use std::time::Duration;

    fn instance(id: &str, busy: bool, phase: Phase) -> InstanceView {
        InstanceView {
            id: id.to_owned(),
            server_id: "s".to_owned(),
            server_name: "s".to_owned(),
            ip: "127.0.0.1".to_owned(),
            port: 1,
            enabled: true,
            alive: phase != Phase::Down,
            busy,
            last_heartbeat: None,
            version: None,
            queue_depth: 0,
            current_task_id: None,
            phase,
            last_error: None,
            device: None,
        }
    }

    const FIRST: WaitFacts = WaitFacts {
        position: Some(0),
        urgent: 0,
        dispatchers: 1,
        leases: 2,
        claims_pause: Duration::ZERO,
        run_ms: None,
        any_run_ms: Some(1_000),
    };

    #[test]
    fn tasks_ahead_are_shared_by_the_instances_that_can_run_them() {
        let (free, busy) = (instance("a:1", false, Phase::Up), instance("b:1", true, Phase::Up));
        let behind = |position, urgent| WaitFacts { position: Some(position), urgent, ..FIRST };
        let all = [free.clone(), busy.clone()];
        for (wait_facts, eligible, instances, expected) in [
            (FIRST, &[][..], &all[..], Some(0)),
            (behind(1, 0), &[], &all, Some(250)),
            (behind(1, 2), &[], &all, Some(1_250)),
            (FIRST, &["b:1"], &all, Some(500)),
            (behind(3, 0), &["b:1"], &all, Some(3_500)),
            (FIRST, &["c:1"], &all, None),
            (FIRST, &[], &[], None),
            (FIRST, &[], &[instance("a:1", false, Phase::Suspect)], None),
            (WaitFacts { dispatchers: 0, ..FIRST }, &[], &all, None),
            (WaitFacts { position: None, ..FIRST }, &[], &all, None),
            (WaitFacts { any_run_ms: None, ..FIRST }, &[], &all, Some(0)),
            (WaitFacts { any_run_ms: None, ..behind(1, 0) }, &[], &all, None),
            (WaitFacts { claims_pause: Duration::from_secs(2), ..FIRST }, &[], &all, Some(2_000)),
        ] {
            let eligible: Vec<InstanceId> = eligible.iter().map(|&id| InstanceId::new(id)).collect();
            assert_eq!(eta_ms(&wait_facts, &eligible, instances), expected, "{wait_facts:?} {eligible:?}");
        }
    }

    proptest! {
        #[test]
        fn no_number_panics(position in any::<u64>(), urgent in any::<u64>(), run in any::<u64>()) {
            let wait_facts = WaitFacts { position: Some(position), urgent, any_run_ms: Some(run), ..FIRST };
            eta_ms(&wait_facts, &[], &[instance("a:1", true, Phase::Up)]);
        }
    }
}

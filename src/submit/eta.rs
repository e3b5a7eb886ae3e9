//! Estimates of a task's start and run time, from the runs of its workflow on the instances that are enabled, healthy and
//! able to run it. Each of them works on the tasks ahead, which are taken to run as long as this one; running tasks have half
//! of that left.

use crate::{fleet::InstanceView, queue::WaitFacts, task::InstanceId};
use std::collections::HashSet;

/// Estimates the time until a task starts, ms. `eligible` lists the instances that may run it; empty = all.
///
/// `None` if there is no dispatcher, or no healthy instance that may run it, or if tasks are ahead and no run was recorded yet.
pub fn eta_ms(wait_facts: &WaitFacts, eligible: &[InstanceId], instances: &[InstanceView]) -> Option<u64> {
    let fitting = fitting(eligible, instances);
    let free = fitting.iter().filter(|one| one.is_free()).count() as u64;
    if wait_facts.dispatchers == 0 || wait_facts.memory_spent || fitting.is_empty() {
        return None;
    }
    let rest_ms = u64::try_from(wait_facts.claims_pause.as_millis()).unwrap_or(u64::MAX);
    let ahead = wait_facts.urgent.saturating_add(wait_facts.position?);
    let Some(behind) = ahead.checked_sub(free) else { return Some(rest_ms) };
    let mean_ms = mean_of(wait_facts, &fitting).or(wait_facts.run_ms).or(wait_facts.any_run_ms)?;
    // Runs that all of them together finish in one ms.
    let rate: f64 = fitting.iter().map(|one| 1.0 / float(on(wait_facts, one).unwrap_or(mean_ms).max(1))).sum();
    // The first slot becomes free after half a run, since running tasks are half done on average.
    let wait_ms = (float(behind) + 0.5) / rate;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and `as` saturates")]
    Some((wait_ms.round() as u64).saturating_add(rest_ms))
}

/// Estimates the run time of a task, ms: the mean on the instances that may run it, or else of all runs of its workflow, or
/// else of all runs. `None` before the first run.
pub fn run_ms(wait_facts: &WaitFacts, eligible: &[InstanceId], instances: &[InstanceView]) -> Option<u64> {
    let fitting = fitting(eligible, instances);
    mean_of(wait_facts, &fitting).or(wait_facts.run_ms).or(wait_facts.any_run_ms)
}

/// The instances that are enabled, healthy and able to run the task.
fn fitting<'a>(eligible: &[InstanceId], instances: &'a [InstanceView]) -> Vec<&'a InstanceView> {
    let known: HashSet<&str> = eligible.iter().map(InstanceId::as_str).collect();
    let may_run = |one: &&InstanceView| one.is_healthy() && (known.is_empty() || known.contains(one.id.as_str()));
    instances.iter().filter(may_run).collect()
}

/// Mean run time of the workflow on an instance.
fn on(wait_facts: &WaitFacts, instance: &InstanceView) -> Option<u64> {
    wait_facts.run_ms_on.get(&instance.id).copied()
}

/// Mean of the run times on those of these instances that have run the workflow.
fn mean_of(wait_facts: &WaitFacts, instances: &[&InstanceView]) -> Option<u64> {
    let known: Vec<u64> = instances.iter().filter_map(|one| on(wait_facts, one)).collect();
    let sum = known.iter().fold(0_u64, |sum, ms| sum.saturating_add(*ms));
    sum.checked_div(known.len() as u64)
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::{eta_ms, run_ms};
    use crate::{
        fleet::{InstanceView, Phase},
        queue::WaitFacts,
        task::InstanceId,
    };
    use proptest::prelude::{any, proptest};
    use std::{collections::BTreeMap, time::Duration};

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
            quarantine: None,
            absence: None,
            foreign_before: 0,
        }
    }

    const FIRST: WaitFacts = WaitFacts {
        position: Some(0),
        urgent: 0,
        dispatchers: 1,
        leases: 2,
        memory_spent: false,
        claims_pause: Duration::ZERO,
        run_ms: None,
        any_run_ms: Some(1_000),
        run_ms_on: BTreeMap::new(),
    };

    #[test]
    fn tasks_ahead_are_shared_by_the_instances_that_can_run_them() {
        let (free, busy) = (instance("a:1", false, Phase::Up), instance("b:1", true, Phase::Up));
        let behind = |position, urgent| WaitFacts { position: Some(position), urgent, ..FIRST };
        let all = [free, busy];
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
            (WaitFacts { memory_spent: true, ..FIRST }, &[], &all, None),
            (WaitFacts { position: None, ..FIRST }, &[], &all, None),
            (WaitFacts { any_run_ms: None, ..FIRST }, &[], &all, Some(0)),
            (WaitFacts { any_run_ms: None, ..behind(1, 0) }, &[], &all, None),
            (WaitFacts { claims_pause: Duration::from_secs(2), ..FIRST }, &[], &all, Some(2_000)),
        ] {
            let eligible: Vec<InstanceId> = eligible.iter().map(|&id| InstanceId::new(id)).collect();
            assert_eq!(eta_ms(&wait_facts, &eligible, instances), expected, "{wait_facts:?} {eligible:?}");
        }
    }

    /// Times of a machine that is off say nothing about those that are on.
    #[test]
    fn only_the_times_of_instances_that_may_run_the_task_count() {
        let off = InstanceView { enabled: false, ..instance("off:1", false, Phase::Up) };
        let instances = [instance("a:1", true, Phase::Up), instance("b:1", true, Phase::Up), off];
        let times = [("a:1", 1_000), ("b:1", 3_000), ("off:1", 90_000)];
        let wait_facts = WaitFacts {
            run_ms: Some(31_000),
            any_run_ms: Some(500),
            run_ms_on: times.map(|(id, ms)| (id.to_owned(), ms)).into(),
            ..FIRST
        };
        let only = |id: &str| [InstanceId::new(id)];
        assert_eq!(run_ms(&wait_facts, &[], &instances), Some(2_000));
        assert_eq!(run_ms(&wait_facts, &only("b:1"), &instances), Some(3_000));
        assert_eq!(run_ms(&wait_facts, &only("c:1"), &instances), Some(31_000));
        assert_eq!(run_ms(&WaitFacts { run_ms: None, ..wait_facts.clone() }, &only("c:1"), &instances), Some(500));
        assert_eq!(eta_ms(&wait_facts, &only("b:1"), &instances), Some(1_500));
        // Half a run at a rate of 4 runs in 3 s.
        assert_eq!(eta_ms(&wait_facts, &[], &instances), Some(375));
    }

    proptest! {
        #[test]
        fn no_number_panics(position in any::<u64>(), urgent in any::<u64>(), run in any::<u64>()) {
            let wait_facts = WaitFacts { position: Some(position), urgent, any_run_ms: Some(run), ..FIRST };
            eta_ms(&wait_facts, &[], &[instance("a:1", true, Phase::Up)]);
        }
    }
}

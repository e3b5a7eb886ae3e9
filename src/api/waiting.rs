//! Why a task waits, in words. Pure: what is said is what the counts and the instances show.

use crate::{
    fleet::{Counts, InstanceView, Phase},
    task::{InstanceId, Task, TaskState, rfc3339},
};

/// One sentence; `None` for a task that does not wait.
pub(super) fn words(task: &Task, position: Option<u64>, counts: &Counts, instances: &[InstanceView]) -> Option<String> {
    match task.state {
        TaskState::Delayed => {
            let at = task.retry_at_ms.map_or_else(|| "soon".to_owned(), |at_ms| format!("at {}", rfc3339(at_ms)));
            Some(format!("retry {at}, after attempt {} failed", task.attempt))
        }
        TaskState::Claimed => {
            let instance = task.instance.as_ref().map_or_else(|| "an instance".to_owned(), ToString::to_string);
            Some(format!("{instance} to begin: the task has been given to it"))
        }
        TaskState::Waiting => Some(format!("{}, {}", who_words(task, instances), place_words(task, position, counts))),
        TaskState::Running | TaskState::Completed | TaskState::Failed | TaskState::Cancelled => None,
    }
}

/// Instances told by name.
const TOLD_MAX: usize = 3;

/// A task that only some instances can run waits for those.
fn who_words(task: &Task, instances: &[InstanceView]) -> String {
    let eligible = &task.facts.eligible;
    if eligible.is_empty() {
        return instance_words(instances);
    }
    let fitting: Vec<InstanceView> =
        instances.iter().filter(|one| eligible.iter().any(|id| id.as_str() == one.id)).cloned().collect();
    let mut told = eligible.iter().take(TOLD_MAX).map(InstanceId::as_str).collect::<Vec<_>>().join(", ");
    if eligible.len() > TOLD_MAX {
        told = format!("{told} and {} more", eligible.len() - TOLD_MAX);
    }
    let has = if eligible.len() == 1 { "has" } else { "have" };
    let said = if fitting.is_empty() { "an instance".to_owned() } else { instance_words(&fitting) };
    let left = if fitting.is_empty() { ", and the config names none of these any more" } else { "" };
    format!("{said}; only {told} {has} what it needs{left}")
}

fn instance_words(instances: &[InstanceView]) -> String {
    let count = |is: fn(&&InstanceView) -> bool| instances.iter().filter(is).count();
    let enabled = count(|instance| instance.enabled);
    let alive = count(|instance| instance.enabled && instance.alive);
    let healthy = count(|instance| is_healthy(instance));
    let busy = count(|instance| is_healthy(instance) && instance.busy);
    if instances.is_empty() {
        "an instance: the config has none".to_owned()
    } else if enabled == 0 {
        format!("an instance: {} disabled", all(instances.len()))
    } else if alive == 0 {
        format!("an instance: none of the {enabled} enabled is alive")
    } else if healthy == 0 {
        format!("a healthy instance: {} under suspicion after failures", all(alive))
    } else if busy == healthy {
        format!("a free instance: {} busy", all(healthy))
    } else {
        format!("its turn: {} of {healthy} instances free", healthy - busy)
    }
}

fn is_healthy(instance: &InstanceView) -> bool {
    instance.enabled && instance.alive && instance.phase == Phase::Up
}

fn all(count: usize) -> String {
    if count == 1 { "the only one is".to_owned() } else { format!("all {count} are") }
}

/// Tasks of more urgent lanes go first, then those before it in its own.
fn place_words(task: &Task, position: Option<u64>, counts: &Counts) -> String {
    let Some(position) = position else { return "place not known".to_owned() };
    let urgent: u64 = counts.waiting_by_lane.iter().take(usize::from(task.priority.lane())).sum();
    match urgent + position {
        0 => "next in line".to_owned(),
        1 => "1 task ahead".to_owned(),
        ahead => format!("{ahead} tasks ahead"),
    }
}

#[cfg(test)]
mod tests {
    use super::words;
    use crate::{
        fleet::{Counts, InstanceView, Phase},
        task::{Attempt, InstanceId, Priority, Progress, Task, TaskFacts, TaskId, TaskState},
    };

    fn task(state: TaskState, priority: Priority) -> Task {
        Task {
            id: TaskId::new(),
            owner: "admin".to_owned(),
            state,
            priority,
            attempt: Attempt::new(1),
            max_attempts: 3,
            version: 1,
            instance: Some(InstanceId::new("127.0.0.1:8001")),
            created_ms: 0,
            updated_ms: 0,
            started_ms: None,
            finished_ms: None,
            retry_at_ms: Some(1_704_067_200_000),
            start_by_ms: None,
            progress: Progress::default(),
            outputs: Vec::new(),
            failure: None,
            facts: TaskFacts::default(),
            attempts: Vec::new(),
            cancel_pending: false,
        }
    }

    fn instance(enabled: bool, alive: bool, busy: bool, phase: Phase) -> InstanceView {
        InstanceView {
            id: "127.0.0.1:8001".to_owned(),
            server_id: "s".to_owned(),
            server_name: "s".to_owned(),
            ip: "127.0.0.1".to_owned(),
            port: 8001,
            enabled,
            alive,
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

    #[test]
    fn the_instances_are_told_as_they_are() {
        let (up, down) = (instance(true, true, false, Phase::Up), instance(true, false, false, Phase::Down));
        let (busy, off) = (instance(true, true, true, Phase::Up), instance(false, true, false, Phase::Draining));
        let suspect = instance(true, true, false, Phase::Suspect);
        for (instances, expected) in [
            (vec![], "an instance: the config has none, next in line"),
            (vec![off.clone()], "an instance: the only one is disabled, next in line"),
            (vec![off.clone(), off.clone()], "an instance: all 2 are disabled, next in line"),
            (vec![down.clone(), down.clone(), off], "an instance: none of the 2 enabled is alive, next in line"),
            (
                vec![suspect.clone(), down.clone()],
                "a healthy instance: the only one is under suspicion after failures, next in line",
            ),
            (vec![busy.clone(), busy.clone(), down], "a free instance: all 2 are busy, next in line"),
            (vec![busy, up, suspect], "its turn: 1 of 2 instances free, next in line"),
        ] {
            let said = words(&task(TaskState::Waiting, Priority::Normal), Some(0), &Counts::default(), &instances);
            assert_eq!(said.as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_task_that_only_some_can_run_waits_for_those() {
        let (free, busy) = (instance(true, true, false, Phase::Up), instance(true, true, true, Phase::Up));
        let named = |one: &InstanceView, id: &str| InstanceView { id: id.to_owned(), ..one.clone() };
        let instances = [named(&free, "a:1"), named(&busy, "b:1"), named(&busy, "c:1")];
        for (eligible, expected) in [
            (&["b:1"][..], "a free instance: the only one is busy; only b:1 has what it needs, next in line"),
            (&["b:1", "c:1"], "a free instance: all 2 are busy; only b:1, c:1 have what it needs, next in line"),
            (
                &["a:1", "x:1", "y:1", "z:1"],
                "its turn: 1 of 1 instances free; only a:1, x:1, y:1 and 1 more have what it needs, next in line",
            ),
            (
                &["x:1"],
                "an instance; only x:1 has what it needs, and the config names none of these any more, next in line",
            ),
        ] {
            let mut task = task(TaskState::Waiting, Priority::Normal);
            task.facts.eligible = eligible.iter().map(|&id| InstanceId::new(id)).collect();
            assert_eq!(words(&task, Some(0), &Counts::default(), &instances).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_place_counts_more_urgent_lanes() {
        let counts = Counts { waiting_by_lane: [2, 5, 9], ..Counts::default() };
        for (priority, position, expected) in [
            (Priority::High, Some(1), "1 task ahead"),
            (Priority::Normal, Some(0), "2 tasks ahead"),
            (Priority::Low, Some(3), "10 tasks ahead"),
            (Priority::Low, None, "place not known"),
        ] {
            let said = words(&task(TaskState::Waiting, priority), position, &counts, &[]).unwrap();
            assert!(said.ends_with(expected), "{said}");
        }
    }

    #[test]
    fn other_states_have_words_of_their_own_or_none() {
        let say = |state| words(&task(state, Priority::Normal), None, &Counts::default(), &[]);
        assert_eq!(say(TaskState::Delayed).unwrap(), "retry at 2024-01-01T00:00:00.000Z, after attempt 1 failed");
        assert_eq!(say(TaskState::Claimed).unwrap(), "127.0.0.1:8001 to begin: the task has been given to it");
        for state in [TaskState::Running, TaskState::Completed, TaskState::Failed, TaskState::Cancelled] {
            assert_eq!(say(state), None);
        }
    }
}

//! Reason why a task waits, as a sentence. Pure: it follows from the counts and the instances.

use crate::{
    fleet::{InstanceView, Phase},
    queue::WaitFacts,
    store::DiskRoom,
    task::{Failure, InstanceId, Task, TaskState, rfc3339},
};

/// Instances listed by name.
const TOLD_MAX: usize = 3;

/// Returns the reason as a sentence; `None` for a task that does not wait. `room` is that of the file store's disk.
pub(crate) fn words(
    task: &Task,
    wait_facts: &WaitFacts,
    instances: &[InstanceView],
    room: Option<DiskRoom>,
) -> Option<String> {
    match task.state {
        TaskState::Delayed => Some(delay_words(task)),
        TaskState::Claimed => Some(claim_words(task, wait_facts, instances)),
        TaskState::Waiting => {
            let reason = match room.filter(DiskRoom::is_low) {
                Some(DiskRoom { free, reserve }) => {
                    format!("free space: the disk of the file store has {free} bytes, and {reserve} are reserved")
                }
                None => who_words(task, wait_facts, instances),
            };
            Some(format!("{reason}, {}", place_words(wait_facts)))
        }
        TaskState::Running | TaskState::Completed | TaskState::Failed | TaskState::Cancelled => None,
    }
}

fn delay_words(task: &Task) -> String {
    let at = task.retry_at_ms.map_or_else(|| "soon".to_owned(), |at_ms| format!("at {}", rfc3339(at_ms)));
    let why = |failure: &Failure| format!(" ({})", failure.kind.as_str());
    let why = task.failure.as_ref().map(why).unwrap_or_default();
    format!("retry {at}, after attempt {} failed{why}", task.attempt)
}

/// Reason for a task that has a slot and was not started yet.
fn claim_words(task: &Task, wait_facts: &WaitFacts, instances: &[InstanceView]) -> String {
    let Some(id) = &task.instance else { return "an instance to begin".to_owned() };
    let is_alive = instances.iter().any(|instance| instance.id == id.as_str() && instance.alive);
    if is_alive {
        format!("{id} to begin: the task has been given to it")
    } else if wait_facts.dispatchers == 0 {
        format!("a dispatcher: none is running; the task has been given to {id}")
    } else {
        format!("{id} to answer: the task has been given to it, else it goes elsewhere")
    }
}

/// Reason for a task that only some instances can run.
fn who_words(task: &Task, wait_facts: &WaitFacts, instances: &[InstanceView]) -> String {
    let eligible = &task.facts.eligible;
    if eligible.is_empty() {
        return obstacle_words(task, wait_facts, instances);
    }
    let fitting: Vec<InstanceView> =
        instances.iter().filter(|one| eligible.iter().any(|id| id.as_str() == one.id)).cloned().collect();
    let mut told = eligible.iter().take(TOLD_MAX).map(InstanceId::as_str).collect::<Vec<_>>().join(", ");
    if eligible.len() > TOLD_MAX {
        told = format!("{told} and {} more", eligible.len() - TOLD_MAX);
    }
    let has = if eligible.len() == 1 { "has" } else { "have" };
    if fitting.is_empty() && !task.facts.needs.is_empty() {
        let needs = task.facts.needs.join(" and ");
        return format!(
            "an instance that has {needs}: only {told} had all, and the config names none of these any more"
        );
    }
    if fitting.is_empty() {
        return format!("an instance; only {told} {has} what it needs, and the config names none of these any more");
    }
    format!("{}; only {told} {has} what it needs", obstacle_words(task, wait_facts, &fitting))
}

/// Returns the first obstacle.
fn obstacle_words(task: &Task, wait_facts: &WaitFacts, instances: &[InstanceView]) -> String {
    let count = |is: &dyn Fn(&&InstanceView) -> bool| instances.iter().filter(is).count();
    let enabled = count(&|instance| instance.enabled);
    let alive = count(&|instance| instance.enabled && instance.alive);
    let healthy = count(&|instance| is_healthy(instance));
    let free = count(&|instance| is_healthy(instance) && !instance.busy);
    let avoided = |instance: &InstanceView| task.avoids.iter().any(|id| id.as_str() == instance.id);
    let welcome = count(&|instance| is_healthy(instance) && !instance.busy && !avoided(instance));
    if instances.is_empty() {
        "an instance: the config has none".to_owned()
    } else if enabled == 0 {
        format!("an instance: {} disabled", all(instances.len()))
    } else if wait_facts.dispatchers == 0 {
        "a dispatcher: none is running".to_owned()
    } else if !wait_facts.claims_pause.is_zero() {
        let ms = wait_facts.claims_pause.as_millis();
        format!("the dispatchers to report running prompts: Redis was restarted, claims pause for {ms} ms")
    } else if alive == 0 {
        format!("an instance: none of the {enabled} enabled is alive")
    } else if healthy == 0 {
        format!("a healthy instance: {} under suspicion after failures", all(alive))
    } else if free == 0 {
        format!("a free instance: {} busy", all(healthy))
    } else if welcome == 0 && wait_facts.leases > 1 {
        format!("another instance: {free} of {healthy} free, but an attempt failed there; in a few seconds any will do")
    } else {
        format!("its turn: {free} of {healthy} instances free")
    }
}

fn is_healthy(instance: &InstanceView) -> bool {
    instance.enabled && instance.alive && instance.phase == Phase::Up
}

fn all(count: usize) -> String {
    if count == 1 { "the only one is".to_owned() } else { format!("all {count} are") }
}

/// Reason for a task behind others: those of more urgent lanes, then those before it in its own lane.
fn place_words(wait_facts: &WaitFacts) -> String {
    let Some(position) = wait_facts.position else { return "place not known".to_owned() };
    match wait_facts.urgent + position {
        0 => "next in line".to_owned(),
        1 => "1 task ahead".to_owned(),
        ahead => format!("{ahead} tasks ahead"),
    }
}

#[cfg(test)]
mod tests {
    use super::words;
    use crate::{
        fleet::{InstanceView, Phase},
        queue::WaitFacts,
        task::{Attempt, Failure, FailureKind, InstanceId, Priority, Progress, Task, TaskFacts, TaskId, TaskState},
    };
    use std::{collections::BTreeSet, time::Duration};

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
            outputs_dropped: 0,
            output_warnings: Vec::new(),
            gone: BTreeSet::new(),
            failure: None,
            facts: TaskFacts::default(),
            attempts: Vec::new(),
            avoids: Vec::new(),
            revived: 0,
            revived_ms: None,
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

    /// Two dispatchers own two instances.
    const USUAL: WaitFacts = WaitFacts {
        position: Some(0),
        urgent: 0,
        dispatchers: 2,
        leases: 2,
        claims_pause: Duration::ZERO,
        run_ms: None,
        any_run_ms: None,
        run_ms_on: std::collections::BTreeMap::new(),
    };

    fn waiting(wait_facts: WaitFacts, instances: &[InstanceView]) -> String {
        words(&task(TaskState::Waiting, Priority::Normal), &wait_facts, instances, None).unwrap()
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
            assert_eq!(waiting(USUAL, &instances), expected);
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
            assert_eq!(words(&task, &USUAL, &instances, None).as_deref(), Some(expected));
        }
        let mut task = task(TaskState::Waiting, Priority::Normal);
        task.facts.eligible = vec![InstanceId::new("x:1")];
        task.facts.needs = vec!["class Sharpen".to_owned(), r#"4.ckpt_name "b""#.to_owned()];
        let expected = r#"an instance that has class Sharpen and 4.ckpt_name "b": only x:1 had all, and the config names none of these any more, next in line"#;
        assert_eq!(words(&task, &USUAL, &instances, None).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_first_in_the_way_is_told_first() {
        let up = instance(true, true, false, Phase::Up);
        let alone = WaitFacts { dispatchers: 0, claims_pause: Duration::from_secs(2), ..USUAL };
        assert_eq!(waiting(alone, &[]), "an instance: the config has none, next in line");
        assert_eq!(waiting(alone, std::slice::from_ref(&up)), "a dispatcher: none is running, next in line");
        let restarted = WaitFacts { claims_pause: Duration::from_millis(2_900), ..USUAL };
        let expected =
            "the dispatchers to report running prompts: Redis was restarted, claims pause for 2900 ms, next in line";
        assert_eq!(waiting(restarted, &[up]), expected);
    }

    #[test]
    fn an_instance_where_it_failed_is_not_its_turn() {
        let here = instance(true, true, false, Phase::Up);
        let there = InstanceView { id: "127.0.0.1:8002".to_owned(), ..here.clone() };
        let busy_there = InstanceView { busy: true, ..there.clone() };
        let avoiding =
            Task { avoids: vec![InstanceId::new(here.id.clone())], ..task(TaskState::Waiting, Priority::Normal) };
        let say =
            |wait_facts: WaitFacts, instances: &[InstanceView]| words(&avoiding, &wait_facts, instances, None).unwrap();
        let elsewhere = "but an attempt failed there; in a few seconds any will do, next in line";
        assert_eq!(say(USUAL, &[here.clone(), there]), "its turn: 2 of 2 instances free, next in line");
        assert_eq!(say(USUAL, &[here.clone(), busy_there]), format!("another instance: 1 of 2 free, {elsewhere}"));
        let only = WaitFacts { leases: 1, ..USUAL };
        assert_eq!(say(only, &[here]), "its turn: 1 of 1 instances free, next in line");
    }

    #[test]
    fn the_place_counts_more_urgent_lanes() {
        for (position, urgent, expected) in [
            (Some(1), 0, "1 task ahead"),
            (Some(0), 2, "2 tasks ahead"),
            (Some(3), 7, "10 tasks ahead"),
            (None, 7, "place not known"),
        ] {
            let said = waiting(WaitFacts { position, urgent, ..USUAL }, &[]);
            assert!(said.ends_with(expected), "{said}");
        }
    }

    #[test]
    fn a_claimed_task_waits_for_whoever_has_it() {
        let claimed = task(TaskState::Claimed, Priority::Normal);
        let (up, down) = (instance(true, true, true, Phase::Up), instance(true, false, true, Phase::Down));
        let say = |dispatchers, instances: &[InstanceView]| {
            words(&claimed, &WaitFacts { dispatchers, ..USUAL }, instances, None).unwrap()
        };
        assert_eq!(say(2, &[up]), "127.0.0.1:8001 to begin: the task has been given to it");
        let answer = "127.0.0.1:8001 to answer: the task has been given to it, else it goes elsewhere";
        assert_eq!((say(1, std::slice::from_ref(&down)), say(1, &[])), (answer.to_owned(), answer.to_owned()));
        assert_eq!(say(0, &[down]), "a dispatcher: none is running; the task has been given to 127.0.0.1:8001");
    }

    #[test]
    fn other_states_have_words_of_their_own_or_none() {
        let say = |task: &Task| words(task, &USUAL, &[], None);
        let delayed = task(TaskState::Delayed, Priority::Normal);
        assert_eq!(say(&delayed).unwrap(), "retry at 2024-01-01T00:00:00.000Z, after attempt 1 failed");
        let failure = Some(Failure::new(FailureKind::Stalled, "no sign"));
        let said = say(&Task { failure, ..delayed }).unwrap();
        assert_eq!(said, "retry at 2024-01-01T00:00:00.000Z, after attempt 1 failed (stalled)");
        for state in [TaskState::Running, TaskState::Completed, TaskState::Failed, TaskState::Cancelled] {
            assert_eq!(say(&task(state, Priority::Normal)), None);
        }
    }
}

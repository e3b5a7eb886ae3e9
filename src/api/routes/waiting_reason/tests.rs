//! Tests of the reasons for which tasks wait.

use super::words;
use crate::{
    fleet::{Absence, InstanceView, Phase, QuarantineView},
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
        expires_ms: None,
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
        prefers: None,
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
        quarantine: None,
        absence: None,
        foreign_before: 0,
    }
}

const NOW: u64 = 1_704_067_200_000;

/// Two dispatchers own two instances.
const USUAL: WaitFacts = WaitFacts {
    position: Some(0),
    urgent: 0,
    dispatchers: 2,
    leases: 2,
    memory_spent: false,
    claims_pause: Duration::ZERO,
    run_ms: None,
    any_run_ms: None,
    run_ms_on: std::collections::BTreeMap::new(),
};

fn waiting(wait_facts: WaitFacts, instances: &[InstanceView]) -> String {
    words(&task(TaskState::Waiting, Priority::Normal), &wait_facts, instances, (None, NOW)).unwrap()
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
        assert_eq!(words(&task, &USUAL, &instances, (None, NOW)).as_deref(), Some(expected));
    }
    let mut task = task(TaskState::Waiting, Priority::Normal);
    task.facts.eligible = vec![InstanceId::new("x:1")];
    task.facts.needs = vec!["class Sharpen".to_owned(), r#"4.ckpt_name "b""#.to_owned()];
    let expected = r#"an instance that has class Sharpen and 4.ckpt_name "b": only x:1 had all, and the config names none of these any more, next in line"#;
    assert_eq!(words(&task, &USUAL, &instances, (None, NOW)).as_deref(), Some(expected));
}

#[test]
fn what_is_first_in_the_way_is_told_first() {
    let up = instance(true, true, false, Phase::Up);
    let alone = WaitFacts { dispatchers: 0, claims_pause: Duration::from_secs(2), ..USUAL };
    assert_eq!(waiting(alone.clone(), &[]), "an instance: the config has none, next in line");
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
    let say = |wait_facts: WaitFacts, instances: &[InstanceView]| {
        words(&avoiding, &wait_facts, instances, (None, NOW)).unwrap()
    };
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
        words(&claimed, &WaitFacts { dispatchers, ..USUAL }, instances, (None, NOW)).unwrap()
    };
    assert_eq!(say(2, &[up]), "127.0.0.1:8001 to begin: the task has been given to it");
    let answer = "127.0.0.1:8001 to answer: the task has been given to it, else it goes elsewhere";
    assert_eq!((say(1, std::slice::from_ref(&down)), say(1, &[])), (answer.to_owned(), answer.to_owned()));
    assert_eq!(say(0, &[down]), "a dispatcher: none is running; the task has been given to 127.0.0.1:8001");
}

#[test]
fn other_states_have_words_of_their_own_or_none() {
    let say = |task: &Task| words(task, &USUAL, &[], (None, NOW));
    let delayed = task(TaskState::Delayed, Priority::Normal);
    assert_eq!(say(&delayed).unwrap(), "retry at 2024-01-01T00:00:00.000Z, after attempt 1 failed");
    let failure = Some(Failure::new(FailureKind::Stalled, "no sign"));
    let said = say(&Task { failure, ..delayed }).unwrap();
    assert_eq!(said, "retry at 2024-01-01T00:00:00.000Z, after attempt 1 failed (stalled)");
    for state in [TaskState::Running, TaskState::Completed, TaskState::Failed, TaskState::Cancelled] {
        assert_eq!(say(&task(state, Priority::Normal)), None);
    }
}

fn quarantined(id: &str, trial_at_ms: u64) -> InstanceView {
    let quarantine = QuarantineView {
        since: "2024-01-01T00:00:00.000Z".to_owned(),
        next_trial_at: String::new(),
        failed_trials: 0,
        message: "CUDA error: device lost\nmore".to_owned(),
        exception_type: None,
        node_id: None,
        node_type: None,
        task_id: String::new(),
        trial_at_ms,
    };
    let quarantine = Some(quarantine);
    InstanceView { id: id.to_owned(), quarantine, ..instance(true, true, false, Phase::Quarantined) }
}

/// Bug report 1: tasks wait for a broken machine, and say so.
#[test]
fn a_quarantine_is_told_with_its_reason_and_next_trial() {
    let only = "a healthy instance: its only instance a:1 is quarantined since 2024-01-01T00:00:00.000Z: CUDA error: device lost";
    let (soon, due) = (quarantined("a:1", NOW + 41_500), quarantined("a:1", NOW));
    assert_eq!(waiting(USUAL, std::slice::from_ref(&soon)), format!("{only}; next trial in 42 s, next in line"));
    assert_eq!(waiting(USUAL, std::slice::from_ref(&due)), format!("{only}; the next trial is due, next in line"));
    let tried = InstanceView { busy: true, ..due };
    assert_eq!(waiting(USUAL, std::slice::from_ref(&tried)), format!("{only}; a trial is running, next in line"));
    let said = waiting(USUAL, &[quarantined("b:1", NOW + 600_000), soon.clone()]);
    assert!(said.contains("all 2 instances are quarantined, a:1 since") && said.contains("in 42 s"), "{said}");
    let up = instance(true, true, false, Phase::Up);
    assert_eq!(waiting(USUAL, &[soon, up]), "its turn: 1 of 1 instances free, next in line");
}

/// Bug report 2: its instance is down.
#[test]
fn an_absent_instance_is_told_with_its_time() {
    let absence = Some(Absence { since_ms: NOW - 20_000, gone_at_ms: NOW + 40_000 });
    let down = InstanceView { absence, ..instance(true, false, true, Phase::Down) };
    let expected = "its instance 127.0.0.1:8001: down since 2023-12-31T23:59:40.000Z; the task runs elsewhere in 40 s";
    for state in [TaskState::Claimed, TaskState::Running] {
        let said = words(&task(state, Priority::Normal), &USUAL, std::slice::from_ref(&down), (None, NOW));
        assert_eq!(said.as_deref(), Some(expected));
    }
    let late = words(&task(TaskState::Running, Priority::Normal), &USUAL, &[down], (None, NOW + 50_000)).unwrap();
    assert!(late.ends_with("in a moment"), "{late}");
}

/// Bug report 26.
#[test]
fn prompts_of_other_clients_are_told() {
    let claimed = task(TaskState::Claimed, Priority::Normal);
    let say = |foreign_before| {
        let busy = InstanceView { foreign_before, ..instance(true, true, true, Phase::Up) };
        words(&claimed, &USUAL, &[busy], (None, NOW)).unwrap()
    };
    assert_eq!(say(1), "127.0.0.1:8001 to begin: 1 prompt of somebody else is before it");
    assert_eq!(say(3), "127.0.0.1:8001 to begin: 3 prompts of somebody else are before it");
}

#[test]
fn a_preferred_instance_is_told_while_it_is_busy() {
    let (free, busy) = (instance(true, true, false, Phase::Up), instance(true, true, true, Phase::Up));
    let large = InstanceView { id: "large:1".to_owned(), ..busy };
    let preferring = Task {
        prefers: Some((NOW + 90_000, vec![InstanceId::new("large:1")])),
        ..task(TaskState::Waiting, Priority::Normal)
    };
    let say = |now_ms| words(&preferring, &USUAL, &[free.clone(), large.clone()], (None, now_ms)).unwrap();
    let expected = "large:1: after the last attempt it is tried there; any instance will do in 90 s, next in line";
    assert_eq!(say(NOW), expected);
    assert_eq!(say(NOW + 90_000), "its turn: 1 of 2 instances free, next in line");
}

#[test]
fn a_full_disk_and_a_full_memory_come_first() {
    let up = instance(true, true, false, Phase::Up);
    let spent = WaitFacts { memory_spent: true, ..USUAL };
    let said = waiting(spent, std::slice::from_ref(&up));
    assert!(said.starts_with("memory: that of Redis is used up") && said.ends_with(", next in line"), "{said}");
    let room = Some(crate::store::DiskRoom { free: 49 << 20, reserve: 50 << 20 });
    let said = words(&task(TaskState::Waiting, Priority::Normal), &USUAL, &[up], (room, NOW)).unwrap();
    let expected = "free space: the disk of the file store has 49.0 MiB free, and 50.0 MiB are reserved, next in line";
    assert_eq!(said, expected);
}

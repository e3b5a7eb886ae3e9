//! Times of views.

use super::waits::Waits;
use crate::task::{Attempt, AttemptRecord, InstanceId, Priority, Progress, Task, TaskFacts, TaskId, TaskState};
use std::collections::BTreeSet;

#[test]
fn times_have_milliseconds_and_z() {
    assert_eq!(super::rfc3339(1_704_067_200_000), "2024-01-01T00:00:00.000Z");
}

fn task(state: TaskState, attempts: &[(u64, Option<u64>)]) -> Task {
    let record = |(number, (started_ms, ended_ms)): (usize, &(u64, Option<u64>))| AttemptRecord {
        attempt: Attempt::new(u32::try_from(number).unwrap_or(0) + 1),
        instance_id: InstanceId::new("a:1"),
        started_ms: *started_ms,
        ended_ms: *ended_ms,
        outcome: None,
        error: None,
    };
    Task {
        id: TaskId::new(),
        owner: "admin".to_owned(),
        state,
        priority: Priority::Normal,
        attempt: Attempt::new(u32::try_from(attempts.len()).unwrap_or(0)),
        max_attempts: 3,
        version: 1,
        instance: None,
        created_ms: 1_000,
        updated_ms: 1_000,
        started_ms: None,
        finished_ms: None,
        expires_ms: None,
        retry_at_ms: None,
        start_by_ms: None,
        progress: Progress::default(),
        outputs: Vec::new(),
        outputs_dropped: 0,
        output_warnings: Vec::new(),
        gone: BTreeSet::new(),
        failure: None,
        facts: TaskFacts::default(),
        attempts: attempts.iter().enumerate().map(record).collect(),
        avoids: Vec::new(),
        prefers: None,
        revived: 0,
        revived_ms: None,
        cancel_pending: false,
    }
}

/// Runs of earlier attempts are no waits.
#[test]
fn only_waits_are_counted() {
    use TaskState::{Cancelled, Completed, Delayed, Failed, Running, Waiting};
    let waits = |task: &Task| {
        let Waits { ended_ms, since_ms } = Waits::of(task);
        (ended_ms, since_ms)
    };
    assert_eq!(waits(&task(Waiting, &[])), (0, Some(1_000)));
    // Claimed after 2 s, ran at once for 60 s, failed; claimed again 5 s later.
    let first = (3_000, Some(63_000));
    assert_eq!(waits(&task(Delayed, &[first])), (2_000, Some(63_000)));
    let again = Task { started_ms: Some(68_500), ..task(Running, &[first, (68_000, None)]) };
    assert_eq!(waits(&again), (7_500, None));
    let ended = [first, (68_000, Some(90_000))];
    let done = Task { started_ms: Some(68_500), finished_ms: Some(90_000), ..task(Completed, &ended) };
    assert_eq!(waits(&done), (7_500, None));
    assert_eq!(waits(&Task { finished_ms: Some(4_000), ..task(Cancelled, &[]) }), (3_000, None));
    // Failed at 63 s, revived at 100 s.
    let revived = Task { revived_ms: Some(100_000), ..task(Waiting, &[first]) };
    assert_eq!(waits(&revived), (2_000, Some(100_000)));
    let revived = Task {
        finished_ms: Some(120_000),
        revived_ms: Some(100_000),
        ..task(Failed, &[first, (101_000, Some(120_000))])
    };
    assert_eq!(waits(&revived), (3_000, None));
}

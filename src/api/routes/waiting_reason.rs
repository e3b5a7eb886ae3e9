//! Reason why a task waits, as a sentence. Pure: it follows from the counts and the instances.

use crate::{
    fleet::{InstanceView, Phase, QuarantineView},
    queue::WaitFacts,
    store::DiskRoom,
    task::{Failure, InstanceId, Task, TaskState, rfc3339},
    text::size,
};

/// Instances listed by name.
const NAMED_MAX: usize = 3;

/// Returns the reason as a sentence; `None` for a task that does not wait. `room` is that of the file store's disk.
pub(crate) fn words(
    task: &Task,
    wait_facts: &WaitFacts,
    instances: &[InstanceView],
    (room, now_ms): (Option<DiskRoom>, u64),
) -> Option<String> {
    match task.state {
        TaskState::Delayed => Some(delay_words(task)),
        TaskState::Claimed => Some(claim_words(task, wait_facts, instances, now_ms)),
        TaskState::Waiting => {
            let reason = match room.filter(DiskRoom::is_low) {
                Some(DiskRoom { free, reserve }) => {
                    let (free, reserve) = (size(free), size(reserve));
                    format!("free space: the disk of the file store has {free} free, and {reserve} are reserved")
                }
                None if wait_facts.memory_spent => {
                    "memory: that of Redis is used up; tasks start again once ended ones expire or maxmemory is raised"
                        .to_owned()
                }
                None => who_words(task, wait_facts, instances, now_ms),
            };
            Some(format!("{reason}, {}", place_words(wait_facts)))
        }
        TaskState::Running => absence_words(task, instances, now_ms),
        TaskState::Completed | TaskState::Failed | TaskState::Cancelled => None,
    }
}

/// Reason for a task whose instance does not answer.
fn absence_words(task: &Task, instances: &[InstanceView], now_ms: u64) -> Option<String> {
    let id = task.instance.as_ref()?;
    let absence = instances.iter().find(|one| one.id == id.as_str())?.absence?;
    let since = rfc3339(absence.since_ms);
    Some(format!(
        "its instance {id}: down since {since}; the task runs elsewhere {}",
        in_time(absence.gone_at_ms, now_ms)
    ))
}

fn in_time(at_ms: u64, now_ms: u64) -> String {
    match at_ms.saturating_sub(now_ms).div_ceil(1_000) {
        0 => "in a moment".to_owned(),
        seconds if seconds < 120 => format!("in {seconds} s"),
        seconds => format!("in {} min", seconds.div_ceil(60)),
    }
}

fn delay_words(task: &Task) -> String {
    let at = task.retry_at_ms.map_or_else(|| "soon".to_owned(), |at_ms| format!("at {}", rfc3339(at_ms)));
    let why = |failure: &Failure| format!(" ({})", failure.kind.as_str());
    let why = task.failure.as_ref().map(why).unwrap_or_default();
    format!("retry {at}, after attempt {} failed{why}", task.attempt)
}

/// Reason for a task that has a slot and was not started yet.
fn claim_words(task: &Task, wait_facts: &WaitFacts, instances: &[InstanceView], now_ms: u64) -> String {
    let Some(id) = &task.instance else { return "an instance to begin".to_owned() };
    let instance = instances.iter().find(|instance| instance.id == id.as_str());
    if let Some(words) = absence_words(task, instances, now_ms).filter(|_| wait_facts.dispatchers > 0) {
        return words;
    }
    if let Some(instance) = instance.filter(|instance| instance.alive) {
        match instance.foreign_before {
            0 => format!("{id} to begin: the task has been given to it"),
            1 => format!("{id} to begin: 1 prompt of somebody else is before it"),
            count => format!("{id} to begin: {count} prompts of somebody else are before it"),
        }
    } else if wait_facts.dispatchers == 0 {
        format!("a dispatcher: none is running; the task has been given to {id}")
    } else {
        format!("{id} to answer: the task has been given to it, else it goes elsewhere")
    }
}

/// Reason for a task that only some instances can run.
fn who_words(task: &Task, wait_facts: &WaitFacts, instances: &[InstanceView], now_ms: u64) -> String {
    let eligible = &task.facts.eligible;
    if eligible.is_empty() {
        return obstacle_words(task, wait_facts, instances, now_ms);
    }
    let fitting: Vec<InstanceView> =
        instances.iter().filter(|one| eligible.iter().any(|id| id.as_str() == one.id)).cloned().collect();
    let mut names = eligible.iter().take(NAMED_MAX).map(InstanceId::as_str).collect::<Vec<_>>().join(", ");
    if eligible.len() > NAMED_MAX {
        names = format!("{names} and {} more", eligible.len() - NAMED_MAX);
    }
    let has = if eligible.len() == 1 { "has" } else { "have" };
    if fitting.is_empty() && !task.facts.needs.is_empty() {
        let needs = task.facts.needs.join(" and ");
        return format!(
            "an instance that has {needs}: only {names} had all, and the config names none of these any more"
        );
    }
    if fitting.is_empty() {
        return format!("an instance; only {names} {has} what it needs, and the config names none of these any more");
    }
    format!("{}; only {names} {has} what it needs", obstacle_words(task, wait_facts, &fitting, now_ms))
}

/// Returns the first obstacle.
fn obstacle_words(task: &Task, wait_facts: &WaitFacts, instances: &[InstanceView], now_ms: u64) -> String {
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
    } else if healthy == 0 && count(&|instance| quarantine_of(instance).is_some()) == alive {
        quarantine_words(instances, now_ms)
    } else if healthy == 0 {
        format!("a healthy instance: {} under suspicion after failures", all(alive))
    } else if free == 0 {
        format!("a free instance: {} busy", all(healthy))
    } else if let Some(words) = preference_words(task, instances, now_ms) {
        words
    } else if welcome == 0 && wait_facts.leases > 1 {
        format!("another instance: {free} of {healthy} free, but an attempt failed there; in a few seconds any will do")
    } else {
        format!("its turn: {free} of {healthy} instances free")
    }
}

fn quarantine_of(instance: &InstanceView) -> Option<&QuarantineView> {
    instance.quarantine.as_ref().filter(|_| instance.enabled && instance.alive)
}

/// Reason for a task whose instances all are quarantined: that of the one whose trial is next.
fn quarantine_words(instances: &[InstanceView], now_ms: u64) -> String {
    let quarantined: Vec<&InstanceView> = instances.iter().filter(|one| quarantine_of(one).is_some()).collect();
    let next = quarantined.iter().filter_map(|one| Some((one, quarantine_of(one)?)));
    let Some((instance, quarantine)) = next.min_by_key(|(_, quarantine)| quarantine.trial_at_ms) else {
        return "an instance".to_owned();
    };
    let subject = match quarantined.len() {
        1 => format!("its only instance {} is quarantined", instance.id),
        count => format!("all {count} instances are quarantined, {}", instance.id),
    };
    let trial = match (instance.busy, quarantine.trial_at_ms > now_ms) {
        (true, _) => "a trial is running".to_owned(),
        (false, true) => format!("next trial {}", in_time(quarantine.trial_at_ms, now_ms)),
        (false, false) => "the next trial is due".to_owned(),
    };
    let message = quarantine.message.lines().next().unwrap_or_default();
    format!("a healthy instance: {subject} since {}: {message}; {trial}", quarantine.since)
}

/// Reason for a task that waits for an instance with more memory, or for one where it has not failed yet.
fn preference_words(task: &Task, instances: &[InstanceView], now_ms: u64) -> Option<String> {
    let (till_ms, preferred) = task.prefers.as_ref().filter(|(till_ms, _)| *till_ms > now_ms)?;
    let is_preferred = |one: &&InstanceView| preferred.iter().any(|id| id.as_str() == one.id);
    let mut candidates = instances.iter().filter(|one| is_healthy(one)).filter(is_preferred).peekable();
    candidates.peek()?;
    if candidates.any(|one| !one.busy) {
        return None;
    }
    let names = preferred.iter().take(NAMED_MAX).map(InstanceId::as_str).collect::<Vec<_>>().join(", ");
    let any = in_time(*till_ms, now_ms);
    Some(format!("{names}: after the last attempt it is tried there; any instance will do {any}"))
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
mod tests;

//! The verdict after a scenario: invariants I1–I11, P1 and P2 of safety.md §4, all violations at once.

use super::{
    cluster::{Cluster, ROOT, WAIT_MAX},
    executions::{End, Executions},
    load::{Entry, Kind, Load},
    observers::Observers,
};
use crate::support::{
    audit::{Dump, audit_dump},
    eventually,
};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// Largest number of prompts at one instance at a time (`--slots`).
const DEPTH_MAX: usize = 1;

/// Exceptions that a scenario allows.
#[derive(Default, Clone, Copy)]
pub struct Allow {
    /// Whether instances die or fail on purpose, so that attempts are used.
    pub attempts: bool,
    /// Whether Redis fails over: what a primary showed and could not confirm may be taken back.
    pub failovers: bool,
}

/// Waits until everything has ended, then checks all invariants.
pub async fn verify(cluster: &mut Cluster, load: &Load, observers: &Observers, allow: Allow) -> Vec<(Entry, Value)> {
    let mut violations = load.violations();
    let ended = wait_ended(cluster, load).await;
    wait_rest(cluster).await;
    let statuses: HashMap<String, String> = ended
        .iter()
        .map(|(entry, task)| (entry.id.clone().unwrap(), task["status"].as_str().unwrap().to_owned()))
        .collect();
    let ids: BTreeSet<String> = statuses.keys().cloned().collect();
    let logs: Vec<_> = cluster.instances.iter().map(|instance| (instance.id(), instance.log())).collect();
    let runs = Executions::read(&logs, &ids);

    for (entry, task) in &ended {
        check_end(entry, task, &runs, allow, &mut violations);
    }
    check_files(cluster, &ended, &mut violations).await;
    violations.extend(runs.violations.iter().cloned());
    violations.extend(runs.foreign.iter().map(|prompt| format!("I8: unknown prompt {prompt}")));
    if runs.depth_max > DEPTH_MAX {
        violations.push(format!("I10: {} prompts at one instance", runs.depth_max));
    }
    check_rest(cluster, &ids, &mut violations).await;
    check_redis(cluster, &ids, &mut violations);
    // An ending that pub/sub lost is delivered by the next comparison, every ten seconds.
    let received = tokio::time::timeout(WAIT_MAX, async {
        while !observers.missing_endings(&statuses).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    if received.await.is_err() {
        violations.extend(observers.missing_endings(&statuses));
    }
    violations.extend(observers.violations(&statuses, allow.failovers));
    check_processes(cluster, &mut violations);
    assert!(
        violations.is_empty(),
        "{} violations:\n{}\n{}",
        violations.len(),
        violations.join("\n"),
        about(cluster, &violations)
    );
    ended
}

/// I1: every acknowledged task is found and ends.
async fn wait_ended(cluster: &Cluster, load: &Load) -> Vec<(Entry, Value)> {
    let mut ended = Vec::new();
    for entry in load.entries() {
        let Some(id) = entry.id.clone() else { continue };
        let last = std::cell::RefCell::new(Value::Null);
        let waited = tokio::time::timeout(WAIT_MAX, async {
            loop {
                if let Some((status, task)) = cluster.client.try_get(&format!("/api/tasks/{id}")).await {
                    assert_ne!(
                        status,
                        404,
                        "I1: the acknowledged task {id} is lost: {entry:?}\n{}",
                        cluster.logs_about(&id)
                    );
                    let is_over = matches!(task["data"]["status"].as_str(), Some("completed" | "failed" | "cancelled"));
                    *last.borrow_mut() = task["data"].clone();
                    if is_over {
                        return;
                    }
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        let task = match waited.await {
            Ok(()) => last.into_inner(),
            Err(_) => panic!("I1: task {id} does not end: {}\n{}", last.borrow(), cluster.logs_about(&id)),
        };
        ended.push((entry, task));
    }
    ended
}

/// Waits until cancelled prompts have left their instances.
async fn wait_rest(cluster: &Cluster) {
    eventually("I6: no slot is held", WAIT_MAX, || async {
        let (status, overview) = cluster.client.try_get("/api/monitor/overview").await?;
        let data = &overview["data"];
        let is_quiet = data["pendingTasks"] == 0 && data["runningTasks"] == 0 && data["busyInstances"] == 0;
        (status == 200 && is_quiet).then_some(())
    })
    .await;
    eventually("I6: nothing is left in any queue of ComfyUI", WAIT_MAX, || async {
        for instance in cluster.instances.iter().filter(|instance| instance.sim.is_up()) {
            let queue: Value = reqwest::get(format!("{}/queue", instance.sim.url())).await.ok()?.json().await.ok()?;
            let is_empty = |side: &str| queue[side].as_array().is_some_and(Vec::is_empty);
            if !is_empty("queue_running") || !is_empty("queue_pending") {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// I2–I5: the task ended as its kind may, and the stand-ins' logs agree.
fn check_end(entry: &Entry, task: &Value, runs: &Executions, allow: Allow, violations: &mut Vec<String>) {
    let id = entry.id.as_deref().unwrap();
    let status = task["status"].as_str().unwrap();
    let failure = task["error"]["type"].as_str().unwrap_or_default();
    let right = match &entry.kind {
        Kind::Quick | Kind::Steps(_) | Kind::Upload(_) => status == "completed",
        Kind::Fails => (status, failure) == ("failed", "node_error"),
        // It has two attempts; where instances misbehave, one of them may be lost to that.
        Kind::Hungry => status == "failed" && (failure == "out_of_memory" || allow.attempts),
        Kind::Invalid => (status, failure) == ("failed", "invalid_workflow"),
    };
    let mut violation = |what: String| violations.push(format!("{what}: {entry:?} {task}"));
    if entry.is_cancelled != (status == "cancelled") && !(entry.may_be_cancelled && status == "cancelled") {
        violation(format!("cancel and end disagree in task {id}"));
    }
    if !right && status != "cancelled" {
        violation(format!("task {id} ended as {status} {failure}"));
    }
    let executions = runs.of(id);
    let succeeded = executions.iter().filter(|execution| execution.end == End::Succeeded).count();
    if status == "completed" && succeeded == 0 {
        violation(format!("I4: no instance finished the completed task {id}"));
    }
    if status == "failed" && succeeded > 0 {
        violation(format!("I5: an instance finished the failed task {id}"));
    }
    if entry.kind == Kind::Invalid && !executions.is_empty() {
        violation(format!("the invalid task {id} was executed"));
    }
    let mut excuses = vec![];
    if allow.attempts {
        excuses.push(End::Died);
    }
    if matches!(entry.kind, Kind::Hungry | Kind::Fails) {
        excuses.push(End::Failed);
    }
    runs.unexcused(id, &excuses).into_iter().for_each(|what| violation(format!("I3: {what}")));
    // Whether the failure of a node is the machine's is decided on another instance.
    let attempts_max = if matches!(entry.kind, Kind::Hungry | Kind::Fails) { 2 } else { 1 };
    if !allow.attempts && task["attempt"].as_u64() > Some(attempts_max) {
        violation(format!("task {id} used attempts that nothing excuses"));
    }
}

/// I11: the files of a completed task exist and are complete.
async fn check_files(cluster: &Cluster, ended: &[(Entry, Value)], violations: &mut Vec<String>) {
    for (entry, task) in ended.iter().filter(|(_, task)| task["status"] == "completed") {
        let id = entry.id.as_deref().unwrap();
        let outputs = task["result"]["outputs"].as_array().cloned().unwrap_or_default();
        if outputs.is_empty() {
            violations.push(format!("I11: completed without a result: {task}"));
        }
        for (link, output) in task["result"]["files"].as_array().into_iter().flatten().zip(&outputs) {
            let answer = cluster.client.http().get(link.as_str().unwrap()).send().await.unwrap();
            let (status, bytes) = (answer.status(), answer.bytes().await.unwrap_or_default());
            if status != 200
                || !bytes.starts_with(b"\x89PNG")
                || Some(bytes.len() as u64) != output["sizeBytes"].as_u64()
            {
                violations
                    .push(format!("I11: a file of task {id} is not whole: {link} {status} {} bytes", bytes.len()));
            }
        }
    }
}

/// I6, I8: every API process gives the same numbers, and they add up.
async fn check_rest(cluster: &Cluster, ids: &BTreeSet<String>, violations: &mut Vec<String>) {
    for api in &cluster.apis {
        let client = cluster.client.at(api.port);
        let overview = eventually("the overview of every api", WAIT_MAX, || async {
            let (status, overview) = client.try_get("/api/monitor/overview").await?;
            // The last report of an instance that came back may still be on its way.
            let alive = cluster.instances.iter().filter(|instance| instance.sim.is_up()).count();
            (status == 200 && overview["data"]["aliveInstances"] == alive).then(|| overview["data"].clone())
        })
        .await;
        let mut sum = 0;
        for (status, name) in
            [("completed", "completedTasks"), ("failed", "failedTasks"), ("cancelled", "cancelledTasks")]
        {
            let total = client.get(&format!("/api/tasks?status={status}&limit=1")).await["total"].clone();
            sum += total.as_u64().unwrap();
            if overview[name] != total {
                violations.push(format!("I6: {}: overview {overview}, list of {status} {total}", api.name));
            }
        }
        let total = client.get("/api/tasks?limit=1").await["total"].as_u64().unwrap();
        if total != sum || total != ids.len() as u64 {
            violations.push(format!("I8: {}: {total} tasks, {sum} ended, {} acknowledged", api.name, ids.len()));
        }
    }
}

/// I5–I7 and I9 in Redis: every key agrees with the tasks; no slot and no ledger entry is left.
fn check_redis(cluster: &Cluster, ids: &BTreeSet<String>, violations: &mut Vec<String>) {
    let dump = Dump::read(&mut cluster.raw(), ROOT);
    if let Err(wrong) = audit_dump(&dump, DEPTH_MAX) {
        violations.push(format!("redis: {wrong}"));
    }
    if !dump.map("jobs").is_empty() || dump.slots().values().any(|slots| !slots.is_empty()) {
        violations.push("I9: the ledger or a slot is not empty".to_owned());
    }
    let tasks: BTreeSet<String> = dump.tasks().into_keys().collect();
    if &tasks != ids {
        let (lost, extra): (Vec<_>, Vec<_>) = (ids.difference(&tasks).collect(), tasks.difference(ids).collect());
        violations.push(format!("I8: acknowledged and lost {lost:?}; never acknowledged {extra:?}"));
    }
}

/// P1, P2: no process exited by itself or panicked.
fn check_processes(cluster: &mut Cluster, violations: &mut Vec<String>) {
    for process in cluster.apis.iter_mut().chain(&mut cluster.dispatchers) {
        process.note_own_end();
        violations.append(&mut process.faults);
        if let Some(line) = process.log().lines().find(|line| line.contains("panicked at")) {
            violations.push(format!("P2: {}: {line}", process.name));
        }
    }
}

/// Log lines about the tasks that the first violations name.
fn about(cluster: &Cluster, violations: &[String]) -> String {
    let named = violations
        .iter()
        .flat_map(|wrong| wrong.split(|character: char| !(character.is_ascii_hexdigit() || character == '-')));
    let ids: BTreeSet<&str> = named.filter(|word| matches!(word.len(), 32 | 36)).take(3).collect();
    let about: String = ids.into_iter().map(|id| format!("\nlogs about {id}:\n{}", cluster.logs_about(id))).collect();
    format!("{about}\nerrors:\n{}", cluster.logs_about("\"level\":\"ERROR\""))
}

//! The verdict after a scenario: the invariants I1–I11, P1 and P2 of safety.md §4, every violation at once.

use super::{
    load::{Entry, Kind, Load},
    runs::{End, Runs},
    stage::{ROOT, Stage, WAIT_MAX},
    watch::Watch,
};
use crate::support::{
    audit::{Dump, audit_dump},
    eventually,
};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// Prompts at one instance at one time (`--slots`).
const DEPTH_MAX: usize = 1;

/// What a scenario allows beyond the rule.
#[derive(Default, Clone, Copy)]
pub struct Allow {
    /// Instances died or were told to fail: another try is right, and attempts are used.
    pub attempts: bool,
}

/// Waits for the end of everything, then judges.
pub async fn judge(stage: &mut Stage, load: &Load, watch: &Watch, allow: Allow) -> Vec<(Entry, Value)> {
    let mut wrongs = load.wrongs();
    let ended = wait_ended(stage, load).await;
    wait_rest(stage).await;
    let statuses: HashMap<String, String> = ended
        .iter()
        .map(|(entry, task)| (entry.id.clone().unwrap(), task["status"].as_str().unwrap().to_owned()))
        .collect();
    let ids: BTreeSet<String> = statuses.keys().cloned().collect();
    let logs: Vec<_> = stage.instances.iter().map(|instance| (instance.id(), instance.log())).collect();
    let runs = Runs::read(&logs, &ids);

    for (entry, task) in &ended {
        check_end(entry, task, &runs, allow, &mut wrongs);
    }
    check_files(stage, &ended, &mut wrongs).await;
    wrongs.extend(runs.wrongs.iter().cloned());
    wrongs.extend(runs.foreign.iter().map(|prompt| format!("I8: nobody asked for {prompt}")));
    if runs.depth_max > DEPTH_MAX {
        wrongs.push(format!("I10: {} prompts at one instance", runs.depth_max));
    }
    check_rest(stage, &ids, &mut wrongs).await;
    check_redis(stage, &ids, &mut wrongs);
    // An ending that pub/sub lost is told at the next look, every ten seconds.
    let heard = tokio::time::timeout(WAIT_MAX, async {
        while !watch.unheard(&statuses).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    if heard.await.is_err() {
        wrongs.extend(watch.unheard(&statuses));
    }
    wrongs.extend(watch.wrongs(&statuses));
    check_processes(stage, &mut wrongs);
    assert!(wrongs.is_empty(), "{} violations:\n{}\n{}", wrongs.len(), wrongs.join("\n"), about(stage, &wrongs));
    ended
}

/// I1: every acknowledged task is found and ends.
async fn wait_ended(stage: &Stage, load: &Load) -> Vec<(Entry, Value)> {
    let mut ended = Vec::new();
    for entry in load.book() {
        let Some(id) = entry.id.clone() else { continue };
        let last = std::cell::RefCell::new(Value::Null);
        let waited = tokio::time::timeout(WAIT_MAX, async {
            loop {
                if let Some((status, task)) = stage.client.try_get(&format!("/api/tasks/{id}")).await {
                    assert_ne!(
                        status,
                        404,
                        "I1: the acknowledged task {id} is lost: {entry:?}\n{}",
                        stage.logs_about(&id)
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
            Err(_) => panic!("I1: task {id} does not end: {}\n{}", last.borrow(), stage.logs_about(&id)),
        };
        ended.push((entry, task));
    }
    ended
}

/// Cancelled prompts may still be on their way out of an instance.
async fn wait_rest(stage: &Stage) {
    eventually("I6: no slot is held", WAIT_MAX, || async {
        let (status, overview) = stage.client.try_get("/api/monitor/overview").await?;
        let data = &overview["data"];
        let is_quiet = data["pendingTasks"] == 0 && data["runningTasks"] == 0 && data["busyInstances"] == 0;
        (status == 200 && is_quiet).then_some(())
    })
    .await;
    eventually("I6: nothing is left in any queue of ComfyUI", WAIT_MAX, || async {
        for instance in stage.instances.iter().filter(|instance| instance.sim.is_up()) {
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

/// I2–I5: the task ended as its kind may, and the stand-ins' logs say the same.
fn check_end(entry: &Entry, task: &Value, runs: &Runs, allow: Allow, wrongs: &mut Vec<String>) {
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
    let mut wrong = |what: String| wrongs.push(format!("{what}: {entry:?} {task}"));
    if entry.is_cancelled != (status == "cancelled") && !(entry.may_be_cancelled && status == "cancelled") {
        wrong(format!("cancel and end disagree in task {id}"));
    }
    if !right && status != "cancelled" {
        wrong(format!("task {id} ended as {status} {failure}"));
    }
    let executions = runs.of(id);
    let succeeded = executions.iter().filter(|execution| execution.end == End::Succeeded).count();
    if status == "completed" && succeeded == 0 {
        wrong(format!("I4: no instance finished the completed task {id}"));
    }
    if status == "failed" && succeeded > 0 {
        wrong(format!("I5: an instance finished the failed task {id}"));
    }
    if entry.kind == Kind::Invalid && !executions.is_empty() {
        wrong(format!("the invalid task {id} was executed"));
    }
    let mut excuses = vec![];
    if allow.attempts {
        excuses.push(End::Died);
    }
    if entry.kind == Kind::Hungry {
        excuses.push(End::Failed);
    }
    runs.unexcused(id, &excuses).into_iter().for_each(|what| wrong(format!("I3: {what}")));
    let attempts_max = if entry.kind == Kind::Hungry { 2 } else { 1 };
    if !allow.attempts && task["attempt"].as_u64() > Some(attempts_max) {
        wrong(format!("task {id} used attempts that nothing excuses"));
    }
}

/// I11: what a completed task names is there and whole.
async fn check_files(stage: &Stage, ended: &[(Entry, Value)], wrongs: &mut Vec<String>) {
    for (entry, task) in ended.iter().filter(|(_, task)| task["status"] == "completed") {
        let id = entry.id.as_deref().unwrap();
        let outputs = task["result"]["outputs"].as_array().cloned().unwrap_or_default();
        if outputs.is_empty() {
            wrongs.push(format!("I11: completed without a result: {task}"));
        }
        for (link, output) in task["result"]["files"].as_array().into_iter().flatten().zip(&outputs) {
            let answer = stage.client.http().get(link.as_str().unwrap()).send().await.unwrap();
            let (status, bytes) = (answer.status(), answer.bytes().await.unwrap_or_default());
            if status != 200
                || !bytes.starts_with(b"\x89PNG")
                || Some(bytes.len() as u64) != output["sizeBytes"].as_u64()
            {
                wrongs.push(format!("I11: a file of task {id} is not whole: {link} {status} {} bytes", bytes.len()));
            }
        }
    }
}

/// I6, I8: every API process says the same, and it adds up.
async fn check_rest(stage: &Stage, ids: &BTreeSet<String>, wrongs: &mut Vec<String>) {
    for api in &stage.apis {
        let client = stage.client.at(api.port);
        let overview = eventually("the overview of every api", WAIT_MAX, || async {
            let (status, overview) = client.try_get("/api/monitor/overview").await?;
            // The last report of an instance that came back may still be on its way.
            let alive = stage.instances.iter().filter(|instance| instance.sim.is_up()).count();
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
                wrongs.push(format!("I6: {}: overview {overview}, list of {status} {total}", api.name));
            }
        }
        let total = client.get("/api/tasks?limit=1").await["total"].as_u64().unwrap();
        if total != sum || total != ids.len() as u64 {
            wrongs.push(format!("I8: {}: {total} tasks, {sum} ended, {} acknowledged", api.name, ids.len()));
        }
    }
}

/// I5–I7 and I9 in Redis: every key mirrors the tasks; no slot, no ledger entry is left.
fn check_redis(stage: &Stage, ids: &BTreeSet<String>, wrongs: &mut Vec<String>) {
    let dump = Dump::read(&mut stage.raw(), ROOT);
    if let Err(wrong) = audit_dump(&dump, DEPTH_MAX) {
        wrongs.push(format!("redis: {wrong}"));
    }
    if !dump.map("jobs").is_empty() || dump.slots().values().any(|slots| !slots.is_empty()) {
        wrongs.push("I9: the ledger or a slot is not empty".to_owned());
    }
    let tasks: BTreeSet<String> = dump.tasks().into_keys().collect();
    if &tasks != ids {
        let (lost, extra): (Vec<_>, Vec<_>) = (ids.difference(&tasks).collect(), tasks.difference(ids).collect());
        wrongs.push(format!("I8: acknowledged and lost {lost:?}; never acknowledged {extra:?}"));
    }
}

/// P1, P2.
fn check_processes(stage: &mut Stage, wrongs: &mut Vec<String>) {
    for member in stage.apis.iter_mut().chain(&mut stage.dispatchers) {
        member.note_own_end();
        wrongs.append(&mut member.faults);
        if let Some(line) = member.log().lines().find(|line| line.contains("panicked at")) {
            wrongs.push(format!("P2: {}: {line}", member.name));
        }
    }
}

/// What was logged about the tasks that the first violations name.
fn about(stage: &Stage, wrongs: &[String]) -> String {
    let named = wrongs
        .iter()
        .flat_map(|wrong| wrong.split(|character: char| !(character.is_ascii_hexdigit() || character == '-')));
    let ids: BTreeSet<&str> = named.filter(|word| matches!(word.len(), 32 | 36)).take(3).collect();
    let about: String = ids.into_iter().map(|id| format!("\nlogs about {id}:\n{}", stage.logs_about(id))).collect();
    format!("{about}\nerrors:\n{}", stage.logs_about("\"level\":\"ERROR\""))
}

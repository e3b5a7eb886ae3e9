//! Unhealthy instances, cancels, limits: the outcome of each, checked against what the stand-ins executed. Numbers in
//! brackets are points of the protocol's §17.

mod cancel;
mod concurrent_cancels;
mod early_outputs;
mod eligibility;
mod follow;
mod hostile;
mod http_proxy;
mod inputs;
mod machine_faults;
mod models;
mod named_files;
mod orphan_files;
mod orphan_prompts;
mod other_clients;
mod output_kinds;
mod outputs;
mod previews;
mod retries;
mod silence;
mod submit;
mod takeover;
mod time_limits;
mod unhealthy_instances;
mod value_outputs;

use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX},
};
use http_proxy::HttpProxy;
use serde_json::{Value, json};
use shuzhiren::{
    sim::{Faults, LogEvent, Sim},
    task::{Attempt, TaskId},
};

/// A stand-in with these faults, and a dispatcher.
async fn stack_with(faults: impl FnOnce(&mut Faults)) -> Stack {
    let stack = Stack::start(1, 1).await;
    stack.sims[0].set(faults);
    stack
}

/// A stand-in behind a proxy, and a dispatcher with these settings.
async fn proxied(variables: &[(&str, &str)]) -> (Stack, HttpProxy) {
    let mut stack = Stack::start_with(1, 0, variables).await;
    let proxy = HttpProxy::start(stack.sims[0].addr()).await;
    put_fleet(&stack, &[proxy.port]).await;
    stack.add_dispatcher();
    stack.wait_instances_up(1).await;
    (stack, proxy)
}

/// Puts a fleet of these local ports, checked every 200 ms.
async fn put_fleet(stack: &Stack, ports: &[u16]) {
    let fleet = json!({
        "servers": [{"id": "server-1", "name": "one", "ip": "127.0.0.1", "ports": ports}],
        "healthCheck": {"interval": 200, "timeout": 1000, "failuresToDown": 2}
    });
    stack.client.put("/api/config", fleet).await;
}

async fn completes_once(stack: &Stack, body: Value) -> Value {
    let id = stack.client.submit(body).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    assert_eq!(stack.executions(&id), 1, "{}", stack.log());
    task
}

/// The instance's prompt id of an attempt.
fn prompt(task: &str, attempt: u32) -> String {
    task.parse::<TaskId>().unwrap().prompt_id(Attempt::new(attempt)).to_string()
}

/// Number of times that the event happened to the prompt.
fn count(sim: &Sim, event: LogEvent, prompt: &str) -> usize {
    sim.log().iter().filter(|entry| entry.event == event && entry.prompt_id == prompt).count()
}

async fn happens(stack: &Stack, sim: &Sim, event: LogEvent, prompt: &str) {
    let what = format!("{event:?} of {prompt}");
    let seen = eventually_or_log(stack, &what, || count(sim, event, prompt) > 0);
    seen.await;
}

/// Waits for `check`; a failure prints the log of the dispatchers.
async fn eventually_or_log(stack: &Stack, what: &str, check: impl Fn() -> bool) {
    let give_up = tokio::time::Instant::now() + WAIT_MAX;
    eventually(what, WAIT_MAX * 2, || async {
        assert!(tokio::time::Instant::now() < give_up, "not in time: {what}\n{}", stack.log());
        check().then_some(())
    })
    .await;
}

/// Posts a prompt of another client to the stand-in.
async fn post_foreign(sim: &Sim, id: &str, graph: Value) {
    let body = json!({"prompt": graph, "prompt_id": id});
    let posted = reqwest::Client::new().post(format!("{}/prompt", sim.url())).json(&body).send().await;
    assert_eq!(posted.unwrap().status(), 200);
}

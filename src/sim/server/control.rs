//! The `/sim` routes: faults, kill, restart, freeze, log. They answer even while the instance hangs.

use crate::sim::{
    engine::process::Process,
    lock::lock,
    server::{aiohttp, faults::Faults},
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Longest freeze and longest downtime.
const WAIT_MS_MAX: u64 = 3_600_000;

pub(crate) fn router() -> Router<Arc<Process>> {
    Router::new()
        .route("/sim/faults", get(faults).post(set_faults).delete(clear_faults))
        .route("/sim/log", get(log).delete(clear_log))
        .route("/sim/state", get(state))
        .route("/sim/kill", post(kill))
        .route("/sim/restart", post(restart))
        .route("/sim/freeze", post(freeze))
        .route("/sim/zombie", post(zombie))
        .route("/sim/ws/drop", post(drop_sockets))
        .route("/sim/files/delete", post(delete_files))
}

/// Body of the control routes; all fields are optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ControlBody {
    down_ms: Option<u64>,
    ms: u64,
    filename: Option<String>,
}

#[allow(clippy::result_large_err, reason = "a response is what the handler returns at once")]
fn parse_body(body: &Bytes) -> Result<ControlBody, Response> {
    if body.is_empty() {
        return Ok(ControlBody::default());
    }
    serde_json::from_slice(body).map_err(|error| bad_request(&error.to_string()))
}

fn bad_request(why: &str) -> Response {
    aiohttp::json_status(StatusCode::BAD_REQUEST, json!({"error": why}).to_string())
}

fn ok() -> Response {
    aiohttp::json(&json!({"ok": true}))
}

async fn faults(State(process): State<Arc<Process>>) -> Response {
    let faults = lock(&process.instance.faults).clone();
    match serde_json::to_value(faults) {
        Ok(value) => aiohttp::json(&value),
        Err(error) => bad_request(&error.to_string()),
    }
}

async fn set_faults(State(process): State<Arc<Process>>, body: Bytes) -> Response {
    let Ok(change) = serde_json::from_slice::<Value>(&body) else { return bad_request("the body is not JSON") };
    let now = lock(&process.instance.faults).clone();
    match now.with(change) {
        Ok(faults) => {
            process.instance.set_faults(|all| *all = faults);
            ok()
        }
        Err(error) => bad_request(&error),
    }
}

async fn clear_faults(State(process): State<Arc<Process>>) -> Response {
    process.instance.set_faults(|faults| *faults = Faults::default());
    ok()
}

async fn log(State(process): State<Arc<Process>>) -> Response {
    match serde_json::to_value(process.instance.log.all()) {
        Ok(entries) => aiohttp::json(&json!({"life": process.number, "entries": entries})),
        Err(error) => bad_request(&error.to_string()),
    }
}

async fn clear_log(State(process): State<Arc<Process>>) -> Response {
    process.instance.log.clear();
    ok()
}

async fn state(State(process): State<Arc<Process>>) -> Response {
    let (pending, running, counter) = {
        let queue = lock(&process.queue);
        (queue.pending.len(), queue.running.as_ref().map(|item| item.id.clone()), queue.counter)
    };
    let is_zombie = process.zombie.load(std::sync::atomic::Ordering::SeqCst);
    aiohttp::json(&json!({
        "life": process.number, "pending": pending, "running": running, "counter": counter,
        "sockets": process.hub.count(), "zombie": is_zombie, "files": process.instance.files.count(),
    }))
}

/// Kills the process. Without `down_ms` it stays down (and `shuzhiren sim` exits).
async fn kill(State(process): State<Arc<Process>>, body: Bytes) -> Response {
    match parse_body(&body) {
        Ok(options) => {
            process.instance.kill_soon(options.down_ms.map(|ms| Duration::from_millis(ms.min(WAIT_MS_MAX))));
            ok()
        }
        Err(response) => response,
    }
}

async fn restart(State(process): State<Arc<Process>>, body: Bytes) -> Response {
    match parse_body(&body) {
        Ok(options) => {
            process.instance.kill_soon(Some(Duration::from_millis(options.down_ms.unwrap_or(0).min(WAIT_MS_MAX))));
            ok()
        }
        Err(response) => response,
    }
}

async fn freeze(State(process): State<Arc<Process>>, body: Bytes) -> Response {
    match parse_body(&body) {
        Ok(options) => {
            process.freeze(Duration::from_millis(options.ms.min(WAIT_MS_MAX)));
            ok()
        }
        Err(response) => response,
    }
}

async fn zombie(State(process): State<Arc<Process>>) -> Response {
    process.make_zombie();
    ok()
}

async fn drop_sockets(State(process): State<Arc<Process>>) -> Response {
    process.hub.cut_all();
    ok()
}

async fn delete_files(State(process): State<Arc<Process>>, body: Bytes) -> Response {
    match parse_body(&body) {
        Ok(options) => {
            aiohttp::json(&json!({"deleted": process.instance.files.delete_outputs(options.filename.as_deref())}))
        }
        Err(response) => response,
    }
}

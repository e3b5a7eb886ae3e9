//! The `/sim` routes: faults, kill, restart, freeze, log. They answer also while the instance hangs.

use super::aiohttp;
use crate::sim::{engine::incarnation::Life, lock};
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

/// Longest freeze and longest down time.
const WAIT_MS_MAX: u64 = 3_600_000;

pub(crate) fn router() -> Router<Arc<Life>> {
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

/// What the control routes take; all of it optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Order {
    down_ms: Option<u64>,
    ms: u64,
    filename: Option<String>,
}

#[allow(clippy::result_large_err, reason = "a response is what the handler returns at once")]
fn order(body: &Bytes) -> Result<Order, Response> {
    if body.is_empty() {
        return Ok(Order::default());
    }
    serde_json::from_slice(body).map_err(|error| wrong(&error.to_string()))
}

fn wrong(why: &str) -> Response {
    aiohttp::json_status(StatusCode::BAD_REQUEST, json!({"error": why}).to_string())
}

fn done() -> Response {
    aiohttp::json(&json!({"ok": true}))
}

async fn faults(State(life): State<Arc<Life>>) -> Response {
    let faults = lock(&life.shared.faults).clone();
    match serde_json::to_value(faults) {
        Ok(value) => aiohttp::json(&value),
        Err(error) => wrong(&error.to_string()),
    }
}

async fn set_faults(State(life): State<Arc<Life>>, body: Bytes) -> Response {
    let Ok(change) = serde_json::from_slice::<Value>(&body) else { return wrong("the body is no JSON") };
    let now = lock(&life.shared.faults).clone();
    match now.with(change) {
        Ok(faults) => {
            life.shared.set_faults(|all| *all = faults);
            done()
        }
        Err(error) => wrong(&error),
    }
}

async fn clear_faults(State(life): State<Arc<Life>>) -> Response {
    life.shared.set_faults(|faults| *faults = crate::sim::Faults::default());
    done()
}

async fn log(State(life): State<Arc<Life>>) -> Response {
    match serde_json::to_value(life.shared.record.all()) {
        Ok(entries) => aiohttp::json(&json!({"life": life.number, "entries": entries})),
        Err(error) => wrong(&error.to_string()),
    }
}

async fn clear_log(State(life): State<Arc<Life>>) -> Response {
    life.shared.record.clear();
    done()
}

async fn state(State(life): State<Arc<Life>>) -> Response {
    let (pending, running, counter) = {
        let queue = lock(&life.queue);
        (queue.pending.len(), queue.running.as_ref().map(|item| item.id.clone()), queue.counter)
    };
    let is_zombie = life.zombie.load(std::sync::atomic::Ordering::SeqCst);
    aiohttp::json(&json!({
        "life": life.number, "pending": pending, "running": running, "counter": counter,
        "sockets": life.hub.count(), "zombie": is_zombie, "files": life.shared.files.count(),
    }))
}

/// Without `down_ms` it stays down (and `shuzhiren sim` exits).
async fn kill(State(life): State<Arc<Life>>, body: Bytes) -> Response {
    match order(&body) {
        Ok(order) => {
            life.shared.down_soon(order.down_ms.map(|ms| Duration::from_millis(ms.min(WAIT_MS_MAX))));
            done()
        }
        Err(response) => response,
    }
}

async fn restart(State(life): State<Arc<Life>>, body: Bytes) -> Response {
    match order(&body) {
        Ok(order) => {
            life.shared.down_soon(Some(Duration::from_millis(order.down_ms.unwrap_or(0).min(WAIT_MS_MAX))));
            done()
        }
        Err(response) => response,
    }
}

async fn freeze(State(life): State<Arc<Life>>, body: Bytes) -> Response {
    match order(&body) {
        Ok(order) => {
            life.freeze(Duration::from_millis(order.ms.min(WAIT_MS_MAX)));
            done()
        }
        Err(response) => response,
    }
}

async fn zombie(State(life): State<Arc<Life>>) -> Response {
    life.make_zombie();
    done()
}

async fn drop_sockets(State(life): State<Arc<Life>>) -> Response {
    life.hub.cut_all();
    done()
}

async fn delete_files(State(life): State<Arc<Life>>, body: Bytes) -> Response {
    match order(&body) {
        Ok(order) => aiohttp::json(&json!({"deleted": life.shared.files.delete_outputs(order.filename.as_deref())})),
        Err(response) => response,
    }
}

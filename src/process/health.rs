//! Liveness, readiness and metrics endpoints, without login and without logging.

use super::error_response::error_response;
use crate::metrics;
use axum::{
    Json, Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Readiness of the process, by part. It is ready if every part ever set is ready.
#[derive(Clone, Default)]
pub struct Readiness {
    parts: Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>,
    stop: Arc<OnceLock<CancellationToken>>,
    alive: Arc<OnceLock<AliveCheck>>,
}

/// The reason why a process cannot recover by itself; `None` = alive.
type AliveCheck = Box<dyn Fn() -> Option<String> + Send + Sync>;

impl Readiness {
    /// Sets a part ready, or not ready with a reason.
    pub fn set(&self, part: &'static str, state: Result<(), String>) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(part, state);
    }

    /// Makes the process not ready once `stop` is cancelled, regardless of its parts. Only the first call counts.
    pub fn until(&self, stop: &CancellationToken) {
        self.stop.get_or_init(|| stop.clone());
    }

    /// Makes `/livez` fail while `check` returns a reason. Only the first call counts.
    pub fn alive_unless(&self, check: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.alive.get_or_init(|| Box::new(check));
    }

    /// Returns the reason for a restart of the process, if there is one.
    pub fn dead(&self) -> Option<String> {
        self.alive.get().and_then(|check| check())
    }

    /// Returns the parts that are not ready, with their reasons; empty = ready.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing: Vec<_> = parts
            .iter()
            .filter_map(|(&part, state)| state.as_ref().err().map(|reason| (part, reason.clone())))
            .collect();
        if self.stop.get().is_some_and(CancellationToken::is_cancelled) {
            missing.push(("process", "stopping".to_owned()));
        }
        missing
    }
}

/// Returns the router of `/livez`, `/readyz`, `/healthz` (same as `/readyz`) and `/metrics`.
///
/// Alive: 200 `{"code":200,"data":{"status":"alive"}}`. Otherwise 503 with the error type `not_ready`: only a
/// restart may help.
///
/// Ready: 200 `{"code":200,"data":{"status":"ready"}}`. Not ready, or stopping: 503 with the error type `not_ready` and
/// `details` of `{"part":"redis","reason":"…"}`.
pub fn ops_router(readiness: Readiness) -> Router {
    metrics::install();
    let alive = {
        let readiness = readiness.clone();
        move || async move { alive(&readiness) }
    };
    let ready = move || {
        let readiness = readiness.clone();
        async move { answer(&readiness) }
    };
    Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready.clone()))
        .route("/healthz", get(ready))
        .route("/metrics", get(exposition))
}

fn alive(readiness: &Readiness) -> Response {
    match readiness.dead() {
        None => Json(json!({"code": 200, "data": {"status": "alive"}})).into_response(),
        Some(why) => {
            error_response(StatusCode::SERVICE_UNAVAILABLE, "not_ready", &format!("not alive: {why}"), json!([]))
        }
    }
}

fn answer(readiness: &Readiness) -> Response {
    let missing = readiness.missing();
    if missing.is_empty() {
        return Json(json!({"code": 200, "data": {"status": "ready"}})).into_response();
    }
    let message = missing.iter().map(|(part, reason)| format!("{part}: {reason}")).collect::<Vec<_>>().join("; ");
    let details = missing.iter().map(|(part, reason)| json!({"part": part, "reason": reason})).collect();
    error_response(StatusCode::SERVICE_UNAVAILABLE, "not_ready", &format!("not ready: {message}"), details)
}

async fn exposition() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::render().await).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_if_every_part_is_and_it_is_not_stopping() {
        let readiness = Readiness::default();
        readiness.set("redis", Err("connecting".to_owned()));
        readiness.set("config", Ok(()));
        assert_eq!(readiness.missing(), [("redis", "connecting".to_owned())]);
        readiness.set("redis", Ok(()));
        assert_eq!(readiness.missing(), []);
        let stop = CancellationToken::new();
        readiness.until(&stop);
        assert_eq!(readiness.missing(), []);
        assert_eq!(readiness.dead(), None);
        readiness.alive_unless(|| Some("redis: no answer for 61 s".to_owned()));
        assert_eq!(readiness.dead().as_deref(), Some("redis: no answer for 61 s"));
        stop.cancel();
        assert_eq!(readiness.missing(), [("process", "stopping".to_owned())]);
    }
}

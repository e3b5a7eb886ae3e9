//! `GET /api/monitor/overview` and `GET /api/health`.

use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::envelope::Answer,
    },
    auth::Caller,
    fleet::OverviewView,
    process::request_id,
    queue,
    settings::limits::RETRY_AFTER_SECONDS,
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Returns counts of tasks and instances at one moment.
#[utoipa::path(
    get, path = "/api/monitor/overview", operation_id = "getOverview", tag = "monitor",
    responses((status = 200, description = "the counts", body = crate::api::openapi::Envelope<OverviewView>))
)]
pub(crate) async fn overview(State(state): State<ApiState>, _caller: Caller) -> Result<Answer<OverviewView>> {
    let (instances, counts) = tokio::try_join!(state.queue.instance_views(), state.queue.counts())?;
    let mut overview = OverviewView::new(&instances, &counts);
    if state.store.is_disk_low().await {
        overview.warnings.push("storage_reserve");
    }
    Ok(Answer(overview))
}

/// Returns the error types with which new tasks or uploads are refused now.
async fn warnings(state: &ApiState) -> Vec<&'static str> {
    let memory = state.queue.check_memory().err().map(|full| ApiError::from(full).word());
    let disk = state.store.is_disk_low().await.then_some("storage_reserve");
    memory.into_iter().chain(disk).collect()
}

/// Checks whether Redis responds. Needs no login, and asks no ComfyUI. `warnings` has the error types with which new tasks or
/// uploads are refused now: `queue_memory_full`, `storage_reserve`.
#[utoipa::path(
    get, path = "/api/health", operation_id = "getHealth", tag = "monitor", security(()),
    responses(
        (status = 200, description = "Redis answers", body = crate::api::openapi::Envelope<crate::api::openapi::Health>),
        (status = 503, description = "Redis does not answer or lost its data; or too many connections, and then without `data`",
            body = crate::api::openapi::Unhealthy),
    )
)]
pub(crate) async fn health(State(state): State<ApiState>) -> Response {
    let (redis, word, message) = match state.queue.ping().await {
        Ok(()) => {
            let mut health = json!({ "status": "ok", "redis": "connected" });
            let warnings = warnings(&state).await;
            if !warnings.is_empty() {
                health["warnings"] = json!(warnings);
            }
            return Answer(health).into_response();
        }
        Err(queue::Error::Lost(_)) => ("lost", "queue_lost", "redis lost the data of this system"),
        Err(_) => ("disconnected", "redis_unavailable", "redis does not answer"),
    };
    // The only failure that also has `data`, so that monitoring can read the same fields in both cases.
    let body = json!({
        "code": 503,
        "message": message,
        "data": { "status": "degraded", "redis": redis },
        "error": { "type": word, "details": [], "requestId": &*request_id() },
    });
    let headers = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(body)).into_response()
}

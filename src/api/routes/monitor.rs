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
use serde_json::{Value, json};

/// Returns counts of tasks and instances at one moment.
#[utoipa::path(
    get, path = "/api/monitor/overview", operation_id = "getOverview", tag = "monitor",
    responses((status = 200, description = "the counts", body = crate::api::openapi::Envelope<OverviewView>))
)]
pub(crate) async fn overview(State(state): State<ApiState>, _caller: Caller) -> Result<Answer<OverviewView>> {
    let (instances, counts) = tokio::try_join!(state.queue.instance_views(), state.queue.counts())?;
    let mut overview = OverviewView::new(&instances, &counts);
    overview.warnings = warnings(&state).await;
    Ok(Answer(overview))
}

/// Returns the error types with which new tasks or uploads are refused now, `redis_unfit` and `store_foreign`.
async fn warnings(state: &ApiState) -> Vec<&'static str> {
    let memory = state.queue.check_memory().err().map(|full| ApiError::from(full).word());
    let unfit = state.queue.is_unfit().then_some("redis_unfit");
    let unconfirmed = state.queue.is_unconfirmed().then_some("not_confirmed");
    let disk = state.store.is_disk_low().await.then_some("storage_reserve");
    let foreign = state.store.is_foreign().then_some("store_foreign");
    [memory, unfit, unconfirmed, disk, foreign].into_iter().flatten().collect()
}

/// Checks whether Redis responds. Needs no login, and asks no ComfyUI. `warnings` has the error types with which new tasks or
/// uploads are refused now: `queue_memory_full`, `not_confirmed`, `storage_reserve`; and `redis_unfit` if Redis was changed so
/// that it would be refused at a start (it may delete tasks), `store_foreign` if the files belong to another system (it was
/// emptied).
#[utoipa::path(
    get, path = "/api/health", operation_id = "getHealth", tag = "monitor", security(()),
    responses(
        (status = 200, description = "Redis answers", body = crate::api::openapi::Envelope<crate::api::openapi::Health>),
        (status = 503, description = "Redis does not answer, refuses us, or lost its data; or too many connections, and then without `data`",
            body = crate::api::openapi::Unhealthy),
    )
)]
pub(crate) async fn health(State(state): State<ApiState>) -> Response {
    let (answer, warnings) = tokio::join!(state.queue.ping(), warnings(&state));
    let with_warnings = |mut health: Value| {
        if !warnings.is_empty() {
            health["warnings"] = json!(warnings);
        }
        health
    };
    let error = match answer {
        Ok(()) => return Answer(with_warnings(json!({ "status": "ok", "redis": "connected" }))).into_response(),
        Err(error) => error,
    };
    let (redis, word, message) = trouble(&error);
    // The only failure that also has `data`, so that monitoring can read the same fields in both cases.
    let body = json!({
        "code": 503,
        "message": message,
        "data": with_warnings(json!({ "status": "degraded", "redis": redis })),
        "error": { "type": word, "details": [], "requestId": &*request_id() },
    });
    let headers = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(body)).into_response()
}

/// Returns the state of Redis, the error type and the message. The answer needs no login, so it has no details of the server.
fn trouble(error: &queue::Error) -> (&'static str, &'static str, String) {
    match (error, error.refusal()) {
        (queue::Error::Lost(_), _) => ("lost", "queue_lost", "redis lost the data of this system".to_owned()),
        (_, Some(refusal)) => ("refusing", "redis_unavailable", refusal),
        (_, None) => ("disconnected", "redis_unavailable", "redis does not answer".to_owned()),
    }
}

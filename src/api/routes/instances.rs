//! `GET /api/instances`, `GET|PUT /api/instances/:id`, `POST /api/instances/:id/release`: the instances of the config and the state of each.

use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::{
            envelope::Answer,
            extract::{Admin, JsonBody, PathId},
            strict_json::{self, Members},
        },
    },
    auth::Caller,
    fleet::{InstanceStatus, InstanceView, Phase, Target},
    json::raw_value,
    queue::Queue,
    task::{InstanceId, rfc3339},
};
use axum::extract::State;
use serde::Serialize;

/// An instance with the recent changes of its phase, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = InstanceDetail)]
pub(crate) struct Detail {
    #[serde(flatten)]
    view: InstanceView,
    history: Vec<Change>,
}

/// `{"at":"2024-01-01T00:00:00.000Z","phase":"down","reason":"…"}`
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PhaseChange)]
struct Change {
    #[schema(format = DateTime)]
    at: String,
    phase: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Detail {
    fn new(target: &Target, status: Option<&InstanceStatus>) -> Self {
        let changes = status.map(|status| status.report.history.as_slice()).unwrap_or_default();
        let history = changes
            .iter()
            .map(|change| Change { at: rfc3339(change.at_ms), phase: change.phase, reason: change.reason.clone() })
            .collect();
        Self { view: InstanceView::new(target, status), history }
    }
}

/// Lists every instance of the config, in the order of the config.
#[utoipa::path(
    get, path = "/api/instances", operation_id = "listInstances", tag = "instances",
    responses((status = 200, description = "every instance", body = crate::api::openapi::Envelope<Vec<InstanceView>>))
)]
pub(crate) async fn list(State(state): State<ApiState>, _caller: Caller) -> Result<Answer<Vec<InstanceView>>> {
    Ok(Answer(state.queue.instance_views().await?))
}

/// Returns an instance.
#[utoipa::path(
    get, path = "/api/instances/{id}", operation_id = "getInstance", tag = "instances",
    params(("id" = InstanceId, Path, description = "`ip:port`, plain or percent-encoded")),
    responses((status = 200, description = "the instance", body = crate::api::openapi::Envelope<Detail>)),
    extensions(("x-errors" = json!(["not_found"])))
)]
pub(crate) async fn detail(
    State(state): State<ApiState>,
    _caller: Caller,
    PathId(id): PathId,
) -> Result<Answer<Detail>> {
    let target = target(&state.queue, &id).await?;
    Ok(Answer(read(&state.queue, &target).await?))
}

/// Enables or disables an instance. `{"enabled":false}` drains it: running prompts end, and no new one starts.
/// `{"enabled":true}` also ends its quarantine.
#[utoipa::path(
    put, path = "/api/instances/{id}", operation_id = "switchInstance", tag = "instances",
    params(("id" = InstanceId, Path, description = "`ip:port`, plain or percent-encoded")),
    request_body = crate::api::openapi::SwitchBody,
    responses((status = 200, description = "the instance", body = crate::api::openapi::Envelope<Detail>)),
    extensions(("x-errors" = json!(["not_found", "forbidden"])))
)]
pub(crate) async fn switch(
    State(state): State<ApiState>,
    _admin: Admin,
    PathId(id): PathId,
    JsonBody(body): JsonBody,
) -> Result<Answer<Detail>> {
    let members = Members::parse(strict_json::check(&body)?)?;
    members.only(&["enabled"])?;
    let enabled = members
        .get("enabled")
        .and_then(raw_value::boolean)
        .ok_or_else(|| ApiError::shape("/enabled", "not_a_boolean", "`enabled` must be true or false"))?;
    let target = target(&state.queue, &id).await?;
    state.queue.set_enabled(&target.id, enabled).await?;
    Ok(Answer(read(&state.queue, &target).await?))
}

/// Ends the quarantine of an instance: it gets tasks at once. Nothing changes if it is in none.
#[utoipa::path(
    post, path = "/api/instances/{id}/release", operation_id = "releaseInstance", tag = "instances",
    params(("id" = InstanceId, Path, description = "`ip:port`, plain or percent-encoded")),
    responses((status = 200, description = "the instance", body = crate::api::openapi::Envelope<Detail>)),
    extensions(("x-errors" = json!(["not_found", "forbidden"])))
)]
pub(crate) async fn release(
    State(state): State<ApiState>,
    _admin: Admin,
    PathId(id): PathId,
) -> Result<Answer<Detail>> {
    let target = target(&state.queue, &id).await?;
    state.queue.end_quarantine(&target.id, None).await?;
    Ok(Answer(read(&state.queue, &target).await?))
}

/// Finds an instance of the config; no other exists. Text from a client never becomes part of a key.
async fn target(queue: &Queue, id: &str) -> Result<Target> {
    let targets = queue.config().await?.targets();
    targets.into_iter().find(|target| target.id.as_str() == id).ok_or(ApiError::NotFound("such instance"))
}

async fn read(queue: &Queue, target: &Target) -> Result<Detail> {
    let statuses = queue.instances(std::slice::from_ref(&target.id)).await?;
    Ok(Detail::new(target, statuses.first().and_then(Option::as_ref)))
}

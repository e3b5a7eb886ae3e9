//! `/api/workflows`: graphs published under a name, in versions, with declared params.

use super::config::expected_version;
use crate::{
    api::{
        ApiState,
        bodies::PublicationBody,
        error::{ApiError, Result},
        http::{
            body,
            envelope::Answer,
            extract::{Admin, PathId},
            query::Query,
            strict_json,
        },
    },
    auth::Caller,
    problem::Problem,
    queue::{StoredWorkflow, WORKFLOW_LIMITS, WorkflowFound, WorkflowHead, WorkflowRow},
    settings::limits::WORKFLOW_BODY_BYTES,
    submit::{Publication, version_number},
    task::{Warning, WorkflowName, rfc3339},
};
use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

/// `{"name","version","latestVersion","versions":[…],"description"?,"params":{…},"workflow":{…},"createdAt","updatedAt","warnings"?:[…]}`
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FlowView)]
pub(crate) struct WorkflowView {
    name: WorkflowName,
    version: u64,
    latest_version: u64,
    versions: Vec<u64>,
    #[serde(flatten)]
    head: WorkflowHead,
    #[schema(value_type = Object)]
    workflow: Box<RawValue>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// Warnings for the publisher; only in the answer to a publication.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

/// A row: `{"name","version","description"?,"params","updatedAt"}`, of the newest version.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FlowRow)]
pub(crate) struct Row {
    name: WorkflowName,
    version: u64,
    #[schema(required)]
    description: Option<String>,
    #[schema(value_type = Object)]
    params: Box<RawValue>,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// `{"total":2,"items":[…]}`, by name. A page of very long params ends before `limit`: continue at an `offset` larger by the
/// number of its items.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = FlowPage)]
pub(crate) struct Page {
    total: u64,
    items: Vec<Row>,
}

/// `{"name","deleted":true,"lastVersion":3}`
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FlowDeleted)]
pub(crate) struct Deleted {
    name: WorkflowName,
    deleted: bool,
    last_version: u64,
}

/// Lists published workflows: `limit`, `offset`.
#[utoipa::path(
    get, path = "/api/workflows", operation_id = "listWorkflows", tag = "workflows",
    params(
        ("limit" = Option<u64>, Query, minimum = 1, description = "20 when not given; more than 200 is 200"),
        ("offset" = Option<u64>, Query, description = "number of entries to skip"),
    ),
    responses((status = 200, description = "one page", body = crate::api::openapi::Envelope<Page>)),
)]
pub(crate) async fn list(State(state): State<ApiState>, _caller: Caller, query: Query) -> Result<Answer<Page>> {
    query.only(&["limit", "offset"])?;
    let (total, rows) = state.queue.workflows(query.offset()?.unwrap_or(0), query.limit()?).await?;
    let row = |WorkflowRow { name, version, head, updated_ms }: WorkflowRow| Row {
        name,
        version,
        description: head.description,
        params: head.params,
        updated_at: rfc3339(updated_ms),
    };
    Ok(Answer(Page { total, items: rows.into_iter().map(row).collect() }))
}

/// Returns a version, the newest by default: `?version=3`. The `ETag` is its number.
#[utoipa::path(
    get, path = "/api/workflows/{name}", operation_id = "getWorkflow", tag = "workflows",
    params(
        ("name" = crate::task::WorkflowName, Path, description = "the name"),
        ("version" = Option<u64>, Query, description = "the newest when not given"),
    ),
    responses((status = 200, description = "the workflow", body = crate::api::openapi::Envelope<WorkflowView>,
        headers(("ETag" = String, description = "the version in quotes, for `If-Match`")))),
    extensions(("x-errors" = json!(["not_found"])))
)]
pub(crate) async fn detail(
    State(state): State<ApiState>,
    _caller: Caller,
    PathId(name): PathId,
    query: Query,
) -> Result<Response> {
    Ok(shown(find(&state, &name, &query).await?, Vec::new()))
}

/// Returns the declared params of a version as a JSON Schema.
#[utoipa::path(
    get, path = "/api/workflows/{name}/schema", operation_id = "getWorkflowSchema", tag = "workflows",
    params(
        ("name" = crate::task::WorkflowName, Path, description = "the name"),
        ("version" = Option<u64>, Query, description = "the newest when not given"),
    ),
    responses((status = 200, description = "the JSON Schema", body = crate::api::openapi::Envelope<Object>)),
    extensions(("x-errors" = json!(["not_found", "workflow_too_complex", "busy"])))
)]
pub(crate) async fn schema(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(name): PathId,
    query: Query,
) -> Result<Answer<Value>> {
    Ok(Answer(state.submitter.schema(&caller, find(&state, &name, &query).await?).await?))
}

/// Publishes a version, checked as a submit would be. A graph in the editor's format is converted and stored in the format of
/// the API. `If-Match` or `version` guard against lost updates (0 = no version yet); publishing the content of the newest
/// version again changes nothing. The files that a version names do not expire and cannot be deleted while it is kept.
#[utoipa::path(
    put, path = "/api/workflows/{name}", operation_id = "publishWorkflow", tag = "workflows",
    params(
        ("name" = crate::task::WorkflowName, Path, description = "the name"),
        ("If-Match" = Option<String>, Header, pattern = r#"^([*]|[0-9]{1,15}|"[0-9]{1,15}")$"#,
            description = "the `ETag` of the version that was read"),
    ),
    request_body = crate::api::openapi::WorkflowBody,
    responses((status = 200, description = "the workflow as it is now", body = crate::api::openapi::Envelope<WorkflowView>,
        headers(("ETag" = String, description = "the version in quotes, for `If-Match`")))),
    extensions(("x-errors" = json!([
        "forbidden", "not_found", "invalid_header", "invalid_workflow", "invalid_params", "workflow_too_complex", "version_conflict",
        "no_such_file", "too_many_workflows", "queue_memory_full", "busy"
    ])))
)]
pub(crate) async fn publish(
    State(state): State<ApiState>,
    _admin: Admin,
    PathId(name): PathId,
    request: Request,
) -> Result<Response> {
    let name: WorkflowName = name.parse().map_err(|error: crate::task::NotAName| {
        ApiError::InvalidRequest(vec![Problem::unfit("", "not_a_name", error.to_string())])
    })?;
    let headers = request.headers().clone();
    let mut taken = state.bodies.of("");
    let bytes = body::read_large_json(request, WORKFLOW_BODY_BYTES, &mut taken).await?;
    let body = PublicationBody::parse(strict_json::check_submission(&bytes)?)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let publication = Publication { host, ..body.publication(expected_version(&headers, body.version())?)? };
    let (workflow, warnings) = Box::pin(state.submitter.publish(&name, publication)).await?;
    Ok(shown(workflow, body.warning().into_iter().chain(warnings).collect()))
}

/// Deletes all versions; tasks keep the graph that they were made from. Idempotent.
#[utoipa::path(
    delete, path = "/api/workflows/{name}", operation_id = "deleteWorkflow", tag = "workflows",
    params(("name" = crate::task::WorkflowName, Path, description = "the name")),
    responses((status = 200, description = "it is gone", body = crate::api::openapi::Envelope<Deleted>)),
    extensions(("x-errors" = json!(["forbidden", "not_found"])))
)]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    _admin: Admin,
    PathId(name): PathId,
) -> Result<Answer<Deleted>> {
    let name = workflow_name(&name)?;
    let last_version =
        state.queue.delete_workflow(&name, WORKFLOW_LIMITS).await?.ok_or(ApiError::NotFound("such workflow"))?;
    Ok(Answer(Deleted { name, deleted: true, last_version }))
}

async fn find(state: &ApiState, name: &str, query: &Query) -> Result<StoredWorkflow> {
    query.only(&["version"])?;
    let version = query.one("version")?.map(|text| {
        version_number(text).ok_or_else(|| ApiError::InvalidQuery("`version` must be a whole number".to_owned()))
    });
    match state.queue.workflow(&workflow_name(name)?, version.transpose()?).await? {
        WorkflowFound::Found(workflow) => Ok(*workflow),
        WorkflowFound::NoSuchVersion(_) => Err(ApiError::NotFound("such version of the workflow")),
        WorkflowFound::NoSuchName(_) => Err(ApiError::NotFound("such workflow")),
    }
}

fn workflow_name(name: &str) -> Result<WorkflowName> {
    name.parse().map_err(|_| ApiError::NotFound("such workflow"))
}

fn shown(workflow: StoredWorkflow, warnings: Vec<Warning>) -> Response {
    let etag = HeaderValue::from_str(&format!("\"{}\"", workflow.version));
    let mut response = Answer(WorkflowView {
        name: workflow.name,
        version: workflow.version,
        latest_version: workflow.latest,
        versions: workflow.versions,
        head: workflow.head,
        workflow: workflow.graph,
        created_at: rfc3339(workflow.created_ms),
        updated_at: rfc3339(workflow.updated_ms),
        warnings,
    })
    .into_response();
    if let Ok(etag) = etag {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

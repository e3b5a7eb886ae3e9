//! `POST /api/tasks`: reads the request, has it submitted, and shows the task, the batch or the dry run.
//!
//! 200 means: written at the configured durability.

use crate::{
    api::{
        ApiState,
        bodies::{SUBMISSION_MEMBERS, parse_submission},
        error::{ApiError, Result},
        http::{body, body_room::BodyBytes, envelope::Answer, page::PageItems, query::Query, strict_json},
    },
    auth::Caller,
    metrics,
    submit::{self, Accepted, IdempotencyKey, KEY_BYTES_MAX, Origin, Submitted},
    task::{BatchId, InstanceId, Links, ResolvedView, TaskView, WarningView},
    trace::RemoteSpan,
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// `{"batchId","count","tasks":[…]}`: the tasks in their order, as `GET /api/tasks` shows them. For a repeated request,
/// those that still exist.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchView {
    batch_id: BatchId,
    count: u16,
    #[schema(value_type = Vec<TaskView>)]
    tasks: PageItems,
    /// Whether the answer was too large for all tasks: `GET /api/tasks?batchId=…` lists them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// The first task of a request as it would be enqueued; nothing was enqueued or stored.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DryRun {
    dry_run: bool,
    /// Number of tasks of a batch, of which the first is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u16>,
    /// The graph with the params in it; inputs that take a file hold `null`.
    #[schema(value_type = Object)]
    workflow: Box<RawValue>,
    nodes_total: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<ResolvedView>,
    warnings: Vec<WarningView>,
    /// Enabled instances of the config that have what the task needs, as far as is known.
    eligible_instances: Vec<InstanceId>,
    /// Eligible instances that are healthy and idle.
    free_instances: Vec<InstanceId>,
    /// Estimated time to its start; null if it cannot be estimated.
    #[schema(required)]
    eta_ms: Option<u64>,
    /// Estimated run: the mean of recent runs of the same graph, seeds, texts and file names aside, on the instances that may
    /// run it; else of all runs.
    #[schema(required)]
    run_ms: Option<u64>,
    /// Hash of the graph without seeds, texts and file names.
    workflow_hash: String,
    /// Whether the graph was checked against the catalogs of instances; false before an instance was seen.
    checked: bool,
}

impl From<submit::DryRun> for DryRun {
    fn from(shown: submit::DryRun) -> Self {
        Self {
            dry_run: true,
            count: shown.count,
            workflow: shown.workflow,
            nodes_total: shown.nodes_total,
            resolved: ResolvedView::new(&shown.seeds, &shown.mapped),
            warnings: shown.warnings.iter().map(WarningView::from).collect(),
            eligible_instances: shown.eligible_instances,
            free_instances: shown.free_instances,
            eta_ms: shown.eta_ms,
            run_ms: shown.run_ms,
            workflow_hash: shown.workflow_hash,
            checked: shown.is_checked,
        }
    }
}

/// Submits a task, or a batch of tasks.
#[utoipa::path(
    post, path = "/api/tasks", operation_id = "submitTask", tag = "tasks",
    params(
        ("dryRun" = Option<bool>, Query, description = "only show what would run: nothing is enqueued, nothing stored"),
        ("traceparent" = Option<String>, Header,
            description = "W3C trace context; where tasks are traced, the task's trace links to it. What cannot be read is ignored"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
            description = "the same key and body again gives the same task"),
    ),
    request_body = crate::api::openapi::TaskBody,
    responses((status = 200, description = "the task; with `dryRun` what it would be", body = crate::api::openapi::Envelope<crate::api::openapi::Submitted>,
        headers(("Idempotency-Replayed" = Option<String>, description = "`true`: the task was there already")))),
    extensions(("x-errors" = json!([
        "invalid_header", "workflow_unknown", "invalid_workflow", "invalid_params", "workflow_too_complex",
        "idempotency_key_reused", "no_such_file", "rate_limited", "queue_full", "queue_memory_full", "waiting_quota", "busy",
        "storage_unavailable", "storage_full", "storage_reserve", "upload_quota", "secret_key_missing"
    ])))
)]
pub(crate) async fn submit(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    request: Request,
) -> Result<Response> {
    let is_dry_run = is_dry_run(&query)?;
    let count = |error: &ApiError| count_refusal(error, is_dry_run);
    let origin = Origin::within(RemoteSpan::of(request.headers()));
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let mut taken = state.bodies.of(&caller.username);
    let (key, bytes) = receive(&state, &caller, request, &mut taken).await.inspect_err(count)?;
    let owner = caller.clone();
    let read = state.submitter.run_linear(&caller, bytes.len(), move || read(&owner, key, &bytes));
    let request = read.await?.inspect_err(count)?.with_origin(origin).at_host(host);
    if is_dry_run {
        let shown = state.submitter.dry_run(request).await?;
        let bytes = shown.workflow.get().len();
        let write = move || Answer(DryRun::from(shown)).into_response();
        return Ok(state.submitter.run_linear(&caller, bytes, write).await?);
    }
    let submitted = Box::pin(state.submitter.submit(request)).await?;
    answer(submitted, &state.links)
}

/// Reads the body of a submission.
fn read(caller: &Caller, key: Option<IdempotencyKey>, bytes: &[u8]) -> Result<submit::Request> {
    let submission = strict_json::check_submission(bytes).and_then(parse_submission)?;
    let request = submit::Request::new(caller, submission);
    Ok(match key {
        Some(key) => request.with_key(key, bytes),
        None => request,
    })
}

/// Reads `dryRun`: `true`, `false`, or nothing.
fn is_dry_run(query: &Query) -> Result<bool> {
    if let Some(name) = query.first_of(&SUBMISSION_MEMBERS) {
        let message = format!("`{name}` belongs into the body: {{\"workflow\": …, \"{name}\": …}}");
        return Err(ApiError::InvalidQuery(message));
    }
    query.only(&["dryRun"])?;
    match query.one("dryRun")? {
        None | Some("" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::InvalidQuery("`dryRun` must be true or false".to_owned())),
    }
}

/// Reads key and body, once the caller's rate limit allows it. A dry run ignores the key, but refuses an invalid one.
async fn receive(
    state: &ApiState,
    caller: &Caller,
    request: Request,
    taken: &mut BodyBytes,
) -> Result<(Option<IdempotencyKey>, Bytes)> {
    state.submitter.admit(caller)?;
    let key = idempotency_key(request.headers(), caller)?;
    let read = body::read_large_json(request, state.front.task_bytes_max, taken).await;
    let bytes = read.map_err(|error| match error {
        ApiError::TooLarge(limit) => ApiError::TaskTooLarge(limit),
        error => error,
    })?;
    Ok((key, bytes))
}

fn idempotency_key(headers: &HeaderMap, caller: &Caller) -> Result<Option<IdempotencyKey>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (value, None) = (values.next(), values.next()) else {
        return Err(ApiError::InvalidHeader("duplicate header Idempotency-Key".to_owned()));
    };
    let Some(value) = value else { return Ok(None) };
    let key = IdempotencyKey::new(&caller.username, value.as_bytes()).ok_or_else(|| {
        let message = format!("Idempotency-Key must be 1 to {KEY_BYTES_MAX} visible ASCII characters");
        ApiError::InvalidHeader(message)
    })?;
    Ok(Some(key))
}

/// Counts a request that was refused before it was submitted; the submitter counts all others.
fn count_refusal(error: &ApiError, is_dry_run: bool) {
    if !is_dry_run {
        metrics::task_submitted(if matches!(error, ApiError::RateLimited(_)) { "full" } else { "invalid" });
    }
}

fn answer(submitted: Submitted, links: &Links) -> Result<Response> {
    let mut response = match submitted.accepted {
        Accepted::Task(task) => Answer(TaskView::new(&task, links)).into_response(),
        Accepted::Batch { id, count, tasks } => {
            let items = PageItems::fill(tasks.iter().map(|task| TaskView::entry(task, links)))?;
            let truncated = items.len() < tasks.len();
            Answer(BatchView { batch_id: id, count, tasks: items, truncated }).into_response()
        }
    };
    if submitted.is_replay {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::{IDEMPOTENCY_KEY, idempotency_key};
    use crate::auth::{Caller, Role};
    use axum::http::{HeaderMap, HeaderValue};

    #[test]
    fn an_idempotency_key_is_one_visible_and_bounded_header() {
        let caller = Caller { username: "lin".to_owned(), role: Role::User, expires_at: 0 };
        let read = |keys: &[&[u8]]| {
            let keys = keys.iter().map(|key| (IDEMPOTENCY_KEY, HeaderValue::from_bytes(key).unwrap()));
            idempotency_key(&keys.collect::<HeaderMap>(), &caller)
        };
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[b"k"]).unwrap().is_some());
        for bad in [&[&b"a b"[..]][..], &[b""], &[b"\xff"], &[b"a", b"a"]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}

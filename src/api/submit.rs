//! `POST /api/tasks`: the body is parsed once, resolved, and enqueued in one round trip. 200 means: written at the configured
//! durability. `?dryRun=true` only shows what would be enqueued.

use super::{
    ApiState, arrivals,
    batch::{self, BatchView},
    draft::{Draft, DryRun},
    error::{ApiError, Flaw, Result},
    http::{body, envelope::Answer, json, query::Query},
    named, sight,
    submission::Submission,
    traces,
};
use crate::{
    auth::Caller,
    clock, metrics,
    queue::Enqueued,
    task::{NewTask, Payload, TaskFacts, TaskId, TaskView},
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_BYTES_MAX: usize = 255;

/// Accepts a task and answers with it.
#[utoipa::path(
    post, path = "/api/tasks", operation_id = "submitTask", tag = "tasks",
    params(
        ("dryRun" = Option<bool>, Query, description = "only show what would run: nothing is enqueued, nothing stored"),
        ("traceparent" = Option<String>, Header,
            description = "W3C trace context; where tasks are traced, the task's trace links to it. What cannot be read is ignored"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
            description = "the same key and body again gives the same task"),
    ),
    request_body = super::openapi::TaskBody,
    responses((status = 200, description = "the task; with `dryRun` what it would be", body = super::openapi::Envelope<super::openapi::Submitted>,
        headers(("Idempotency-Replayed" = Option<String>, description = "`true`: the task was there already")))),
    extensions(("x-errors" = json!([
        "invalid_header", "workflow_unknown", "invalid_workflow", "invalid_params", "idempotency_key_reused", "no_such_file",
        "rate_limited", "queue_full", "busy", "storage_unavailable", "storage_full"
    ])))
)]
pub(super) async fn submit(State(state): State<ApiState>, caller: Caller, query: Query, request: Request) -> Response {
    let dry_run = query.only(&["dryRun"]).and_then(|()| query.one("dryRun"));
    match dry_run.map(Option::unwrap_or_default) {
        Ok("" | "false") => {}
        Ok("true") => return Box::pin(rehearse(&state, caller, request)).await.into_response(),
        Ok(_) => return ApiError::InvalidQuery("`dryRun` must be true or false".to_owned()).into_response(),
        Err(error) => return error.into_response(),
    }
    let begun = traces::Begun::new(request.headers());
    match Box::pin(accept(&state, caller, request)).await {
        Ok(accepted) => {
            if !accepted.is_replay {
                begun.made(accepted.view.tasks());
            }
            metrics::task_submitted(if accepted.is_replay { "replayed" } else { "created" });
            accepted.into_response()
        }
        Err(error) => {
            metrics::task_submitted(result_word(&error));
            error.into_response()
        }
    }
}

/// The answer: a task, or a batch of them.
#[derive(Serialize)]
#[serde(untagged)]
enum Made {
    Task(Box<TaskView>),
    Batch(BatchView),
}

impl Made {
    fn tasks(&self) -> &[TaskView] {
        match self {
            Self::Task(task) => std::slice::from_ref(task),
            Self::Batch(batch) => batch.tasks(),
        }
    }
}

/// What was accepted, now or before.
pub(super) struct Accepted<T = TaskView> {
    pub(super) view: T,
    pub(super) is_replay: bool,
}

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        let mut response = Answer(self.view).into_response();
        if self.is_replay {
            response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// Who submits what.
pub(super) struct Order<'a> {
    pub(super) caller: Caller,
    /// The id that the `Idempotency-Key` leads to.
    pub(super) key: Option<TaskId>,
    /// Of the request. A fresh id meets no other body, and needs none.
    pub(super) fingerprint: String,
    pub(super) submission: Submission<'a>,
}

async fn accept(state: &ApiState, caller: Caller, request: Request) -> Result<Accepted<Made>> {
    state.rates.take(&caller.username)?;
    let key = idempotency_key(request.headers(), &caller)?;
    let bytes = body::read_json(request, state.front.task_bytes_max).await?;
    let submission = Submission::parse(json::check(&bytes)?)?;
    refuse_past_start(state, submission.start_by_ms, key).await?;
    let fingerprint = key.map(|_| hex(&Sha256::digest(&bytes))).unwrap_or_default();
    let order = Order { caller, key, fingerprint, submission };
    if order.submission.batch.is_some() {
        let Accepted { view, is_replay } = Box::pin(batch::accept(state, order)).await?;
        return Ok(Accepted { view: Made::Batch(view), is_replay });
    }
    let Accepted { view, is_replay } = Box::pin(accept_one(state, order)).await?;
    Ok(Accepted { view: Made::Task(Box::new(view)), is_replay })
}

async fn accept_one(state: &ApiState, order: Order<'_>) -> Result<Accepted> {
    let draft = async {
        let named = named::load(state, order.submission.workflow).await?;
        let draft = Draft::of(state, &order.submission, named.as_ref()).await?;
        sight::check(state, &order.caller, named.as_ref(), draft.file_ids()).await?;
        Ok(draft)
    };
    let mut draft = match draft.await {
        // Accepted once, accepted for ever: instances and published workflows may have changed since.
        Err(error) => return replayed(state, &order).await?.ok_or(error),
        Ok(draft) => draft,
    };
    // What a repetition names is there already: nothing is fetched twice.
    let is_repetition = !draft.remote.is_empty() && is_known(state, order.key).await?;
    let stored = Box::pin(arrivals::bring(state, &order.caller, &mut draft, is_repetition)).await?;
    let new = new_task(&order, order.key.unwrap_or_default(), draft);
    let enqueued = state.queue.enqueue(&new).await;
    match enqueued {
        Ok(Enqueued::Created(_)) => stored.keep(),
        // Another task has its own; none has these unless the reply was lost, and then they stay.
        _ => Box::pin(stored.take_back()).await,
    }
    let is_keyed = order.key.is_some();
    match enqueued? {
        // The task that it repeats has gone in this moment.
        Enqueued::NoSuchFile(_) if is_repetition => Err(ApiError::Busy),
        Enqueued::Created(task) => Ok(Accepted { view: TaskView::new(&task, &state.links), is_replay: false }),
        // Without a key only our own repetition of a lost reply comes here: to the caller it is new.
        Enqueued::Replayed(task) => Ok(Accepted { view: TaskView::new(&task, &state.links), is_replay: is_keyed }),
        Enqueued::Conflict => Err(ApiError::KeyReused),
        Enqueued::Full(wait) => Err(ApiError::QueueFull(wait)),
        Enqueued::NoSuchFile(id) => Err(ApiError::NoSuchFile(id)),
    }
}

/// The task that the same request made before.
async fn replayed(state: &ApiState, order: &Order<'_>) -> Result<Option<Accepted>> {
    let Some(id) = order.key else { return Ok(None) };
    match state.queue.was_accepted(id, &order.fingerprint).await? {
        None => Ok(None),
        Some(false) => Err(ApiError::KeyReused),
        Some(true) => {
            let task = state.queue.task(id).await?;
            Ok(task.map(|task| Accepted { view: TaskView::new(&task, &state.links), is_replay: true }))
        }
    }
}

async fn rehearse(state: &ApiState, caller: Caller, request: Request) -> Result<Answer<DryRun>> {
    state.rates.take(&caller.username)?;
    // It means nothing here, but what would be refused is refused.
    idempotency_key(request.headers(), &caller)?;
    let bytes = body::read_json(request, state.front.task_bytes_max).await?;
    let submission = Submission::parse(json::check(&bytes)?)?;
    refuse_past_start(state, submission.start_by_ms, None).await?;
    if submission.batch.is_some() {
        return Box::pin(batch::rehearse(state, &caller, &submission)).await;
    }
    let named = named::load(state, submission.workflow).await?;
    let draft = Draft::of(state, &submission, named.as_ref()).await?;
    sight::check(state, &caller, named.as_ref(), draft.file_ids()).await?;
    Box::pin(draft.show(state, submission.priority, None)).await
}

/// The task that a draft comes to.
pub(super) fn new_task(order: &Order<'_>, id: TaskId, draft: Draft) -> NewTask {
    let submission = &order.submission;
    let facts = TaskFacts {
        metadata: submission.metadata.map(ToOwned::to_owned),
        seeds: draft.seeds,
        mapped: draft.mapped,
        warnings: draft.warnings,
        timeout_ms: submission.timeout_ms,
        eligible: draft.eligible.unwrap_or_default(),
        flow: draft.flow,
        batch: None,
        needs: draft.needs,
        workflow_hash: Some(draft.workflow_hash).filter(|hash| !hash.is_empty()),
        nodes_total: draft.nodes_total,
    };
    NewTask {
        id,
        owner: order.caller.username.clone(),
        priority: submission.priority,
        fingerprint: order.fingerprint.clone(),
        max_attempts: submission.max_attempts,
        start_by_ms: submission.start_by_ms,
        payload: Payload {
            workflow: draft.workflow,
            params: draft.params,
            original: draft.original,
            files: draft.files,
        },
        facts,
    }
}

/// The id that user and `Idempotency-Key` lead to: the check for the key is the check for the task.
fn idempotency_key(headers: &HeaderMap, caller: &Caller) -> Result<Option<TaskId>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (value, None) = (values.next(), values.next()) else {
        return Err(ApiError::InvalidHeader("Idempotency-Key is there more than once".to_owned()));
    };
    let Some(key) = value.map(HeaderValue::as_bytes) else { return Ok(None) };
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) || !key.iter().all(u8::is_ascii_graphic) {
        let message = format!("Idempotency-Key must be 1 to {KEY_BYTES_MAX} visible ASCII characters");
        return Err(ApiError::InvalidHeader(message));
    }
    let mut hasher = Sha256::new();
    // The length first: no user's name can reach into the key of another.
    hasher.update((caller.username.len() as u64).to_be_bytes());
    hasher.update(&caller.username);
    hasher.update(key);
    Ok(Some(TaskId::from_digest(hasher.finalize().into())))
}

/// A time that has passed is refused, but not to somebody who repeats a request that was in time.
async fn refuse_past_start(state: &ApiState, start_by_ms: Option<u64>, key: Option<TaskId>) -> Result<()> {
    if start_by_ms.is_none_or(|start_by_ms| start_by_ms > clock::unix_ms()) {
        return Ok(());
    }
    if is_known(state, key).await? {
        return Ok(());
    }
    let flaw = Flaw::unfit("/startBy", "not_in_the_future", "`startBy` must be in the future");
    Err(ApiError::InvalidRequest(vec![flaw]))
}

/// Whether the request came before.
async fn is_known(state: &ApiState, key: Option<TaskId>) -> Result<bool> {
    match key {
        Some(id) => Ok(state.queue.task(id).await?.is_some()),
        None => Ok(false),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The label of the metric.
fn result_word(error: &ApiError) -> &'static str {
    match error {
        ApiError::KeyReused => "conflict",
        ApiError::QueueFull(_) | ApiError::RateLimited(_) => "full",
        ApiError::RedisUnavailable | ApiError::Internal => "unavailable",
        _ => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::{IDEMPOTENCY_KEY, idempotency_key};
    use crate::auth::{Caller, Role};
    use axum::http::{HeaderMap, HeaderValue};

    fn caller(username: &str) -> Caller {
        Caller { username: username.to_owned(), role: Role::Admin, expires_at: 0 }
    }

    fn headers(keys: &[&[u8]]) -> HeaderMap {
        keys.iter().map(|key| (IDEMPOTENCY_KEY, HeaderValue::from_bytes(key).unwrap())).collect()
    }

    #[test]
    fn a_key_leads_to_one_id_per_user() {
        let id = |user: &str, key: &[u8]| idempotency_key(&headers(&[key]), &caller(user)).unwrap().unwrap();
        assert_eq!(id("lin", b"k"), id("lin", b"k"));
        assert_ne!(id("lin", b"k"), id("lin", b"K"));
        assert_ne!(id("lin", b"k"), id("kim", b"k"));
        assert_ne!(id("lin", b"gk"), id("ling", b"k"));
        assert!(idempotency_key(&HeaderMap::new(), &caller("lin")).unwrap().is_none());
    }

    #[test]
    fn keys_are_visible_and_bounded() {
        let long = [b'k'; 256];
        for bad in [&b""[..], b" ", b"a b", b"a\tb", &long, "\u{e9}".as_bytes(), b"\xff"] {
            assert!(idempotency_key(&headers(&[bad]), &caller("lin")).is_err(), "{bad:?}");
        }
        assert!(idempotency_key(&headers(&[b"a", b"a"]), &caller("lin")).is_err());
        assert!(idempotency_key(&headers(&[&long[..255]]), &caller("lin")).is_ok());
    }
}

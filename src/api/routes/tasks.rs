//! `GET /api/tasks`, `GET|DELETE /api/tasks/:id`, `GET /api/tasks/:id/workflow`.

use super::waiting_reason;
use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::{envelope::Answer, extract::PathId, page::PageItems, query::Query, spans},
    },
    auth::Caller,
    clock,
    queue::{Cancelled, TaskCursor, TaskQuery, WaitFacts},
    submit::eta_ms,
    task::{BatchId, FailureKind, Status, Task, TaskId, TaskState, TaskView, WorkflowName},
    trace::Name,
};
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Instant;

/// A page of tasks, newest first: `{"total":100,"items":[…],"nextCursor":"1704067200000-<id>"|null}`. Long texts and results
/// are cut (`truncated`), and a page of very long tasks ends before `limit`: `nextCursor` continues it, and so does an
/// `offset` larger by the number of its items.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TaskPage)]
pub(crate) struct Page {
    total: u64,
    #[schema(value_type = Vec<TaskView>)]
    items: PageItems,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Lists tasks: `status` or `errorType` (several with commas), `workflow` (published) or `batchId`, `limit`, and `offset` or `cursor`.
#[utoipa::path(
    get, path = "/api/tasks", operation_id = "listTasks", tag = "tasks",
    params(
        ("status" = Option<String>, Query, description = "only these, several with commas"),
        ("errorType" = Option<String>, Query, description = "only tasks that failed so, several with commas; for admins"),
        ("workflow" = Option<crate::task::WorkflowName>, Query, description = "only of this published workflow; for admins"),
        ("batchId" = Option<crate::task::BatchId>, Query, description = "only of this batch"),
        ("limit" = Option<u64>, Query, minimum = 1, description = "20 when not given; more than 200 is 200"),
        ("offset" = Option<u64>, Query, description = "number of entries to skip; not together with `cursor`"),
        ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,19}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
            description = "`nextCursor` of an earlier page"),
    ),
    responses((status = 200, description = "one page", body = crate::api::openapi::Envelope<Page>)),
    extensions(("x-errors" = json!(["forbidden"])))
)]
pub(crate) async fn list(State(state): State<ApiState>, caller: Caller, query: Query) -> Result<Answer<Page>> {
    query.only(&["status", "errorType", "workflow", "batchId", "limit", "offset", "cursor"])?;
    let cursor = query.one("cursor")?.map(cursor_of).transpose()?;
    let offset = query.offset()?;
    if cursor.is_some() && offset.is_some() {
        return Err(ApiError::InvalidQuery("use `cursor` or `offset`, not both".to_owned()));
    }
    let statuses = query.one("status")?.map(statuses_of).transpose()?.unwrap_or_default();
    let failures = query.one("errorType")?.map(failures_of).transpose()?.unwrap_or_default();
    if !failures.is_empty() && statuses.iter().any(|status| *status != Status::Failed) {
        return Err(ApiError::InvalidQuery("`errorType` is of failed tasks: leave `status` out".to_owned()));
    }
    let workflow = query.one("workflow")?.map(workflow_name).transpose()?;
    let batch = query.one("batchId")?.map(batch_of).transpose()?;
    if usize::from(!failures.is_empty()) + usize::from(workflow.is_some()) + usize::from(batch.is_some()) > 1 {
        let message = "use one of `errorType`, `workflow` and `batchId`";
        return Err(ApiError::InvalidQuery(message.to_owned()));
    }
    // These indexes hold the tasks of all users.
    if (!failures.is_empty() || workflow.is_some()) && !caller.may_manage() {
        return Err(ApiError::Forbidden);
    }
    let asked = TaskQuery {
        owner: caller.only_owner().map(ToOwned::to_owned),
        statuses,
        failures,
        workflow,
        offset: offset.unwrap_or(0),
        limit: query.limit()?,
        cursor,
    };
    let page = match batch {
        Some(batch) => state.queue.batch_tasks(batch, &asked).await?,
        None => state.queue.list(&asked).await?,
    };
    let items = PageItems::fill(page.items.iter().map(|task| TaskView::entry(task, &state.links)))?;
    let next = if items.len() < page.items.len() {
        let last = &page.items[items.len() - 1];
        Some(TaskCursor { created_ms: last.created_ms, id: last.id })
    } else {
        page.next_cursor
    };
    Ok(Answer(Page { total: page.total, items, next_cursor: next.map(|cursor| cursor.to_string()) }))
}

/// Returns a task; `?include=workflow` adds the graph.
#[utoipa::path(
    get, path = "/api/tasks/{id}", operation_id = "getTask", tag = "tasks",
    params(
        ("id" = TaskId, Path, description = "the task"),
        ("include" = inline(Option<crate::api::openapi::Include>), Query, description = "adds the graph"),
    ),
    responses((status = 200, description = "the task", body = crate::api::openapi::Envelope<TaskView>)),
    extensions(("x-errors" = json!(["not_found"])))
)]
pub(crate) async fn detail(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId,
    query: Query,
) -> Result<Answer<TaskView>> {
    query.only(&["include"])?;
    let with_workflow = match query.one("include")? {
        None => false,
        Some("workflow") => true,
        Some(_) => return Err(ApiError::InvalidQuery("`include` can only be workflow".to_owned())),
    };
    let id = task_id(&id)?;
    let (task, payload) = tokio::try_join!(state.queue.task(id), state.queue.payload(id))?;
    let task = task.filter(|task| caller.may_read(&task.owner)).ok_or(ApiError::NotFound("such task"))?;
    let mut view = TaskView::new(&task, &state.links);
    if let Some(payload) = payload {
        view.params = Some(payload.params);
        view.workflow = with_workflow.then_some(payload.workflow);
    }
    match task.state.status() {
        Status::Pending => Box::pin(explain_waiting(&state, &task, &mut view)).await?,
        Status::Running => Box::pin(explain_absence(&state, &task, &mut view)).await?,
        Status::Completed | Status::Failed | Status::Cancelled => {}
    }
    Ok(Answer(view))
}

/// Returns the graph of a task: `?form=resolved` (the default, with the params in it) or `original` (as submitted).
#[utoipa::path(
    get, path = "/api/tasks/{id}/workflow", operation_id = "getTaskWorkflow", tag = "tasks",
    params(
        ("id" = TaskId, Path, description = "the task"),
        ("form" = inline(Option<crate::api::openapi::Form>), Query, description = "`resolved` when not given"),
    ),
    responses((status = 200, description = "the graph", body = crate::api::openapi::Envelope<Object>)),
    extensions(("x-errors" = json!(["not_found"])))
)]
pub(crate) async fn workflow(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId,
    query: Query,
) -> Result<Answer<Box<RawValue>>> {
    query.only(&["form"])?;
    let is_original = match query.one("form")? {
        None | Some("resolved") => false,
        Some("original") => true,
        Some(_) => return Err(ApiError::InvalidQuery("`form` must be original or resolved".to_owned())),
    };
    let id = task_id(&id)?;
    let (task, payload) = tokio::try_join!(state.queue.task(id), state.queue.payload(id))?;
    let seen = task.is_some_and(|task| caller.may_read(&task.owner));
    let payload = payload.filter(|_| seen).ok_or(ApiError::NotFound("such task"))?;
    Ok(Answer(payload.original.filter(|_| is_original).unwrap_or(payload.workflow)))
}

/// Cancels a task; final at once. An ended task does not change: 409.
#[utoipa::path(
    delete, path = "/api/tasks/{id}", operation_id = "cancelTask", tag = "tasks",
    params(("id" = TaskId, Path, description = "the task")),
    responses((status = 200, description = "the task", body = crate::api::openapi::Envelope<TaskView>)),
    extensions(("x-errors" = json!(["not_found", "task_ended"])))
)]
pub(crate) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Answer<TaskView>> {
    let begun = Instant::now();
    let id = own_task_id(&state, &caller, &id).await?;
    match state.queue.cancel(id).await? {
        Cancelled::Cancelled(task) => {
            spans::record(id, Name::Cancel, begun);
            Ok(Answer(TaskView::new(&task, &state.links)))
        }
        Cancelled::AlreadyEnded(task) => Err(ApiError::TaskEnded(task.state.status())),
        Cancelled::NotFound => Err(ApiError::NotFound("such task")),
    }
}

async fn explain_waiting(state: &ApiState, task: &Task, view: &mut TaskView) -> Result<()> {
    let (wait_facts, instances) = tokio::try_join!(state.queue.wait_facts(task), state.queue.instance_views())?;
    let room = state.store.disk_room().await;
    view.queue_position = wait_facts.position;
    if task.state == TaskState::Waiting {
        view.eta_ms = eta_ms(&wait_facts, &task.facts.eligible, &instances);
    }
    view.waiting_for = waiting_reason::words(task, &wait_facts, &instances, (room, clock::unix_ms()));
    Ok(())
}

/// Says if the instance of a running task does not answer.
async fn explain_absence(state: &ApiState, task: &Task, view: &mut TaskView) -> Result<()> {
    let Some(instance) = &task.instance else { return Ok(()) };
    let Some(one) = state.queue.instances(std::slice::from_ref(instance)).await?.pop().flatten() else { return Ok(()) };
    if one.report.absence.is_some() {
        let instances = state.queue.instance_views().await?;
        let now = (None, clock::unix_ms());
        view.waiting_for = waiting_reason::words(task, &WaitFacts::default(), &instances, now);
    }
    Ok(())
}

/// Returns the id of a task that the caller may change. Another user's task is reported as not found.
pub(crate) async fn own_task_id(state: &ApiState, caller: &Caller, id: &str) -> Result<TaskId> {
    let id = task_id(id)?;
    if !caller.may_manage() {
        let task = state.queue.task(id).await?;
        task.filter(|task| caller.may_read(&task.owner)).ok_or(ApiError::NotFound("such task"))?;
    }
    Ok(id)
}

pub(crate) fn task_id(text: &str) -> Result<TaskId> {
    text.parse().map_err(|_| ApiError::NotFound("such task"))
}

fn statuses_of(text: &str) -> Result<Vec<Status>> {
    text.split(',')
        .map(|word| Status::ALL.into_iter().find(|status| status.as_str() == word))
        .collect::<Option<Vec<Status>>>()
        .map(|mut statuses| {
            statuses.sort_unstable();
            statuses.dedup();
            statuses
        })
        .ok_or_else(|| {
            let known = Status::ALL.map(Status::as_str).join(", ");
            ApiError::InvalidQuery(format!("`status` must be of {known}, several with commas between"))
        })
}

fn workflow_name(text: &str) -> Result<WorkflowName> {
    text.parse().map_err(|_| ApiError::InvalidQuery("`workflow` must be the name of a published workflow".to_owned()))
}

fn batch_of(text: &str) -> Result<BatchId> {
    text.parse().map_err(|_| ApiError::InvalidQuery("`batchId` must be the `batchId` of a batch".to_owned()))
}

fn failures_of(text: &str) -> Result<Vec<FailureKind>> {
    let kind = |word| FailureKind::ALL.into_iter().find(|kind| kind.as_str() == word);
    text.split(',').map(kind).collect::<Option<_>>().ok_or_else(|| {
        let known = FailureKind::ALL.map(FailureKind::as_str).join(", ");
        ApiError::InvalidQuery(format!("`errorType` must be of {known}, several with commas between"))
    })
}

fn cursor_of(text: &str) -> Result<TaskCursor> {
    let parse = || {
        let (created_ms, id) = text.split_once('-')?;
        let is_plain = created_ms.bytes().all(|byte| byte.is_ascii_digit());
        Some(TaskCursor { created_ms: created_ms.parse().ok().filter(|_| is_plain)?, id: id.parse().ok()? })
    };
    parse().ok_or_else(|| ApiError::InvalidQuery("`cursor` must be the `nextCursor` of an earlier page".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Status, TaskId, cursor_of, statuses_of};

    #[test]
    fn statuses_are_words_with_commas() {
        assert_eq!(statuses_of("pending").unwrap(), [Status::Pending]);
        assert_eq!(statuses_of("failed,pending,failed").unwrap(), [Status::Pending, Status::Failed]);
        for bad in ["", "PENDING", "pending,", ",", "done", "pending failed", "pending\0"] {
            assert!(statuses_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cursor_is_what_a_page_gave() {
        let id = TaskId::new();
        let cursor = cursor_of(&format!("1704067200000-{id}")).unwrap();
        assert_eq!((cursor.created_ms, cursor.id), (1_704_067_200_000, id));
        for bad in ["", "-", "1-", &format!("-{id}"), &format!("+1-{id}"), &format!("x-{id}"), "1-abc", &id.to_string()]
        {
            assert!(cursor_of(bad).is_err(), "{bad}");
        }
    }
}

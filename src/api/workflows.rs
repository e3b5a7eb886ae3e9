//! `/api/workflows`: graphs published under a name, in versions, with declared parameters.

use super::{
    ApiState,
    answer::Answer,
    body,
    config::expected_version,
    draft::{GRAPH_LIMITS, refused},
    error::{ApiError, Flaw, Result},
    extract::{Admin, PathId},
    json::{self, Members},
    named::{self, number},
    query::Query,
};
use crate::{
    auth::Caller,
    graph::{self, Declared, Workflow},
    queue::{FLOW_LIMITS, Flow, FlowFound, FlowHead, FlowRow, FlowWritten},
    settings::limits::WORKFLOW_BODY_BYTES,
    task::{FlowName, rfc3339},
};
use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

const KNOWN: [&str; 4] = ["workflow", "description", "params", "version"];
/// Longest description, characters.
const DESCRIPTION_CHARS_MAX: usize = 1_000;

/// `{"name","version","latestVersion","versions":[…],"description"?,"params":{…},"workflow":{…},"createdAt","updatedAt"}`
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FlowView {
    name: FlowName,
    version: u64,
    latest_version: u64,
    versions: Vec<u64>,
    #[serde(flatten)]
    head: FlowHead,
    #[schema(value_type = Object)]
    workflow: Box<RawValue>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A row: `{"name","version","description"?,"params","updatedAt"}`, of the newest version.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FlowRow)]
pub(super) struct Row {
    name: FlowName,
    version: u64,
    #[schema(required)]
    description: Option<String>,
    #[schema(value_type = Object)]
    params: Box<RawValue>,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// `{"total":2,"items":[…]}`, by name.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = FlowPage)]
pub(super) struct Page {
    total: u64,
    items: Vec<Row>,
}

/// `{"name","deleted":true,"lastVersion":3}`
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FlowDeleted)]
pub(super) struct Deleted {
    name: FlowName,
    deleted: bool,
    last_version: u64,
}

/// One page of what is published: `limit`, `offset`.
#[utoipa::path(
    get, path = "/api/workflows", operation_id = "listWorkflows", tag = "workflows",
    params(
        ("limit" = Option<u64>, Query, minimum = 1, description = "20 when not given; more than 200 is 200"),
        ("offset" = Option<u64>, Query, description = "so many are left out"),
    ),
    responses((status = 200, description = "one page", body = super::openapi::Envelope<Page>)),
    extensions(("x-errors" = json!(["invalid_query"])))
)]
pub(super) async fn list(State(state): State<ApiState>, _caller: Caller, query: Query) -> Result<Answer<Page>> {
    query.only(&["limit", "offset"])?;
    let (total, rows) = state.queue.flows(query.offset()?.unwrap_or(0), query.limit()?).await?;
    let row = |FlowRow { name, version, head, updated_ms }: FlowRow| Row {
        name,
        version,
        description: head.description,
        params: head.params,
        updated_at: rfc3339(updated_ms),
    };
    Ok(Answer(Page { total, items: rows.into_iter().map(row).collect() }))
}

/// One version, the newest when not asked: `?version=3`. Its number also as `ETag`.
#[utoipa::path(
    get, path = "/api/workflows/{name}", operation_id = "getWorkflow", tag = "workflows",
    params(
        ("name" = crate::task::FlowName, Path, description = "the name"),
        ("version" = Option<u64>, Query, description = "the newest when not given"),
    ),
    responses((status = 200, description = "the workflow", body = super::openapi::Envelope<FlowView>,
        headers(("ETag" = String, description = "the version in quotes, for `If-Match`")))),
    extensions(("x-errors" = json!(["invalid_query", "not_found"])))
)]
pub(super) async fn detail(
    State(state): State<ApiState>,
    _caller: Caller,
    PathId(name): PathId,
    query: Query,
) -> Result<Response> {
    Ok(shown(find(&state, &name, &query).await?))
}

/// The declared parameters of a version as a JSON Schema.
#[utoipa::path(
    get, path = "/api/workflows/{name}/schema", operation_id = "getWorkflowSchema", tag = "workflows",
    params(
        ("name" = crate::task::FlowName, Path, description = "the name"),
        ("version" = Option<u64>, Query, description = "the newest when not given"),
    ),
    responses((status = 200, description = "the JSON Schema", body = super::openapi::Envelope<Object>)),
    extensions(("x-errors" = json!(["invalid_query", "not_found"])))
)]
pub(super) async fn schema(
    State(state): State<ApiState>,
    _caller: Caller,
    PathId(name): PathId,
    query: Query,
) -> Result<Answer<Value>> {
    let named = named::named(find(&state, &name, &query).await?)?;
    let workflow = Workflow::parse(&named.flow.graph, GRAPH_LIMITS).map_err(ApiError::InvalidWorkflow)?;
    let (title, description) = (format!("{}@{}", named.flow.name, named.flow.version), named.flow.head.description);
    let known = state.knowledge.now().await;
    Ok(Answer(graph::schema(&title, description.as_deref(), &workflow, &named.declared, &known.pool)))
}

/// Publishes a version. `If-Match` or `version` guard against lost updates (0 = there is none yet); the content of the newest
/// again changes nothing.
#[utoipa::path(
    put, path = "/api/workflows/{name}", operation_id = "publishWorkflow", tag = "workflows",
    params(
        ("name" = crate::task::FlowName, Path, description = "the name"),
        ("If-Match" = Option<String>, Header, pattern = r#"^([*]|[0-9]{1,15}|"[0-9]{1,15}")$"#,
            description = "the `ETag` of the version that was read"),
    ),
    request_body = super::openapi::FlowBody,
    responses((status = 200, description = "the workflow as it is now", body = super::openapi::Envelope<FlowView>,
        headers(("ETag" = String, description = "the version in quotes, for `If-Match`")))),
    extensions(("x-errors" = json!([
        "forbidden", "not_found", "invalid_header", "invalid_workflow", "invalid_params", "version_conflict", "no_such_file",
        "too_many_workflows"
    ])))
)]
pub(super) async fn publish(
    State(state): State<ApiState>,
    _admin: Admin,
    PathId(name): PathId,
    request: Request,
) -> Result<Response> {
    let name: FlowName = name.parse().map_err(|error: crate::task::NotAName| {
        ApiError::InvalidRequest(vec![Flaw::unfit("", "not_a_name", &error.to_string())])
    })?;
    let headers = request.headers().clone();
    let bytes = body::read_json(request, WORKFLOW_BODY_BYTES).await?;
    let members = Members::parse(json::check(&bytes)?)?;
    members.only(&KNOWN)?;
    let named = members.get("version").and_then(json::integer).and_then(|version| u64::try_from(version).ok());
    let expected = expected_version(&headers, named)?;
    let (graph, head) = content(&members)?;
    check(&state, &graph, &head).await?;
    match state.queue.put_flow(&name, &head, &graph, expected, FLOW_LIMITS).await? {
        FlowWritten::Written(version) | FlowWritten::Same(version) => {
            match state.queue.flow(&name, Some(version)).await? {
                FlowFound::Flow(flow) => Ok(shown(*flow)),
                // Deleted by somebody else meanwhile.
                FlowFound::NoSuchName(_) | FlowFound::NoSuchVersion(_) => Err(ApiError::NotFound("such workflow")),
            }
        }
        FlowWritten::Outdated(version) => Err(ApiError::VersionConflict(version)),
        FlowWritten::Full => Err(ApiError::WorkflowsFull(FLOW_LIMITS.workflows_max)),
    }
}

/// Takes all versions away; tasks keep what they were made from. Said again it changes nothing.
#[utoipa::path(
    delete, path = "/api/workflows/{name}", operation_id = "deleteWorkflow", tag = "workflows",
    params(("name" = crate::task::FlowName, Path, description = "the name")),
    responses((status = 200, description = "it is gone", body = super::openapi::Envelope<Deleted>)),
    extensions(("x-errors" = json!(["forbidden", "not_found"])))
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    _admin: Admin,
    PathId(name): PathId,
) -> Result<Answer<Deleted>> {
    let name = flow_name(&name)?;
    let last_version = state.queue.delete_flow(&name, FLOW_LIMITS).await?.ok_or(ApiError::NotFound("such workflow"))?;
    Ok(Answer(Deleted { name, deleted: true, last_version }))
}

async fn find(state: &ApiState, name: &str, query: &Query) -> Result<Flow> {
    query.only(&["version"])?;
    let version = query
        .one("version")?
        .map(|text| number(text).ok_or_else(|| ApiError::InvalidQuery("`version` must be a whole number".to_owned())));
    match state.queue.flow(&flow_name(name)?, version.transpose()?).await? {
        FlowFound::Flow(flow) => Ok(*flow),
        FlowFound::NoSuchVersion(_) => Err(ApiError::NotFound("such version of the workflow")),
        FlowFound::NoSuchName(_) => Err(ApiError::NotFound("such workflow")),
    }
}

fn flow_name(name: &str) -> Result<FlowName> {
    name.parse().map_err(|_| ApiError::NotFound("such workflow"))
}

/// Graph and head of a body, every flaw of shape at once.
fn content(members: &Members<'_>) -> Result<(Box<RawValue>, FlowHead)> {
    let mut flaws = Vec::new();
    let object = |name: &'static str, flaws: &mut Vec<Flaw>| {
        let value = members.get(name);
        if value.is_some_and(|value| !json::is_object(value)) {
            flaws.push(Flaw::shape(&format!("/{name}"), "not_an_object", &format!("`{name}` must be an object")));
        }
        value
    };
    let (workflow, params) = (object("workflow", &mut flaws), object("params", &mut flaws));
    if workflow.is_none() {
        let message = "what is published is a `workflow`: ComfyUI's \"Export (API)\"";
        flaws.push(Flaw::shape("/workflow", "missing", message));
    }
    let description = members.get("description").map(json::text);
    if description
        .as_ref()
        .is_some_and(|text| text.as_ref().is_none_or(|text| text.chars().count() > DESCRIPTION_CHARS_MAX))
    {
        let message = format!("`description` must be a text of at most {DESCRIPTION_CHARS_MAX} characters");
        flaws.push(Flaw::shape("/description", "not_a_text", &message));
    }
    if members.get("version").is_some_and(|version| json::integer(version).is_none_or(|it| u64::try_from(it).is_err()))
    {
        flaws.push(Flaw::shape("/version", "not_an_integer", "`version` must be a whole number, not negative"));
    }
    let (Some(workflow), true) = (workflow, flaws.is_empty()) else { return Err(ApiError::InvalidRequest(flaws)) };
    let params = params.map_or_else(|| "{}".to_owned(), |params| compact(params.get()));
    let raw = |text: String| RawValue::from_string(text).map_err(|_| ApiError::Internal);
    Ok((raw(compact(workflow.get()))?, FlowHead { description: description.flatten(), params: raw(params)? }))
}

/// As a submit is checked, and every declaration with it.
async fn check(state: &ApiState, graph: &RawValue, head: &FlowHead) -> Result<()> {
    let (workflow, declared) = (Workflow::parse(graph, GRAPH_LIMITS), Declared::read(&head.params));
    let (workflow, declared) = match (workflow, declared) {
        (Ok(workflow), Ok(declared)) => (workflow, declared),
        (workflow, declared) => {
            let problems = workflow.err().into_iter().chain(declared.err()).flatten();
            return Err(refused(problems.collect()));
        }
    };
    let known = state.knowledge.now().await;
    let files = graph::publish(&workflow, &declared, &known.pool).map_err(refused)?;
    for input in files {
        if state.queue.file(input.file_id).await?.is_none() {
            return Err(ApiError::NoSuchFile(input.file_id));
        }
    }
    Ok(())
}

fn shown(flow: Flow) -> Response {
    let etag = HeaderValue::from_str(&format!("\"{}\"", flow.version));
    let mut response = Answer(FlowView {
        name: flow.name,
        version: flow.version,
        latest_version: flow.latest,
        versions: flow.versions,
        head: flow.head,
        workflow: flow.graph,
        created_at: rfc3339(flow.created_ms),
        updated_at: rfc3339(flow.updated_ms),
    })
    .into_response();
    if let Ok(etag) = etag {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// Without the space between its parts: the same content is the same text, however it was laid out.
fn compact(json: &str) -> String {
    let (mut text, mut is_string, mut is_escaped) = (String::with_capacity(json.len()), false, false);
    for letter in json.chars() {
        if is_string || !letter.is_ascii_whitespace() {
            text.push(letter);
        }
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_string => is_escaped = true,
            '"' => is_string = !is_string,
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::compact;

    #[test]
    fn only_space_between_the_parts_goes() {
        let laid_out = "{ \"a b\" :\n [1.10,\t\"x \\\" y \\\\\" , 1e-7 ] }";
        assert_eq!(compact(laid_out), "{\"a b\":[1.10,\"x \\\" y \\\\\",1e-7]}");
    }
}

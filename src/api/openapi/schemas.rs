//! Shapes that the program reads member by member or writes by hand, said once more for the document. Tests send every example
//! and every bound of them.

#![allow(dead_code, reason = "they are only described, never made")]

use crate::{
    api::routes::submit::{BatchView, DryRun},
    fleet::Scheme,
    task::{Priority, TaskView},
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Who wants a token.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct LoginBody {
    username: String,
    #[schema(format = Password)]
    password: String,
}

/// Whether the instance may take tasks.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct SwitchBody {
    /// `false` drains: what runs ends, nothing new starts.
    enabled: bool,
}

/// What is to run.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::api) struct TaskBody {
    workflow: WorkflowOrName,
    /// So many tasks of each combination; they are a batch.
    #[schema(minimum = 1, maximum = 1_000)]
    count: Option<u16>,
    /// Lists of values, `{"3.seed":[1,2,3]}`: every combination is a task of a batch.
    #[schema(value_type = Option<BTreeMap<String, Vec<Value>>>)]
    sweep: Option<Value>,
    /// Values for its inputs: `{"6.text":"a cat","seed":7}`, or a list of `{nodeId, fieldName, fieldValue}`.
    params: Option<TaskParams>,
    /// Nothing in `params` may go unused, no placeholder may stay without value.
    strict: Option<bool>,
    /// `all`: every seed that no param sets is drawn.
    randomize_seeds: Option<RandomizeSeeds>,
    /// Well-known names (`prompt`, `width`, …) are looked for in the graph.
    auto_map: Option<bool>,
    /// `normal` when not given.
    priority: Option<Priority>,
    /// Longest run, ms.
    #[schema(minimum = 1, maximum = 2_592_000_000_u64)]
    timeout_ms: Option<u64>,
    /// Must have begun by then, in the future.
    #[schema(format = DateTime)]
    start_by: Option<String>,
    /// How often it may be tried; 3 when not given.
    #[schema(minimum = 1, maximum = 10)]
    max_attempts: Option<u32>,
    /// Yours, at most 4,096 bytes of JSON; comes back with the task.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

/// What runs.
#[derive(ToSchema)]
#[serde(untagged)]
enum WorkflowOrName {
    /// ComfyUI's "Export (API)": `{node_id: {class_type, inputs}}`.
    #[schema(value_type = Object)]
    Graph(Value),
    /// A published one: `name`, or `name@3`.
    Name(String),
}

/// What is published.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = FlowBody)]
pub(in crate::api) struct WorkflowBody {
    /// ComfyUI's "Export (API)": `{node_id: {class_type, inputs}}`; or what its editor saves, which is converted.
    /// `$file`, `$url` and links may stand in it, the other `$…` forms in `params` of a task only.
    #[schema(value_type = Object)]
    workflow: Value,
    #[schema(max_length = 1_000)]
    description: Option<String>,
    /// The parameters that it declares, by name.
    #[schema(value_type = Option<Object>)]
    params: Option<Value>,
    /// The newest version that was read, 0 = there is none: 409 if it is another one now.
    version: Option<u64>,
}

#[derive(ToSchema)]
#[serde(untagged)]
enum TaskParams {
    /// By address or name.
    #[schema(value_type = Object)]
    Named(BTreeMap<String, Value>),
    /// As `nodeInfoList`.
    Listed(Vec<ListedParam>),
}

/// One value for one input.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct ListedParam {
    node_id: NodeId,
    field_name: String,
    field_value: Value,
}

/// As a text or a number.
#[derive(ToSchema)]
#[serde(untagged)]
enum NodeId {
    Text(String),
    Number(u64),
}

#[derive(ToSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum RandomizeSeeds {
    None,
    All,
}

/// The task, or what it would be.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::api) enum Submitted {
    /// It is accepted.
    Task(Box<TaskView>),
    /// `count` or `sweep`: all of them are.
    Batch(Box<BatchView>),
    /// `dryRun=true`.
    DryRun(Box<DryRun>),
}

#[derive(ToSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Include {
    Workflow,
}

#[derive(ToSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Form {
    Resolved,
    Original,
}

/// A form with one file.
#[derive(ToSchema)]
pub(in crate::api) struct UploadForm {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// What is named replaces, the rest stays.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::api) struct ConfigBody {
    /// All of them: one that is left out is drained and gone.
    #[schema(max_items = 1_000)]
    servers: Option<Vec<ServerBody>>,
    health_check: Option<HealthCheckBody>,
    /// The version that was read: 409 if it is another one now.
    version: Option<u64>,
}

/// One machine. Members that are left out stay as they are at a server that is known by its `id`.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServerBody {
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    id: String,
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// IP address or host name; IPv6 without brackets.
    ip: String,
    /// One instance each.
    #[schema(value_type = Vec<u16>, min_items = 1, max_items = 2_000)]
    ports: Vec<u16>,
    enabled: Option<bool>,
    scheme: Option<Scheme>,
    /// Empty, or `/comfy`.
    base_path: Option<String>,
    /// Sent with every request; `***` keeps the value that is stored.
    headers: Option<BTreeMap<String, String>>,
}

/// How instances are checked.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HealthCheckBody {
    /// Between two checks, ms.
    #[schema(minimum = 200, maximum = 3_600_000)]
    interval: Option<u64>,
    /// Of one check, ms.
    #[schema(minimum = 100, maximum = 120_000)]
    timeout: Option<u64>,
    /// Misses in a row before an instance is down.
    #[schema(minimum = 1, maximum = 100)]
    failures_to_down: Option<u32>,
}

/// What the fleet can run.
#[derive(ToSchema)]
pub(in crate::api) struct Nodes {
    /// By class.
    classes: BTreeMap<String, NodeClass>,
    /// Classes that were asked for and that nobody is known to have.
    unknown: Option<Vec<String>>,
}

/// A class, with what any instance offers.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct NodeClass {
    title: String,
    category: String,
    output_node: bool,
    inputs: Vec<NodeInput>,
    outputs: Vec<NodeOutput>,
    instances: Vec<crate::task::InstanceId>,
}

/// One input; whatever else its class says of it (`default`, `step`, `tooltip`, …) is here, too.
#[derive(ToSchema)]
struct NodeInput {
    name: String,
    r#type: String,
    required: bool,
    /// Takes a link only.
    link: Option<bool>,
    /// Takes a file.
    upload: Option<bool>,
    /// May be drawn.
    seed: Option<bool>,
    min: Option<f64>,
    max: Option<f64>,
    /// Choices of all instances.
    options: Option<Vec<Value>>,
}

#[derive(ToSchema)]
struct NodeOutput {
    name: String,
    r#type: String,
}

/// Redis answers.
#[derive(ToSchema)]
pub(in crate::api) struct Health {
    #[schema(pattern = "^ok$")]
    status: String,
    #[schema(pattern = "^connected$")]
    redis: String,
}

/// A failure that has `data`, too.
#[derive(ToSchema)]
pub(in crate::api) struct Unhealthy {
    #[schema(minimum = 503, maximum = 503)]
    code: u16,
    message: String,
    data: Option<Degraded>,
    error: super::errors::Fault,
}

#[derive(ToSchema)]
struct Degraded {
    #[schema(pattern = "^degraded$")]
    status: String,
    #[schema(pattern = "^disconnected$")]
    redis: String,
}

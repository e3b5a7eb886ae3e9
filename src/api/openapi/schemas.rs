//! Schemas of what the program reads member by member or writes by hand. Tests send every example
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

/// Credentials.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct LoginBody {
    username: String,
    #[schema(format = Password)]
    password: String,
}

/// State to set on an instance.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct SwitchBody {
    /// `false` drains the instance: running prompts end, and no new one starts.
    enabled: bool,
}

/// A workflow to run, and how.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::api) struct TaskBody {
    workflow: WorkflowOrName,
    /// Number of tasks for each combination. They are a batch.
    #[schema(minimum = 1, maximum = 1_000)]
    count: Option<u16>,
    /// Lists of values, `{"3.seed":[1,2,3]}`: every combination is a task of a batch.
    #[schema(value_type = Option<BTreeMap<String, Vec<Value>>>)]
    sweep: Option<Value>,
    /// Values for its inputs: `{"6.text":"a cat","seed":7}`, or a list of `{nodeId, fieldName, fieldValue}`.
    params: Option<TaskParams>,
    /// Whether unused params, and placeholders without a value, are errors.
    strict: Option<bool>,
    /// `all` draws every seed that no param sets.
    randomize_seeds: Option<RandomizeSeeds>,
    /// Whether well-known names (`prompt`, `width`, …) are mapped to inputs of the graph.
    auto_map: Option<bool>,
    /// Lane of the task; `normal` by default.
    priority: Option<Priority>,
    /// Time limit of a run, ms.
    #[schema(minimum = 1, maximum = 2_592_000_000_u64)]
    timeout_ms: Option<u64>,
    /// Time by which the task must have started; in the future.
    #[schema(format = DateTime)]
    start_by: Option<String>,
    /// Number of attempts; 3 by default.
    #[schema(minimum = 1, maximum = 10)]
    max_attempts: Option<u32>,
    /// Your own object, at most 4,096 bytes of JSON; returned with the task.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// Data that the instance gets beside the graph.
    extra_data: Option<ExtraDataBody>,
}

/// Data that an instance gets beside the graph.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct ExtraDataBody {
    /// Key of the account that API nodes (Kling, Gemini, …) use. It is encrypted where it is stored, deleted when the task
    /// ends, and never shown.
    #[schema(min_length = 1, max_length = 8_192)]
    api_key_comfy_org: Option<String>,
    /// Token of a login at comfy.org, in the place of a key.
    #[schema(min_length = 1, max_length = 8_192)]
    auth_token_comfy_org: Option<String>,
    /// Your own metadata of the results, at most 1 MiB of JSON. `workflow` is the submitted graph if that is in the editor's
    /// format.
    #[schema(value_type = Option<Object>)]
    extra_pnginfo: Option<Value>,
}

/// The workflow.
#[derive(ToSchema)]
#[serde(untagged)]
enum WorkflowOrName {
    /// ComfyUI's "Export (API)": `{node_id: {class_type, inputs}}`.
    #[schema(value_type = Object)]
    Graph(Value),
    /// A published workflow: `name`, or `name@3`.
    Name(String),
}

/// A workflow to publish.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = FlowBody)]
pub(in crate::api) struct WorkflowBody {
    /// ComfyUI's "Export (API)": `{node_id: {class_type, inputs}}`; or a file saved by its editor, which is converted.
    /// It may contain `$file`, `$url` and links; other `$…` forms are allowed in `params` of a task only.
    #[schema(value_type = Object)]
    workflow: Value,
    #[schema(max_length = 1_000)]
    description: Option<String>,
    /// Declared params by name.
    #[schema(value_type = Option<Object>)]
    params: Option<Value>,
    /// The newest version that was read, 0 = none; 409 if it is another one now.
    version: Option<u64>,
}

#[derive(ToSchema)]
#[serde(untagged)]
enum TaskParams {
    /// Values by address or name.
    #[schema(value_type = Object)]
    Named(BTreeMap<String, Value>),
    /// Values as a `nodeInfoList`.
    Listed(Vec<ListedParam>),
}

/// A value for an input.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct ListedParam {
    node_id: NodeId,
    field_name: String,
    field_value: Value,
}

/// Node id, as a text or a number.
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

/// The accepted task or batch, or a dry run.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::api) enum Submitted {
    /// An accepted task.
    Task(Box<TaskView>),
    /// An accepted batch (`count` or `sweep`).
    Batch(Box<BatchView>),
    /// A dry run (`dryRun=true`).
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

/// Members to replace; others stay as they are.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::api) struct ConfigBody {
    /// All servers. A server that is left out is drained and removed.
    #[schema(max_items = 1_000)]
    servers: Option<Vec<ServerBody>>,
    health_check: Option<HealthCheckBody>,
    /// The version that was read; 409 if it is another one now.
    version: Option<u64>,
}

/// A machine. For a known `id`, members that are left out stay as they are.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServerBody {
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    id: String,
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// IP address or host name; IPv6 without brackets.
    ip: String,
    /// Ports, one for each instance.
    #[schema(value_type = Vec<u16>, min_items = 1, max_items = 2_000)]
    ports: Vec<u16>,
    enabled: Option<bool>,
    scheme: Option<Scheme>,
    /// Path prefix: empty, or such as `/comfy`.
    base_path: Option<String>,
    /// Headers sent with every request; `***` keeps the stored value.
    headers: Option<BTreeMap<String, String>>,
    /// Keys for API nodes (`api_key_comfy_org`, `auth_token_comfy_org`) of tasks without one; `***` keeps the stored one.
    extra_data: Option<BTreeMap<String, String>>,
}

/// Health checks of instances.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HealthCheckBody {
    /// Time between two checks, ms.
    #[schema(minimum = 200, maximum = 3_600_000)]
    interval: Option<u64>,
    /// Timeout of a check, ms.
    #[schema(minimum = 100, maximum = 120_000)]
    timeout: Option<u64>,
    /// Consecutive failures before an instance is down.
    #[schema(minimum = 1, maximum = 100)]
    failures_to_down: Option<u32>,
}

/// Node classes of the fleet.
#[derive(ToSchema)]
pub(in crate::api) struct Nodes {
    /// Classes by name.
    classes: BTreeMap<String, NodeClass>,
    /// Requested classes that no instance is known to have.
    unknown: Option<Vec<String>>,
}

/// A class, with the choices of all instances.
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

/// An input. Other properties that its class declares (`default`, `step`, `tooltip`, …) are here, too.
#[derive(ToSchema)]
struct NodeInput {
    name: String,
    r#type: String,
    required: bool,
    /// Whether it takes a link only.
    link: Option<bool>,
    /// Whether it takes a file.
    upload: Option<bool>,
    /// Whether it is a seed that can be drawn.
    seed: Option<bool>,
    min: Option<f64>,
    max: Option<f64>,
    /// Choices of all instances.
    options: Option<Vec<Value>>,
    /// The inputs that each choice of a dynamic combo brings, under their whole names: `codec.crf`.
    #[schema(no_recursion)]
    variants: Option<BTreeMap<String, Vec<NodeInput>>>,
    /// The sockets of a group that grows with its links.
    sockets: Option<NodeSockets>,
}

/// The sockets of a growing group. Each is linked, or given a value, under its own name.
#[derive(ToSchema)]
struct NodeSockets {
    /// Whole names: `images.image0`.
    names: Vec<String>,
    /// Number of sockets, from the first, that must be linked.
    min: usize,
    r#type: String,
}

#[derive(ToSchema)]
struct NodeOutput {
    name: String,
    r#type: String,
}

/// Redis responds.
#[derive(ToSchema)]
pub(in crate::api) struct Health {
    #[schema(pattern = "^ok$")]
    status: String,
    #[schema(pattern = "^connected$")]
    redis: String,
    /// Error types with which new tasks or uploads are refused now: `queue_memory_full`, `not_confirmed`, `storage_reserve`; and
    /// `redis_unfit`: Redis would be refused at a start; `store_foreign`: the files belong to another system. Left out if there
    /// are none.
    warnings: Option<Vec<String>>,
}

/// A failure that also has `data`.
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
    /// `lost`: it answers, but was emptied or replaced. `refusing`: it answers, but refuses our writes, a command or the password.
    #[schema(pattern = "^(disconnected|lost|refusing)$")]
    redis: String,
    /// The same as in a good answer.
    warnings: Option<Vec<String>>,
}

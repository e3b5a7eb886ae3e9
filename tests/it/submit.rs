//! Tests of the room `submit`: a second surface submits without HTTP, on a real Redis and a real store.

use crate::support::TestRedis;
use serde_json::{Value, json, value::RawValue};
use shuzhiren::{
    auth::{Caller, Role},
    queue::{Queue, QueueLimits},
    store::Store,
    submit::{Accepted, Axis, Error, Expansion, IdempotencyKey, Limits, Publication, Request, Submission, Submitter},
    task::TaskState,
};
use std::time::Duration;

/// PNG of a single black pixel, base64.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg==";

struct Surface {
    _redis: TestRedis,
    _folder: tempfile::TempDir,
    queue: Queue,
    submitter: Submitter,
    caller: Caller,
}

impl Surface {
    async fn start() -> Self {
        Self::start_with(Limits { file_bytes_max: 1 << 20, rate_burst: 0, is_private: false }, "lin").await
    }

    async fn start_with(limits: Limits, username: &str) -> Self {
        let redis = TestRedis::start();
        let queue_limits = QueueLimits { waiting_max: 10, keep_tasks: Duration::from_secs(3_600) };
        let queue = Queue::connect(&redis.settings(), queue_limits).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("file://{}", folder.path().display())).await.unwrap();
        let submitter = Submitter::new(queue.clone(), store, limits);
        let caller = Caller { username: username.to_owned(), role: Role::User, expires_at: 0 };
        Self { _redis: redis, _folder: folder, queue, submitter, caller }
    }

    /// Returns the number of tasks that exist.
    async fn task_count(&self) -> u64 {
        self.queue.list(&shuzhiren::queue::TaskQuery { limit: 1, ..Default::default() }).await.unwrap().total
    }
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

fn graph() -> Value {
    json!({"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
           "3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 20, "latent_image": ["1", 0]}}})
}

/// The call that a second API surface makes.
#[tokio::test(flavor = "multi_thread")]
async fn one_task_is_submitted_without_http() {
    let surface = Surface::start().await;
    let (workflow, params) = (raw(&graph()), raw(&json!({"3.seed": 5})));

    let submission = Submission { params: Some(&params), ..Submission::new(&workflow) };
    let submitted = surface.submitter.submit(Request::new(&surface.caller, submission)).await.unwrap();

    let Accepted::Task(task) = submitted.accepted else { panic!("one task: {:?}", submitted.accepted) };
    assert!(!submitted.is_replay);
    assert_eq!((task.owner.as_str(), &task.state), ("lin", &TaskState::Waiting));
    let payload = surface.queue.payload(task.id).await.unwrap().unwrap();
    let resolved: Value = serde_json::from_str(payload.workflow.get()).unwrap();
    assert_eq!(resolved["3"]["inputs"]["seed"], 5);
    assert_eq!(payload.original.unwrap().get(), workflow.get());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_every_combination_and_its_files_are_stored_once() {
    let surface = Surface::start().await;
    let (workflow, params) = (raw(&graph()), raw(&json!({"1.image": {"$base64": PNG, "filename": "a.png"}})));
    let (ten, twenty) = (raw(&json!(10)), raw(&json!(20)));
    let axes = vec![Axis { key: "3.steps".to_owned(), values: vec![&ten, &twenty] }];
    let submission = Submission {
        params: Some(&params),
        expansion: Some(Expansion::new(2, axes).unwrap()),
        ..Submission::new(&workflow)
    };
    let submitted = surface.submitter.submit(Request::new(&surface.caller, submission)).await.unwrap();
    let Accepted::Batch { count, tasks, .. } = submitted.accepted else { panic!("a batch") };
    assert_eq!((count, tasks.len()), (4, 4));
    let mut files = std::collections::BTreeSet::new();
    let mut steps = Vec::new();
    for task in &tasks {
        let payload = surface.queue.payload(task.id).await.unwrap().unwrap();
        let resolved: Value = serde_json::from_str(payload.workflow.get()).unwrap();
        steps.push(resolved["3"]["inputs"]["steps"].as_u64().unwrap());
        files.extend(payload.files.iter().map(|input| input.file_id));
        let params: Value = serde_json::from_str(payload.params.get()).unwrap();
        assert!(params["1.image"]["$file"].is_string(), "the bytes are not kept with the task: {params}");
    }
    assert_eq!(steps, [10, 10, 20, 20]);
    assert_eq!(files.len(), 1);
    let file = surface.queue.file(*files.first().unwrap()).await.unwrap().unwrap();
    assert_eq!((file.owner.as_str(), file.filename.as_str()), ("lin", "a.png"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_first_task_and_stores_nothing() {
    let surface = Surface::start().await;
    let (workflow, params) = (raw(&graph()), raw(&json!({"1.image": {"$base64": PNG}, "3.seed": 5})));
    let submission =
        Submission { params: Some(&params), expansion: Expansion::new(3, Vec::new()), ..Submission::new(&workflow) };
    let shown = surface.submitter.dry_run(Request::new(&surface.caller, submission)).await.unwrap();
    assert_eq!((shown.count, shown.nodes_total, shown.is_checked), (Some(3), 2, false));
    let resolved: Value = serde_json::from_str(shown.workflow.get()).unwrap();
    assert_eq!((&resolved["3"]["inputs"]["seed"], &resolved["1"]["inputs"]["image"]), (&json!(5), &Value::Null));
    assert_eq!(surface.task_count().await, 0);
    assert_eq!(surface.queue.files(None, 0, 1).await.unwrap().0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_with_the_same_key_returns_the_same_task() {
    let surface = Surface::start().await;
    let workflow = raw(&graph());
    let key = IdempotencyKey::new(&surface.caller.username, b"k").unwrap();
    let request = |start_by_ms, body: &'static [u8]| {
        let submission = Submission { start_by_ms, ..Submission::new(&workflow) };
        Request::new(&surface.caller, submission).with_key(key, body)
    };
    let first = surface.submitter.submit(request(None, b"body")).await.unwrap();
    let again = surface.submitter.submit(request(None, b"body")).await.unwrap();
    assert_eq!((first.is_replay, again.is_replay), (false, true));
    assert_eq!(first.accepted.tasks()[0].id, again.accepted.tasks()[0].id);
    let late = surface.submitter.submit(request(Some(1), b"body")).await.unwrap();
    assert!(late.is_replay, "a request stays accepted when its start time has passed");
    let other = surface.submitter.submit(request(None, b"other")).await;
    assert!(matches!(other, Err(Error::KeyReused)), "{other:?}");
    assert_eq!(surface.task_count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_lists_every_problem_and_leaves_nothing() {
    let surface = Surface::start().await;
    let (workflow, params) = (raw(&graph()), raw(&json!({"77.text": "x", "3.stepz": 1, "1.image": {"$base64": PNG}})));
    let submission = || Submission { params: Some(&params), ..Submission::new(&workflow) };
    let refused = surface.submitter.submit(Request::new(&surface.caller, submission())).await;
    let Err(Error::InvalidParams(problems)) = refused else { panic!("must be refused: {refused:?}") };
    let mut found: Vec<_> = problems.iter().map(|one| (one.pointer.as_str(), one.code.as_str())).collect();
    found.sort_unstable();
    assert_eq!(found, [("/params/3.stepz", "param_no_such_input"), ("/params/77.text", "param_no_such_node")]);

    let many = Submission { expansion: Expansion::new(11, Vec::new()), ..Submission::new(&workflow) };
    let refused = surface.submitter.submit(Request::new(&surface.caller, many)).await;
    assert!(matches!(refused, Err(Error::InvalidMember { pointer: "/count", code: "too_many_tasks", .. })));
    let past = Submission { start_by_ms: Some(1), ..Submission::new(&workflow) };
    let refused = surface.submitter.dry_run(Request::new(&surface.caller, past)).await;
    assert!(matches!(refused, Err(Error::InvalidMember { pointer: "/startBy", .. })), "{refused:?}");
    let name = raw(&json!("nobody@2"));
    let refused = surface.submitter.submit(Request::new(&surface.caller, Submission::new(&name))).await;
    assert!(matches!(refused, Err(Error::UnknownWorkflow(_))), "{refused:?}");
    assert_eq!((surface.task_count().await, surface.queue.files(None, 0, 1).await.unwrap().0), (0, 0));
}

/// A file of another user is reported like one that does not exist, unless a published workflow names it.
#[tokio::test(flavor = "multi_thread")]
async fn in_private_mode_a_user_names_only_own_files() {
    let limits = Limits { file_bytes_max: 1 << 20, rate_burst: 0, is_private: true };
    let surface = Surface::start_with(limits, "kim").await;
    let (workflow, params) = (raw(&graph()), raw(&json!({"1.image": {"$base64": PNG}})));
    let own = Submission { params: Some(&params), ..Submission::new(&workflow) };
    let task = surface.submitter.submit(Request::new(&surface.caller, own)).await.unwrap();
    let payload = surface.queue.payload(task.accepted.tasks()[0].id).await.unwrap().unwrap();

    let again = Submission { params: Some(&payload.params), ..Submission::new(&workflow) };
    surface.submitter.submit(Request::new(&surface.caller, again.clone())).await.unwrap();
    let lin = Caller { username: "lin".to_owned(), ..surface.caller.clone() };
    let refused = surface.submitter.submit(Request::new(&lin, again)).await;
    assert!(matches!(&refused, Err(Error::NoSuchFile(id)) if *id == payload.files[0].file_id), "{refused:?}");

    let mut graph = graph();
    graph["1"]["inputs"]["image"] = json!({"$file": payload.files[0].file_id.to_string()});
    let graph = raw(&graph);
    let publication = Publication { graph: &graph, params: None, description: None, expected: Some(0), host: None };
    let (published, _) = surface.submitter.publish(&"portrait".parse().unwrap(), publication).await.unwrap();
    let name = raw(&json!(format!("portrait@{}", published.version)));
    surface.submitter.submit(Request::new(&lin, Submission::new(&name))).await.unwrap();
}

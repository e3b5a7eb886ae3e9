//! A submit that makes many tasks (`count`, `sweep`): each is resolved by itself, then all are accepted or none.

use super::{
    ApiState,
    arrivals::{self, Arrivals, Together},
    draft::{Coming, Draft, DryRun, Source, refused},
    error::{ApiError, Flaw, Result},
    http::envelope::Answer,
    inline,
    knowledge::Snapshot,
    named::{self, Named},
    remote, sight,
    submission::Submission,
    submit::{Accepted, Order, new_task},
    sweep::{BatchWish, Sweep},
};
use crate::{
    auth::Caller,
    graph::Problem,
    queue::{BatchEnqueued, PackedTask},
    settings::limits::BATCH_BYTES_MAX,
    task::{BatchId, BatchPlace, FileId, FileInput, Task, TaskId, TaskView},
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Problems told of one request.
const PROBLEMS_MAX: usize = 100;
/// Files that the tasks of one batch may need, each counted as often as it is needed: each costs Redis some microseconds.
const FILE_USES_MAX: usize = 5_000;
/// Tasks resolved before others get their turn: some milliseconds.
const RESOLVED_IN_A_ROW: u16 = 8;

/// `{"batchId","count","tasks":[…]}`: the tasks in their order, as `GET /api/tasks/:id` shows them; of a batch that was accepted
/// before those that are still kept.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchView {
    batch_id: BatchId,
    count: u16,
    tasks: Vec<TaskView>,
}

impl BatchView {
    fn new(state: &ApiState, batch_id: BatchId, count: u16, tasks: &[Task]) -> Self {
        Self { batch_id, count, tasks: tasks.iter().map(|task| TaskView::new(task, &state.links)).collect() }
    }

    pub(super) fn tasks(&self) -> &[TaskView] {
        &self.tasks
    }
}

/// Accepts all tasks of the order, or none.
pub(super) async fn accept(state: &ApiState, order: Order<'_>) -> Result<Accepted<BatchView>> {
    let Some(wish) = &order.submission.batch else { return Err(ApiError::Internal) };
    let (count, id) = (wish.task_count(), order.key.map_or_else(BatchId::new, BatchId::of));
    if let Some(tasks) = accepted_before(state, &order, id, count).await? {
        return Ok(Accepted { view: BatchView::new(state, id, count, &tasks), is_replay: true });
    }
    refuse_beyond_queue(state, wish)?;
    // One was taken for the request.
    state.rates.take_many(&order.caller.username, count - 1)?;
    let named = named::load(state, order.submission.workflow).await?;
    let batch = Batch::new(state, &order.submission, wish, named.as_ref()).await?;
    let (params, sweep) = (order.submission.params, Sweep::again(wish.raw));
    let mut stored = None;
    let mut tasks = batch.resolve(params, &sweep, Some((&order, id))).await?;
    sight::check(state, &order.caller, named.as_ref(), tasks.needed.iter().copied()).await?;
    if !tasks.coming.is_empty() {
        let (arrivals, resolved) = Box::pin(batch.bring_and_resolve(&order, id, tasks.coming)).await?;
        (stored, tasks) = (Some(arrivals), resolved);
    }
    let enqueued = state.queue.enqueue_batch(&tasks.packed).await;
    match (stored, &enqueued) {
        (None, _) => {}
        (Some(stored), Ok(BatchEnqueued::Created(_))) => stored.keep(),
        (Some(stored), _) => Box::pin(stored.take_back()).await,
    }
    let view = |tasks: &[Task]| BatchView::new(state, id, count, tasks);
    match enqueued? {
        BatchEnqueued::Created(tasks) => Ok(Accepted { view: view(&tasks), is_replay: false }),
        BatchEnqueued::Replayed(tasks) => Ok(Accepted { view: view(&tasks), is_replay: order.key.is_some() }),
        BatchEnqueued::Conflict => Err(ApiError::KeyReused),
        BatchEnqueued::Full(wait) => Err(ApiError::QueueFull(wait)),
        BatchEnqueued::NoSuchFile(id) => Err(ApiError::NoSuchFile(id)),
    }
}

/// Checks every task, shows the first.
pub(super) async fn rehearse(state: &ApiState, caller: &Caller, submission: &Submission<'_>) -> Result<Answer<DryRun>> {
    let Some(wish) = &submission.batch else { return Err(ApiError::Internal) };
    refuse_beyond_queue(state, wish)?;
    let named = named::load(state, submission.workflow).await?;
    let batch = Batch::new(state, submission, wish, named.as_ref()).await?;
    let tasks = batch.resolve(submission.params, &Sweep::again(wish.raw), None).await?;
    let (_, remote) = batch.judge(tasks.coming)?;
    sight::check(state, caller, named.as_ref(), tasks.needed.iter().copied()).await?;
    for &id in &tasks.needed {
        if state.queue.file(id).await?.is_none() {
            return Err(ApiError::NoSuchFile(id));
        }
    }
    let mut first = tasks.first.ok_or(ApiError::Internal)?;
    first.remote = remote;
    Box::pin(first.show(state, submission.priority, Some(wish.task_count()))).await
}

/// More tasks than may ever wait: to try again would be in vain.
fn refuse_beyond_queue(state: &ApiState, wish: &BatchWish<'_>) -> Result<()> {
    let (count, waiting_max) = (wish.task_count(), state.queue.waiting_max());
    if waiting_max == 0 || u64::from(count) <= waiting_max {
        return Ok(());
    }
    let message = format!(
        "{count} tasks at once never fit: at most {waiting_max} may wait here (SHUZHIREN_WAITING_MAX); make smaller batches"
    );
    Err(ApiError::InvalidRequest(vec![Flaw::unfit(wish.pointer(), "too_many_tasks", &message)]))
}

/// Those of its tasks that are still kept, when the same request made it before.
async fn accepted_before(state: &ApiState, order: &Order<'_>, id: BatchId, count: u16) -> Result<Option<Vec<Task>>> {
    let Some(key) = order.key else { return Ok(None) };
    match state.queue.was_accepted(key, &order.fingerprint).await? {
        None => Ok(None),
        Some(false) => Err(ApiError::KeyReused),
        Some(true) => {
            let ids: Vec<TaskId> = (0..count).map(|index| id.task(index)).collect();
            Ok(Some(state.queue.tasks(&ids).await?.into_iter().flatten().collect()))
        }
    }
}

/// What is the same for all tasks of a batch.
struct Batch<'a> {
    state: &'a ApiState,
    wish: &'a BatchWish<'a>,
    source: Source<'a>,
    known: Arc<Snapshot>,
    /// What came from URLs.
    fetched: HashMap<String, FileId>,
}

/// What resolving them came to.
#[derive(Default)]
struct Tasks {
    first: Option<Draft>,
    packed: Vec<PackedTask>,
    /// Files that must be stored before the tasks that need them, each once.
    coming: Coming,
    /// Stored files that they name.
    needed: HashSet<FileId>,
}

impl<'a> Batch<'a> {
    async fn new(
        state: &'a ApiState,
        submission: &'a Submission<'a>,
        wish: &'a BatchWish<'a>,
        named: Option<&'a Named>,
    ) -> Result<Self> {
        let known = state.knowledge.now().await;
        let source = Source::new(submission, named, &known)?;
        Ok(Self { state, wish, source, known, fetched: HashMap::new() })
    }

    /// Resolves all of them, and packs each at once for its order: unpacked, a thousand graphs would be large.
    ///
    /// # Errors
    /// Every problem of every task, each once, at most 100.
    async fn resolve(
        &self,
        params: Option<&RawValue>,
        sweep: &Sweep<'_>,
        order: Option<(&Order<'_>, BatchId)>,
    ) -> Result<Tasks> {
        let (mut tasks, mut problems, mut bytes, mut uses) = (Tasks::default(), Problems::default(), 0, 0);
        let mut seen = HashSet::new();
        for index in 0..self.wish.task_count() {
            if index % RESOLVED_IN_A_ROW == RESOLVED_IN_A_ROW - 1 {
                tokio::task::yield_now().await;
            }
            let given = sweep.params(params, self.wish.count, index);
            let place = |pointer: &str| sweep.pointer(pointer, self.wish.count, index);
            let (mut draft, coming) = match self.source.resolve(&self.known, given.as_deref()) {
                Ok(resolved) => resolved,
                Err(found) => {
                    problems.add(found, place);
                    if problems.list.len() >= PROBLEMS_MAX {
                        break;
                    }
                    continue;
                }
            };
            for mut file in coming.inline {
                if seen.insert(file.directive.clone()) {
                    file.pointer = place(&file.pointer);
                    tasks.coming.inline.push(file);
                }
            }
            for mut file in coming.remote {
                if let Some(&file_id) = self.fetched.get(&file.url) {
                    draft.files.push(FileInput { node_id: file.node_id, input: file.input, file_id });
                } else if seen.insert(format!("{} {:?}", file.url, file.sha256)) {
                    file.pointer = place(&file.pointer);
                    tasks.coming.remote.push(file);
                }
            }
            uses += draft.files.len();
            if uses > FILE_USES_MAX {
                return Err(self.too_many_files());
            }
            tasks.needed.extend(draft.file_ids());
            match order {
                // It will not come to that.
                Some(_) if !problems.list.is_empty() || !tasks.coming.is_empty() => {}
                Some((order, id)) => {
                    let task = self.pack(order, id, index, draft).await?;
                    bytes += task.size();
                    if bytes > BATCH_BYTES_MAX {
                        return Err(self.too_large());
                    }
                    tasks.packed.push(task);
                }
                None => {
                    tasks.first = tasks.first.or(Some(draft));
                }
            }
        }
        if problems.list.is_empty() { Ok(tasks) } else { Err(refused(problems.list)) }
    }

    async fn pack(&self, order: &Order<'_>, id: BatchId, index: u16, draft: Draft) -> Result<PackedTask> {
        let mut new = new_task(order, id.task(index), draft);
        new.facts.batch = Some(BatchPlace { index, size: self.wish.task_count() });
        Ok(self.state.queue.pack(new).await?)
    }

    /// Looks at what is to come without asking anybody for it.
    fn judge(&self, coming: Coming) -> Result<(Vec<inline::Decoded>, Vec<remote::Wanted>)> {
        let inline = inline::decode(&coming.inline, self.state.file_bytes_max)?;
        Ok((inline, remote::check(&self.state.fetcher, coming.remote).map_err(refused)?))
    }

    /// Stores what is to come, each file once for all tasks, and resolves again with their ids.
    async fn bring_and_resolve(mut self, order: &Order<'_>, id: BatchId, coming: Coming) -> Result<(Arrivals, Tasks)> {
        let (inline, remote) = self.judge(coming)?;
        let params = order.submission.params.map_or("null", RawValue::get);
        let both = RawValue::from_string(format!("[{params},{}]", self.wish.raw.get()));
        let both = both.map_err(|_| ApiError::Internal)?;
        let Together { arrivals, fetched, text } =
            Box::pin(arrivals::bring_together(self.state, &order.caller, remote, inline, both)).await?;
        self.fetched = fetched;
        let (params, sweep): (&RawValue, &RawValue) =
            serde_json::from_str(text.get()).map_err(|_| ApiError::Internal)?;
        let params = (params.get() != "null").then_some(params);
        // What fails from here on takes them back: arrivals that are dropped do.
        let tasks = self.resolve(params, &Sweep::again(sweep), Some((order, id))).await?;
        if tasks.coming.is_empty() { Ok((arrivals, tasks)) } else { Err(ApiError::Internal) }
    }

    fn too_many_files(&self) -> ApiError {
        let message = format!(
            "{} tasks need files more than {FILE_USES_MAX} times in all: make smaller batches",
            self.wish.task_count()
        );
        ApiError::InvalidRequest(vec![Flaw::unfit("/workflow", "batch_too_large", &message)])
    }

    fn too_large(&self) -> ApiError {
        let message = format!(
            "{} tasks of this workflow are more than {BATCH_BYTES_MAX} bytes: make smaller batches",
            self.wish.task_count()
        );
        ApiError::InvalidRequest(vec![Flaw::unfit("/workflow", "batch_too_large", &message)])
    }
}

/// Those of all tasks, each once.
#[derive(Default)]
struct Problems {
    list: Vec<Problem>,
    known: HashSet<(String, String, String)>,
}

impl Problems {
    fn add(&mut self, found: Vec<Problem>, pointer: impl Fn(&str) -> String) {
        for mut problem in found {
            problem.pointer = pointer(&problem.pointer);
            let name = (problem.pointer.clone(), problem.code.clone(), problem.message.clone());
            if self.list.len() < PROBLEMS_MAX && self.known.insert(name) {
                self.list.push(problem);
            }
        }
    }
}

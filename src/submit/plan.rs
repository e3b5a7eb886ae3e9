//! The plan of a submission: every task resolved and checked, before anything is fetched, stored or enqueued.

use super::{
    Error, Request, Result, Submitter,
    catalog_cache::FleetSnapshot,
    enqueue::{pack, refuse_too_large},
    expand::Expansion,
    files::{CheckedFiles, IncomingFiles, access, upload_names},
    misses,
    published_workflow::{self, PublishedWorkflow},
    submission::OwnedSubmission,
    template::{Draft, TaskFiles, Template},
};
use crate::{
    clock,
    fetch::Fetcher,
    graph::{Budget, OwnFiles, UploadNames},
    problem::{Problem, Problems},
    queue::{PackedTask, StoredWorkflow},
    settings::limits::{BATCH_BYTES_MAX, BATCH_TEXT_BYTES_MAX},
    task::FileId,
};
use std::{collections::HashSet, sync::Arc};

/// Uses of files by all tasks of a batch: each costs Redis some microseconds.
const FILE_USES_MAX: usize = 5_000;

/// Use of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Every task is enqueued.
    Enqueue,
    /// The first task is shown.
    Show,
}

/// Tasks of a submission, resolved and checked.
pub(super) struct Plan {
    /// First task. A dry run shows it, and a single task is enqueued from it.
    pub(super) first: Draft,
    /// Other tasks of a batch, packed at once: a thousand unpacked graphs would be large. Empty in a dry run.
    pub(super) rest: Vec<PackedTask>,
    /// Files that must be stored before the tasks are accepted.
    pub(super) incoming: CheckedFiles,
    /// Stored files that the tasks name, each once.
    pub(super) stored: Vec<FileId>,
    /// Fleet that the tasks were checked against.
    pub(super) fleet: Arc<FleetSnapshot>,
}

/// A request and everything that resolving it reads, for another thread.
#[derive(Clone)]
struct Resolving {
    request: Arc<Request>,
    published: Option<Arc<StoredWorkflow>>,
    fleet: Arc<FleetSnapshot>,
    own: OwnFiles,
    uploads: Arc<UploadNames>,
    fetcher: Fetcher,
    file_bytes_max: u64,
    purpose: Purpose,
}

/// Tasks of a submission as they are resolved, one after the other.
#[derive(Default)]
struct Resolved {
    first: Option<Draft>,
    rest: Vec<PackedTask>,
    rest_bytes: usize,
    incoming: IncomingFiles,
    stored: Vec<FileId>,
    seen: HashSet<FileId>,
    file_uses: usize,
    problems: Problems,
}

impl Plan {
    /// Resolves and checks every task of a request.
    pub(super) async fn new(submitter: &Submitter, request: &Arc<Request>, purpose: Purpose) -> Result<Self> {
        let submission = &request.submission;
        refuse_past_start(submission)?;
        refuse_beyond_queue(submitter, submission)?;
        if purpose == Purpose::Enqueue
            && let Some(expansion) = &submission.expansion
        {
            submitter.rates.take_rest(&request.caller.username, expansion.task_count())?;
        }
        let published = published_workflow::load(&submitter.queue, &submission.workflow).await?.map(Arc::new);
        let mut resolving = Resolving {
            request: request.clone(),
            published: published.clone(),
            fleet: submitter.catalogs.current().await,
            own: submitter.own.clone().with_host(request.host.as_deref()),
            uploads: Arc::default(),
            fetcher: submitter.fetcher.clone(),
            file_bytes_max: submitter.files.bytes_max(),
            purpose,
        };
        refuse_too_much_text(submission, resolving.text_bytes())?;
        let mut planned = resolving.clone().run(submitter).await;
        // Names of files that may be uploads are looked up once, all together, and only then.
        let names = resolving.uploads.wanted();
        if !names.is_empty() && may_be_resolved(&planned) {
            resolving.uploads =
                Arc::new(upload_names::look_up(&submitter.queue, &request.caller.username, names).await?);
            planned = resolving.clone().run(submitter).await;
        }
        if misses::is_miss(&planned) {
            let fleet = submitter.catalogs.refreshed().await;
            if !Arc::ptr_eq(&fleet, &resolving.fleet) {
                resolving.fleet = fleet;
                planned = resolving.run(submitter).await;
            }
        }
        let plan = planned.map_err(|error| misses::explain(error, submitter.catalogs.oldest_list()))?;
        if submitter.limits.is_private {
            access::check(&submitter.queue, &request.caller, published.as_deref(), &plan.stored).await?;
        }
        Ok(plan)
    }
}

impl Resolving {
    async fn run(self, submitter: &Submitter) -> Result<Plan> {
        let (request, bytes) = (self.request.clone(), self.text_bytes());
        submitter.cpu.run(&request.caller.username, bytes, move |budget| self.resolve(budget)).await
    }

    /// Returns the bytes of text that all tasks read together.
    fn text_bytes(&self) -> usize {
        let submission = &self.request.submission;
        let graph = self.published.as_ref().map_or(&submission.workflow, |published| &published.graph).get().len();
        let declared = self.published.as_ref().map_or(0, |published| published.head.params.get().len());
        let editor = self.published.as_ref().and_then(|published| published.editor.as_ref());
        let given = [submission.params.as_ref(), submission.png_info.as_ref(), editor].into_iter().flatten();
        let bytes = graph + declared + given.map(|text| text.get().len()).sum::<usize>();
        submission.expansion.as_ref().map_or(bytes, |expansion| expansion.text_bytes(bytes))
    }

    /// Resolves every task.
    ///
    /// # Errors
    /// Every problem of every task, each once, at most [`crate::problem::PROBLEMS_MAX`].
    fn resolve(&self, budget: &Budget) -> Result<Plan> {
        let submission = &self.request.submission;
        let published = self.published.as_deref().map(PublishedWorkflow::new).transpose()?;
        let template = Template::new(submission, published.as_ref(), (&self.fleet, &self.own, &self.uploads), budget)?;
        let single = Expansion::single();
        let expansion = submission.expansion.as_ref().unwrap_or(&single);
        // A dry run packs its tasks, too, if they may turn out to be too large.
        let packs = self.purpose == Purpose::Enqueue || 2 * self.text_bytes() > BATCH_BYTES_MAX;
        let mut resolved = Resolved::default();
        for index in 0..expansion.task_count() {
            budget.check()?;
            budget.next_task();
            let pointer = |pointer: &str| expansion.request_pointer(pointer, index);
            let params = expansion.params(submission.params.as_deref(), index);
            match template.resolve(params.as_deref()) {
                Ok((draft, files)) => {
                    let draft = resolved.with_files(draft, files, pointer);
                    if resolved.file_uses > FILE_USES_MAX {
                        return Err(too_many_files(expansion));
                    }
                    if resolved.first.is_none() {
                        resolved.first = Some(draft);
                    } else if packs && resolved.problems.is_empty() {
                        self.add_packed(&mut resolved, pack(&self.request, index, draft)?, expansion)?;
                    }
                }
                Err(problems) => {
                    for problem in problems {
                        budget.spend(1 + resolved.problems.len() / 4 + expansion.axis_count());
                        resolved.problems.push_new(Problem { pointer: pointer(&problem.pointer), ..problem });
                    }
                }
            }
            if resolved.problems.is_full() {
                break;
            }
        }
        let Resolved { first, rest, incoming, stored, problems, .. } = resolved;
        match first {
            Some(first) if problems.is_empty() => {
                let incoming = incoming.check(&self.fetcher, self.file_bytes_max)?;
                Ok(Plan { first, rest, incoming, stored, fleet: self.fleet.clone() })
            }
            _ => Err(problems.into_vec().into()),
        }
    }

    fn add_packed(&self, resolved: &mut Resolved, packed: PackedTask, expansion: &Expansion<'_>) -> Result<()> {
        resolved.rest_bytes += packed.size();
        refuse_too_large(expansion, resolved.rest_bytes)?;
        if self.purpose == Purpose::Enqueue {
            resolved.rest.push(packed);
        }
        Ok(())
    }
}

impl Resolved {
    /// Adds the files of a task: those that it names, and those that come with it.
    fn with_files(&mut self, mut draft: Draft, files: TaskFiles, pointer: impl Fn(&str) -> String) -> Draft {
        let named = draft.files.iter().map(|input| input.file_id);
        self.stored.extend(named.filter(|id| self.seen.insert(*id)));
        draft.files.extend(self.incoming.add_urls(files.urls, &pointer));
        let texts = std::iter::once(&mut draft.params).chain(draft.original.as_mut());
        draft.files.extend(self.incoming.add_inline(files.inline, texts, &pointer));
        self.file_uses += draft.files.len();
        draft
    }
}

/// Whether resolving again may end in another way: it ended with tasks, or with problems.
fn may_be_resolved(planned: &Result<Plan>) -> bool {
    matches!(planned, Ok(_) | Err(Error::InvalidWorkflow(_) | Error::InvalidParams(_)))
}

/// Refuses a start time that has passed.
fn refuse_past_start(submission: &OwnedSubmission) -> Result<()> {
    if submission.start_by_ms.is_none_or(|start_by_ms| start_by_ms > clock::unix_ms()) {
        return Ok(());
    }
    let message = "`startBy` must be in the future".to_owned();
    Err(Error::InvalidMember { pointer: "/startBy", code: "not_in_the_future", message })
}

/// Refuses a batch that has too much text to be resolved task by task. Known before any of it is resolved.
fn refuse_too_much_text(submission: &OwnedSubmission, bytes: usize) -> Result<()> {
    let Some(expansion) = submission.expansion.as_ref().filter(|_| bytes > BATCH_TEXT_BYTES_MAX) else {
        return Ok(());
    };
    let count = expansion.task_count();
    Err(Error::batch_too_large(format!(
        "workflow and params of {count} tasks are more than {BATCH_TEXT_BYTES_MAX} bytes together: make smaller batches"
    )))
}

/// Refuses more tasks than may ever wait: a retry would be in vain.
fn refuse_beyond_queue(submitter: &Submitter, submission: &OwnedSubmission) -> Result<()> {
    let Some(expansion) = &submission.expansion else { return Ok(()) };
    let (count, waiting_max) = (expansion.task_count(), submitter.queue.waiting_max());
    if waiting_max == 0 || u64::from(count) <= waiting_max {
        return Ok(());
    }
    let message = format!(
        "{count} tasks at once never fit: at most {waiting_max} may wait here (SHUZHIREN_WAITING_MAX); make smaller batches"
    );
    Err(Error::InvalidMember { pointer: expansion.pointer(), code: "too_many_tasks", message })
}

fn too_many_files(expansion: &Expansion<'_>) -> Error {
    let count = expansion.task_count();
    Error::batch_too_large(format!(
        "{count} tasks need files more than {FILE_USES_MAX} times in all: make smaller batches"
    ))
}

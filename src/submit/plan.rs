//! The plan of a submission: every task resolved and checked, before anything is fetched, stored or enqueued.

use super::{
    Error, Request, Result, Submission, Submitter,
    catalog_cache::FleetSnapshot,
    enqueue::{pack, refuse_too_large},
    expand::Expansion,
    files::{CheckedFiles, IncomingFiles, access},
    published_workflow::PublishedWorkflow,
    template::{Draft, TaskFiles, Template},
};
use crate::{
    clock,
    problem::{Problem, Problems},
    queue::PackedTask,
    task::FileId,
};
use std::{collections::HashSet, sync::Arc};

/// Uses of files by all tasks of a batch: each costs Redis some microseconds.
const FILE_USES_MAX: usize = 5_000;
/// Tasks resolved before the runtime may run others: some milliseconds.
const TASKS_PER_TURN: u16 = 8;

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
    pub(super) async fn new(submitter: &Submitter, request: &Request<'_>, purpose: Purpose) -> Result<Self> {
        let submission = &request.submission;
        refuse_past_start(submission)?;
        refuse_beyond_queue(submitter, submission)?;
        if purpose == Purpose::Enqueue
            && let Some(expansion) = &submission.expansion
        {
            submitter.rates.take_rest(&request.caller.username, expansion.task_count())?;
        }
        let published = PublishedWorkflow::load(&submitter.queue, submission.workflow).await?;
        let fleet = submitter.catalogs.current().await;
        let template = Template::new(submission, published.as_ref(), fleet)?;
        let plan = Box::pin(Self::resolve(submitter, &template, request, purpose)).await?;
        if submitter.limits.is_private {
            access::check(&submitter.queue, request.caller, published.as_ref(), &plan.stored).await?;
        }
        Ok(plan)
    }

    /// Resolves every task.
    ///
    /// # Errors
    /// Every problem of every task, each once, at most [`crate::problem::PROBLEMS_MAX`].
    async fn resolve(
        submitter: &Submitter,
        template: &Template<'_>,
        request: &Request<'_>,
        purpose: Purpose,
    ) -> Result<Self> {
        let submission = &request.submission;
        let single = Expansion::single();
        let expansion = submission.expansion.as_ref().unwrap_or(&single);
        let mut resolved = Resolved::default();
        for index in 0..expansion.task_count() {
            if index % TASKS_PER_TURN == TASKS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let pointer = |pointer: &str| expansion.request_pointer(pointer, index);
            let params = expansion.params(submission.params, index);
            match template.resolve(params.as_deref()) {
                Ok((draft, files)) => {
                    let draft = resolved.with_files(draft, files, pointer);
                    if resolved.file_uses > FILE_USES_MAX {
                        return Err(too_many_files(expansion));
                    }
                    if resolved.first.is_none() {
                        resolved.first = Some(draft);
                    } else if purpose == Purpose::Enqueue && resolved.problems.is_empty() {
                        let packed = pack(&submitter.queue, request, index, draft).await?;
                        resolved.rest_bytes += packed.size();
                        refuse_too_large(expansion, resolved.rest_bytes)?;
                        resolved.rest.push(packed);
                    }
                }
                Err(problems) => {
                    for problem in problems {
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
                let incoming = incoming.check(&submitter.fetcher, submitter.files.bytes_max())?;
                Ok(Self { first, rest, incoming, stored, fleet: template.fleet.clone() })
            }
            _ => Err(problems.into_vec().into()),
        }
    }
}

impl Resolved {
    /// Adds the files of a task: those that it names, and those that come with it.
    fn with_files(&mut self, mut draft: Draft, files: TaskFiles, pointer: impl Fn(&str) -> String) -> Draft {
        let named = draft.files.iter().map(|input| input.file_id);
        self.stored.extend(named.filter(|id| self.seen.insert(*id)));
        draft.files.extend(self.incoming.add_urls(files.urls, &pointer));
        draft.files.extend(self.incoming.add_inline(files.inline, &mut draft.params, &pointer));
        self.file_uses += draft.files.len();
        draft
    }
}

/// Refuses a start time that has passed.
fn refuse_past_start(submission: &Submission<'_>) -> Result<()> {
    if submission.start_by_ms.is_none_or(|start_by_ms| start_by_ms > clock::unix_ms()) {
        return Ok(());
    }
    let message = "`startBy` must be in the future".to_owned();
    Err(Error::InvalidMember { pointer: "/startBy", code: "not_in_the_future", message })
}

/// Refuses more tasks than may ever wait: a retry would be in vain.
fn refuse_beyond_queue(submitter: &Submitter, submission: &Submission<'_>) -> Result<()> {
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

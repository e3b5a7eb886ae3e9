//! Submission of tasks, without HTTP: the meaning of a request to run something. Every API surface submits through
//! [`Submitter`].
//!
//! One pipeline serves a single task, a batch and a dry run, because a task is a batch of one:
//!
//! 1. *Plan* (`plan`), within a budget and off the runtime if it is large (`cpu_pool`): the graph or published workflow is
//!    read once (`template`), each set of params (`expand`) is resolved into a task, and everything is checked that can be
//!    checked without a side effect.
//! 2. *Stage* (`files`): files inside the params or at URLs are stored and registered.
//! 3. *Enqueue* (`enqueue`): all tasks are written, or none; or *show* (`dry_run`).
//!
//! An accepted request stays accepted: a repeat with the same idempotency key returns the same tasks, even if the fleet,
//! published workflows or limits have changed since.
//!
//! ```ignore
//! let submission = Submission { params: Some(&params), ..Submission::new(&workflow) };
//! let submitted = submitter.submit(Request::new(&caller, submission)).await?;
//! for task in submitted.accepted.tasks() {
//!     println!("{}", task.id);
//! }
//! ```
//!
//! Publishing a workflow (`publish`) is here too, because a workflow is checked as a submission of it would be.

mod catalog_cache;
mod cpu_pool;
mod dry_run;
mod enqueue;
mod error;
mod eta;
mod expand;
mod files;
mod misses;
mod plan;
mod publish;
mod published_workflow;
mod rate_limit;
mod request;
mod spans;
mod submission;
mod template;

pub use catalog_cache::{CatalogCache, FleetSnapshot};
pub use dry_run::DryRun;
pub use enqueue::{Accepted, Submitted};
pub use error::{Error, Result};
pub use eta::{eta_ms, run_ms};
pub use expand::{Axis, Expansion};
pub use files::{FileRegistry, ReceivedFile};
pub use publish::Publication;
pub use published_workflow::version_number;
pub use request::{IdempotencyKey, KEY_BYTES_MAX, Request};
pub use spans::Origin;
pub use submission::{MAX_ATTEMPTS_DEFAULT, Submission};

use crate::{
    auth::Caller,
    fetch::Fetcher,
    graph::OwnFiles,
    metrics,
    queue::{Queue, StoredWorkflow, UploadQuota},
    secrets::Encryption,
    store::Store,
    task::{Warning, WorkflowName},
};
use cpu_pool::CpuPool;
use enqueue::ReadyTasks;
use files::StagedFiles;
use plan::{Plan, Purpose};
use rate_limit::RateLimits;
use std::sync::Arc;

/// Limits that a [`Submitter`] applies.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest file, bytes.
    pub file_bytes_max: u64,
    /// Requests of one user in a burst, 0 = no limit.
    pub rate_burst: u64,
    /// Whether a user may name only own files (private mode).
    pub is_private: bool,
}

/// Accepts submissions and publications; cheap to clone.
#[derive(Clone)]
pub struct Submitter {
    queue: Queue,
    fetcher: Fetcher,
    files: FileRegistry,
    catalogs: CatalogCache,
    cpu: CpuPool,
    rates: Arc<RateLimits>,
    limits: Limits,
    encryption: Encryption,
    own: OwnFiles,
}

impl Submitter {
    /// Returns a submitter that fetches no URLs until it [has a fetcher](Self::with_fetcher).
    pub fn new(queue: Queue, store: Store, limits: Limits) -> Self {
        Self {
            fetcher: Fetcher::off(),
            files: FileRegistry::new(queue.clone(), store, limits.file_bytes_max),
            catalogs: CatalogCache::new(queue.clone()),
            cpu: CpuPool::new(),
            rates: Arc::new(RateLimits::new(limits.rate_burst)),
            queue,
            limits,
            encryption: Encryption::default(),
            own: OwnFiles::default(),
        }
    }

    /// Sets the addresses of our own files; without them, links to them are fetched like any other.
    #[must_use]
    pub fn with_own_files(self, own: OwnFiles) -> Self {
        Self { own, ..self }
    }

    /// Sets the encryption of keys for API nodes; without it, submissions with keys are refused.
    #[must_use]
    pub fn with_encryption(self, encryption: Encryption) -> Self {
        Self { encryption, ..self }
    }

    /// Returns the encryption of keys for API nodes.
    pub fn encryption(&self) -> &Encryption {
        &self.encryption
    }

    /// Sets the quotas of uploads.
    #[must_use]
    pub fn with_upload_quota(self, quota: UploadQuota) -> Self {
        Self { files: self.files.with_quota(quota), ..self }
    }

    /// Sets the fetcher of files at URLs.
    #[must_use]
    pub fn with_fetcher(self, fetcher: Fetcher) -> Self {
        Self { fetcher, ..self }
    }

    /// Returns the registry of files.
    pub fn files(&self) -> &FileRegistry {
        &self.files
    }

    /// Returns the catalogs of the fleet.
    pub fn catalogs(&self) -> &CatalogCache {
        &self.catalogs
    }

    /// Takes one request from the caller's rate limit. A surface does so before it reads a body, for every request that
    /// makes work.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub fn admit(&self, caller: &Caller) -> Result<()> {
        self.rates.take(&caller.username)
    }

    /// Runs `work` of a caller that reads or writes `bytes` bytes once, on another thread if that is large.
    ///
    /// # Errors
    /// [`Error::Busy`] if no thread is free for a long time.
    pub async fn run_linear<T: Send + 'static>(
        &self,
        caller: &Caller,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        self.cpu.run_linear(&caller.username, bytes, work).await
    }

    /// Accepts all tasks of a submission, or none.
    ///
    /// # Errors
    /// Every problem of the submission at once; else what forbids it now. A request with an idempotency key may be
    /// repeated after any error.
    pub async fn submit(&self, request: Request) -> Result<Submitted> {
        let request = match request.encrypting(&self.encryption) {
            Ok(request) => Arc::new(request),
            Err(error) => {
                metrics::task_submitted("invalid");
                return Err(error.into());
            }
        };
        let result = Box::pin(self.accept(&request)).await;
        metrics::task_submitted(outcome(&result));
        if let Ok(submitted) = &result
            && !submitted.is_replay
        {
            request.origin.record(submitted.accepted.tasks());
        }
        result
    }

    async fn accept(&self, request: &Arc<Request>) -> Result<Submitted> {
        // The repeat of a batch takes no tokens for its tasks from the rate limit.
        if request.submission.expansion.is_some()
            && let Some(earlier) = Submitted::earlier(&self.queue, request).await?
        {
            return Ok(earlier);
        }
        let planned = Plan::new(self, request, Purpose::Enqueue).await;
        let Plan { first, rest, incoming, .. } = match planned {
            Ok(plan) => plan,
            Err(error) => return Submitted::earlier(&self.queue, request).await?.ok_or(error),
        };
        let tasks = ReadyTasks::new(&self.queue, request, first, rest).await?;
        if incoming.is_empty() {
            return tasks.enqueue(&self.queue, request).await;
        }
        // A repeat fetches and stores no file again.
        if let Some(earlier) = Submitted::earlier(&self.queue, request).await? {
            return Ok(earlier);
        }
        self.queue.check_memory()?;
        let staged =
            Box::pin(StagedFiles::store(&self.files, &self.fetcher, &request.caller.username, incoming)).await?;
        let submitted = tasks.enqueue(&self.queue, request).await;
        match &submitted {
            Ok(submitted) if !submitted.is_replay => staged.keep(),
            _ => Box::pin(staged.discard()).await,
        }
        submitted
    }

    /// Resolves and checks a submission, and shows its first task. Nothing is fetched, stored or enqueued.
    ///
    /// # Errors
    /// As [`Self::submit`]; a full queue and the rate limit are not checked.
    pub async fn dry_run(&self, request: Request) -> Result<DryRun> {
        let request = request.encrypting(&self.encryption)?;
        Box::pin(DryRun::new(self, &Arc::new(request))).await
    }

    /// Returns the JSON Schema of the params of a published workflow.
    ///
    /// # Errors
    /// [`Error::InvalidWorkflow`] and [`Error::UnreadableWorkflow`] if it cannot be read back; [`Error::TooComplex`].
    pub async fn schema(&self, caller: &Caller, workflow: StoredWorkflow) -> Result<serde_json::Value> {
        Box::pin(publish::schema(self, caller, workflow)).await
    }

    /// Publishes a version of a workflow. Returns it with the warnings for its publisher; publishing the content of the
    /// newest version again changes nothing.
    ///
    /// # Errors
    /// Every problem of graph and declared params; else every problem of the URLs that they name; else the reason that
    /// forbids it now: [`Error::VersionConflict`], [`Error::TooManyWorkflows`], [`Error::NoSuchFile`],
    /// [`Error::WorkflowDeleted`].
    pub async fn publish(
        &self,
        name: &WorkflowName,
        publication: Publication<'_>,
    ) -> Result<(StoredWorkflow, Vec<Warning>)> {
        Box::pin(publication.store(self, name)).await
    }
}

/// Returns the label of the metric.
fn outcome(result: &Result<Submitted>) -> &'static str {
    match result {
        Ok(Submitted { is_replay: false, .. }) => "created",
        Ok(Submitted { is_replay: true, .. }) => "replayed",
        Err(Error::KeyReused) => "conflict",
        Err(Error::QueueFull(_) | Error::WaitingQuota(_) | Error::RateLimited(_)) => "full",
        Err(Error::Queue(_) | Error::UnreadableWorkflow(_)) => "unavailable",
        Err(
            Error::InvalidMember { .. }
            | Error::InvalidWorkflow(_)
            | Error::InvalidParams(_)
            | Error::TooComplex(_)
            | Error::UnknownWorkflow(_)
            | Error::NoSuchFile(_)
            | Error::QuotaExceeded(_)
            | Error::Busy
            | Error::VersionConflict(_)
            | Error::TooManyWorkflows(_)
            | Error::WorkflowDeleted
            | Error::NoSecretKey(_)
            | Error::Store(_),
        ) => "invalid",
    }
}

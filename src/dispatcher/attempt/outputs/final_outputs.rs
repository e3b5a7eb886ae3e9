//! Collects the outputs of an ended prompt, in the order of the graph: stores every output that was not stored early.

use super::{
    early_outputs::StoredOutputs,
    store_output::{OutputStore, StoreError, StoredOutput, source_of, unavailable},
};
use crate::{
    backoff::Backoff,
    comfy::NodeOutput,
    dispatcher::{attempt::stage_error::StageError, instance::state::Instance, redis_retry::until_answered},
    queue::FileRecord,
    task::{Failure, FailureKind, FileId, Output, OutputWarning},
};
use std::{collections::HashSet, time::Duration};

/// Largest number of outputs of one task; more make the attempt fail.
const OUTPUTS_MAX: usize = 10_000;
/// Attempts to fetch one file: another download costs less than another run of the prompt.
const FETCHES_MAX: u32 = 4;
/// First and longest delay between two attempts.
const FETCH_DELAYS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// Largest number of files registered by the call that ends the task; further ones are registered when they are stored.
const FILES_MAX: usize = 32;

/// Outputs of an ended prompt.
pub(crate) struct Collected {
    /// All outputs, in the order of the graph.
    pub(crate) outputs: Vec<Output>,
    /// Files that the task does not have yet.
    pub(crate) fresh: Vec<Output>,
    /// Registry entries of those that are not registered yet.
    pub(crate) files: Vec<FileRecord>,
    /// Files that were stored early and are superseded.
    pub(crate) replaced: Vec<Output>,
    /// Warnings about files and values that are not among the outputs, with the reasons.
    pub(crate) warnings: Vec<OutputWarning>,
}

/// Collects all outputs. A file that the instance does not have is left out with a warning, unless no file is left that
/// could stand for the result: then another run is worth it. Temporary files are previews, and do not, if the prompt
/// made others. On a failure the files stored by this call are deleted again.
pub(crate) async fn collect(
    store: &OutputStore,
    made: &[NodeOutput],
    stored: &StoredOutputs,
) -> Result<Collected, StageError> {
    if made.len() > OUTPUTS_MAX {
        let message = format!("{} outputs are more than the {OUTPUTS_MAX} that a task may have", made.len());
        return Err(StageError::failed(Failure::new(FailureKind::OutputTooLarge, message)));
    }
    let mut collection = Collection::begin(store, stored).await;
    let has_results = made.iter().any(|one| is_result(one, false));
    let mut missing = None;
    for one in made {
        match collection.add(one).await {
            Ok(()) => {}
            Err(AddError::Missing(error)) => {
                collection.warn(one, &error);
                if is_result(one, !has_results) {
                    missing.get_or_insert(error);
                }
            }
            Err(AddError::Failed(error)) => {
                store.discard(&collection.fresh[collection.early..]).await;
                return Err(error);
            }
        }
    }
    let counts = |output: &Output| output.file_id.is_some() && !(has_results && output.temporary);
    if let Some(error) = missing
        && !collection.outputs.iter().any(counts)
    {
        store.discard(&collection.fresh[collection.early..]).await;
        forget_cached_results(&store.instance).await;
        return Err(error);
    }
    Ok(collection.end())
}

/// Whether the output is a file that is a result, or with `also_temporary` any file.
fn is_result(made: &NodeOutput, also_temporary: bool) -> bool {
    match made {
        NodeOutput::File { file, .. } => also_temporary || file.folder_type != "temp",
        NodeOutput::Value { .. } | NodeOutput::Picture { .. } => false,
    }
}

/// Best effort: the instance may have answered from its cache with files that were deleted since.
pub(crate) async fn forget_cached_results(instance: &Instance) {
    if instance.clock.may_act()
        && let Err(error) = instance.client.free_memory().await
    {
        tracing::debug!(instance = %instance.target.id, %error, "cached results not forgotten");
    }
}

/// Collects the outputs of a failed prompt, as far as they are available.
pub(crate) async fn collect_some(store: &OutputStore, made: &[NodeOutput], stored: &StoredOutputs) -> Collected {
    let mut collection = Collection::begin(store, stored).await;
    for one in made.iter().take(OUTPUTS_MAX) {
        // The task reports the failure of the prompt; a missing output must not hide it.
        if let Err(AddError::Missing(error) | AddError::Failed(error)) = collection.add(one).await {
            let (instance, task, attempt) = (&store.instance.target.id, store.task, store.attempt);
            tracing::debug!(%instance, %task, %attempt, "output of a failed prompt not stored");
            collection.warn(one, &error);
        }
    }
    collection.end()
}

/// The reason an output is not among those of the task.
enum AddError {
    /// The instance does not have the file.
    Missing(StageError),
    /// It may be available, or this process is at fault.
    Failed(StageError),
}

struct Collection<'a> {
    store: &'a OutputStore,
    stored: &'a StoredOutputs,
    /// Early outputs that are no longer registered: Redis lost its last writes, or a user deleted the file.
    gone: HashSet<FileId>,
    /// Sources of the files in the history.
    named: HashSet<String>,
    /// Nodes in the history.
    nodes: HashSet<String>,
    warnings: Vec<OutputWarning>,
    outputs: Vec<Output>,
    fresh: Vec<Output>,
    /// Number of the first of those that were stored early.
    early: usize,
    files: Vec<FileRecord>,
}

impl<'a> Collection<'a> {
    async fn begin(store: &'a OutputStore, stored: &'a StoredOutputs) -> Self {
        let mut gone = HashSet::new();
        let registered = stored.outputs().iter().filter(|output| stored.unregistered(output).is_none());
        for id in registered.filter_map(|output| output.file_id) {
            if until_answered(store.call("file"), || store.instance.queue().file(id)).await.is_none() {
                gone.insert(id);
            }
        }
        let (outputs, fresh, files, warnings) = (Vec::new(), Vec::new(), Vec::new(), stored.lost().to_vec());
        let (named, nodes) = (HashSet::new(), HashSet::new());
        let mut collection = Self { store, stored, gone, named, nodes, warnings, outputs, fresh, early: 0, files };
        for output in stored.outputs() {
            if let Some(record) = stored.unregistered(output) {
                collection.add_fresh(output, record.clone()).await;
            }
        }
        collection.early = collection.fresh.len();
        collection
    }

    async fn add(&mut self, made: &NodeOutput) -> Result<(), AddError> {
        if self.store.cancelled.is_cancelled() {
            return Err(AddError::Failed(StageError::NotOurs));
        }
        self.nodes.insert(made.origin().0.to_owned());
        if let NodeOutput::File { node_id, file, .. } = made {
            self.named.insert(source_of(file));
            if let Some(known) = self.stored.get(file).filter(|known| self.is_registered(known)) {
                self.outputs.push(Output { node_id: node_id.clone(), source: None, ..known.clone() });
                return Ok(());
            }
        }
        let StoredOutput { output, record, warning } = fetch(self.store, made).await?;
        self.warnings.extend(warning.filter(|_| self.warnings.len() < OutputWarning::MAX));
        let output = Output { source: None, ..output };
        if let Some(record) = record {
            self.add_fresh(&output, record).await;
        }
        self.outputs.push(output);
        Ok(())
    }

    async fn add_fresh(&mut self, output: &Output, record: FileRecord) {
        self.fresh.push(output.clone());
        if self.files.len() < FILES_MAX {
            self.files.push(record);
        } else {
            self.store.register(&record).await;
        }
    }

    fn warn(&mut self, made: &NodeOutput, error: &StageError) {
        let (node_id, key) = made.origin();
        if self.warnings.len() < OutputWarning::MAX
            && let StageError::Failed { failure, .. } = error
        {
            self.warnings.push(OutputWarning::dropped(node_id, key, &failure.message));
        }
    }

    fn is_registered(&self, output: &Output) -> bool {
        output.file_id.is_some_and(|id| !self.gone.contains(&id))
    }

    fn end(mut self) -> Collected {
        let used: HashSet<FileId> = self.outputs.iter().filter_map(|output| output.file_id).collect();
        let nodes = std::mem::take(&mut self.nodes);
        let is_unused = |output: &&Output| match output.file_id {
            Some(id) => !used.contains(&id),
            None => !nodes.contains(&output.node_id),
        };
        let unused = self.stored.outputs().iter().filter(is_unused).cloned();
        // An instance without a cache announces the outputs of a node but omits them from its history (protocol §9).
        let (replaced, unlisted): (Vec<Output>, Vec<Output>) = unused.partition(|output| {
            output.file_id.is_some()
                && (!self.is_registered(output)
                    || output.source.as_ref().is_none_or(|source| self.named.contains(source)))
        });
        self.outputs.extend(unlisted.into_iter().map(|output| Output { source: None, ..output }));
        // Superseded before it was registered: the discard of `replaced` deletes its bytes.
        self.files.retain(|record| replaced.iter().all(|output| output.file_id != Some(record.id)));
        let Self { outputs, fresh, files, warnings, .. } = self;
        Collected { outputs, fresh, files, replaced, warnings }
    }
}

async fn fetch(store: &OutputStore, made: &NodeOutput) -> Result<StoredOutput, AddError> {
    let mut delays = Backoff::new(FETCH_DELAYS.0, FETCH_DELAYS.1);
    let mut fetches = 1;
    loop {
        let reason = match store.store(made).await {
            Ok(output) => return Ok(output),
            Err(StoreError::Permanent(error)) => return Err(AddError::Failed(error)),
            Err(StoreError::Missing(error)) => return Err(AddError::Missing(error)),
            Err(StoreError::Retryable(reason)) => reason,
        };
        if fetches == FETCHES_MAX {
            let error = match made {
                NodeOutput::File { file, .. } => unavailable(file, &reason),
                NodeOutput::Value { .. } | NodeOutput::Picture { .. } => {
                    StageError::failed(Failure::new(FailureKind::OutputUnavailable, reason))
                }
            };
            return Err(AddError::Failed(error));
        }
        let (instance, task, attempt) = (&store.instance.target.id, store.task, store.attempt);
        tracing::debug!(%instance, %task, %attempt, reason, "output download failed; retrying");
        tokio::select! {
            () = delays.pause() => fetches += 1,
            () = store.cancelled.cancelled() => return Err(AddError::Failed(StageError::NotOurs)),
        }
    }
}

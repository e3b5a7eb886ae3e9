//! Stores the outputs of a node as soon as it ends, while the prompt still runs, and records them in the task.
//!
//! An optimisation only: an output that cannot be stored now, or whose event was lost, is left to
//! [`final_outputs`](super::final_outputs). Runs beside the attempt, one download at a time; nothing waits for it before the
//! prompt ends.

use super::store_output::{OutputStore, StoreError, StoredOutput, source_of};
use crate::{
    comfy::{NodeOutput, Picture, RemoteFile},
    dispatcher::{redis_retry::until_answered, shared::lock},
    queue::{FileRecord, OutputsAdded},
    task::{Attempt, FileId, Output, OutputWarning, TaskId},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Largest number of nodes whose outputs wait to be stored; further nodes are left to the final collection.
const NODES_WAITING_MAX: usize = 64;
/// Largest number of pictures sent over the WebSocket that wait to be stored; further ones are lost, with a warning. Their
/// bytes have a limit besides.
const PICTURES_WAITING_MAX: usize = 1_024;
/// Largest number of outputs recorded by one call.
const BATCH_MAX: usize = 16;
/// Largest number of early outputs of one task.
const OUTPUTS_MAX: usize = 4_096;
/// Largest size of its early texts, bytes; further texts are left to the final collection.
const TEXTS_BYTES_MAX: usize = 1 << 20;

/// A background task that stores outputs early.
pub(crate) struct EarlyCollector {
    task: TaskId,
    attempt: Attempt,
    /// Outputs for the worker; `None` once the worker was asked to end.
    nodes: Option<mpsc::Sender<Waiting>>,
    /// Room for the outputs of ended nodes among them.
    room: Arc<Semaphore>,
    /// Pictures that were lost.
    lost: Mutex<Vec<OutputWarning>>,
    halt: CancellationToken,
    worker: Option<AbortOnDropHandle<StoredOutputs>>,
    /// Result of the worker, once it has ended.
    stored: StoredOutputs,
}

/// Outputs that wait to be stored, and their room.
type Waiting = (Vec<NodeOutput>, Option<OwnedSemaphorePermit>);

/// Outputs stored early, in the order they were recorded.
#[derive(Default)]
pub(crate) struct StoredOutputs {
    outputs: Vec<Output>,
    /// Positions of the files among them, by source.
    positions: HashMap<String, usize>,
    /// Size of the texts among them.
    text_bytes: usize,
    /// Number of outputs, from the first, that the task has.
    recorded: usize,
    /// Files of the outputs that the task does not have yet, not registered yet.
    unregistered: HashMap<FileId, FileRecord>,
    /// Files that a node wrote again under the same name.
    rewritten: HashSet<String>,
    /// Pictures that were lost: they are sent only once.
    lost: Vec<OutputWarning>,
}

impl EarlyCollector {
    /// Starts the worker. `recorded` holds the outputs that the task already has from an earlier owner.
    pub(crate) fn start(mut store: OutputStore, recorded: Vec<Output>) -> Self {
        let (nodes, waiting) = mpsc::channel(NODES_WAITING_MAX + PICTURES_WAITING_MAX);
        let halt = store.cancelled.child_token();
        store.cancelled = halt.clone();
        let (task, attempt) = (store.task, store.attempt);
        let mut stored = StoredOutputs { recorded: recorded.len(), ..StoredOutputs::default() };
        recorded.into_iter().for_each(|output| stored.push(output));
        let worker = AbortOnDropHandle::new(tokio::spawn(stored.collect(store, waiting)));
        let (room, lost) = (Arc::new(Semaphore::new(NODES_WAITING_MAX)), Mutex::default());
        let stored = StoredOutputs::default();
        Self { task, attempt, nodes: Some(nodes), room, lost, halt, worker: Some(worker), stored }
    }

    /// Queues the outputs of a node that has ended.
    pub(crate) fn offer(&self, made: Vec<NodeOutput>) {
        let Some(nodes) = &self.nodes else { return };
        if made.is_empty() {
            return;
        }
        let room = self.room.clone().try_acquire_owned();
        if room.is_err() || nodes.try_send((made, room.ok())).is_err() {
            tracing::debug!(task = %self.task, attempt = %self.attempt, "early output skipped; left to the end of the prompt");
        }
    }

    /// Queues a picture that a node sent over the WebSocket; `None` if it was dropped there.
    pub(crate) fn offer_picture(&self, node_id: String, picture: Option<Picture>) {
        let Some(nodes) = &self.nodes else { return };
        let waiting = picture.map(|picture| (vec![NodeOutput::Picture { node_id: node_id.clone(), picture }], None));
        if waiting.is_none_or(|waiting| nodes.try_send(waiting).is_err()) {
            let warning = OutputWarning::dropped(&node_id, "websocket", "too many pictures waited to be stored");
            let mut lost = lock(&self.lost);
            if !lost.contains(&warning) && lost.len() < OutputWarning::MAX {
                lost.push(warning);
            }
        }
    }

    /// Stores the outputs that still wait, after the end of the prompt, and returns all. Those that are not recorded by
    /// then are left to the call that ends the task.
    pub(crate) async fn finish(&mut self) -> &StoredOutputs {
        self.nodes = None;
        if let Some(worker) = self.worker.take() {
            self.stored = worker.await.unwrap_or_default();
            self.stored.lost.append(&mut lock(&self.lost));
        }
        &self.stored
    }

    /// Stops storing. Recorded outputs stay, and are returned.
    pub(crate) async fn stop(&mut self) -> &StoredOutputs {
        self.halt.cancel();
        self.finish().await
    }
}

impl StoredOutputs {
    async fn collect(mut self, store: OutputStore, mut nodes: mpsc::Receiver<Waiting>) -> Self {
        while let Some((made, _room)) = nodes.recv().await {
            for batch in made.chunks(BATCH_MAX) {
                self.store(&store, batch).await;
                // Closed when the prompt has ended.
                if !nodes.is_closed() && !self.record(&store).await {
                    return self;
                }
            }
        }
        self
    }

    async fn store(&mut self, store: &OutputStore, made: &[NodeOutput]) {
        for one in made {
            if store.cancelled.is_cancelled() || self.outputs.len() >= OUTPUTS_MAX {
                return;
            }
            if let NodeOutput::Value { text, is_short, .. } = one
                && (!is_short || self.text_bytes + text.len() > TEXTS_BYTES_MAX)
            {
                continue;
            }
            if let NodeOutput::File { file, .. } = one
                && self.find(file).is_some()
            {
                self.rewritten.insert(source_of(file));
                continue;
            }
            let stored = store.store(one).await;
            if let (NodeOutput::Picture { .. }, Err(error)) = (one, &stored) {
                let (node_id, key) = one.origin();
                self.lost.push(OutputWarning::dropped(node_id, key, &error.to_string()));
            }
            let reason = match stored {
                // Not what it seems: the end of the prompt decides.
                Ok(StoredOutput { warning: Some(_), .. }) => continue,
                Ok(StoredOutput { output, record, warning: None }) => {
                    self.unregistered.extend(record.map(|record| (record.id, record)));
                    self.push(output);
                    continue;
                }
                Err(StoreError::Retryable(reason)) => Some(reason),
                Err(StoreError::Permanent(_) | StoreError::Missing(_)) => None,
            };
            let (instance, task, attempt) = (&store.instance.target.id, store.task, store.attempt);
            tracing::debug!(%instance, %task, %attempt, reason, "early output not stored; left to the end of the prompt");
        }
    }

    /// Records new outputs in the task, one node at a time. Returns false when the attempt may record nothing more;
    /// outputs that could not be recorded are deleted.
    async fn record(&mut self, store: &OutputStore) -> bool {
        while let Some(first) = self.outputs.get(self.recorded) {
            let rest = &self.outputs[self.recorded..];
            let fresh = &rest[..rest.iter().take_while(|output| output.node_id == first.node_id).count()];
            let (lease, recorded, queue) = (&store.instance.lease, self.recorded, store.instance.queue());
            let ids = fresh.iter().filter_map(|output| output.file_id);
            let files: Vec<FileRecord> = ids.filter_map(|id| self.unregistered.get(&id)).cloned().collect();
            let record =
                || queue.add_outputs_with_files(lease, store.task, store.attempt, recorded, (fresh, files.as_slice()));
            // Not cancellable: an output that may have been recorded must not be deleted.
            let (added, shared) = until_answered(store.call("add_outputs"), record).await;
            match added {
                OutputsAdded::Done => {
                    self.recorded += fresh.len();
                    self.unregistered.retain(|id, _| files.iter().all(|file| file.id != *id));
                    store.share(&shared).await;
                }
                OutputsAdded::Missing(known) if known < recorded => self.recorded = known,
                // Left to the end of the attempt.
                OutputsAdded::Missing(_) | OutputsAdded::Refused(_) => {
                    self.unregistered.clear();
                    let refused = self.outputs.split_off(recorded);
                    self.positions.retain(|_, position| *position < recorded);
                    store.discard(&refused).await;
                    return false;
                }
            }
        }
        true
    }

    fn push(&mut self, output: Output) {
        self.text_bytes += output.text.as_ref().map_or(0, String::len);
        if let Some(source) = &output.source {
            self.positions.entry(source.clone()).or_insert(self.outputs.len());
        }
        self.outputs.push(output);
    }

    fn find(&self, file: &RemoteFile) -> Option<&Output> {
        self.outputs.get(*self.positions.get(&source_of(file))?)
    }

    /// Returns the stored output for `file`, unless the file was written again since.
    pub(crate) fn get(&self, file: &RemoteFile) -> Option<&Output> {
        self.find(file).filter(|output| output.source.as_ref().is_some_and(|source| !self.rewritten.contains(source)))
    }

    /// Returns the registry entry of an output's file, if it is not registered yet.
    pub(crate) fn unregistered(&self, output: &Output) -> Option<&FileRecord> {
        self.unregistered.get(&output.file_id?)
    }

    /// Registers the files that are not registered yet.
    pub(crate) async fn register(&self, store: &OutputStore) {
        for record in self.unregistered.values() {
            store.register(record).await;
        }
    }

    /// Deletes the files that are not registered yet.
    pub(crate) async fn discard_unregistered(&self, store: &OutputStore) {
        let unregistered = self.outputs.iter().filter(|output| self.unregistered(output).is_some());
        store.discard(&unregistered.cloned().collect::<Vec<_>>()).await;
    }

    /// Pictures that were lost.
    pub(crate) fn lost(&self) -> &[OutputWarning] {
        &self.lost
    }

    /// All outputs, in the order they were recorded.
    pub(crate) fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Copies of all outputs in the form that an ended task keeps.
    pub(crate) fn to_outputs(&self) -> Vec<Output> {
        self.outputs.iter().map(|output| Output { source: None, ..output.clone() }).collect()
    }
}

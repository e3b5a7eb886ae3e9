//! Outputs of a prompt that still runs: each is stored as soon as its node has ended, and told.
//!
//! Only a help: what cannot be had now, or of which no sign came, is left to [`collect`](super::collect). It runs beside the
//! attempt, one download at a time, and nothing waits for it before the prompt has ended.

use super::{
    scene::until_answered,
    shelf::{Shelf, Unstored, source_of},
};
use crate::{
    comfy::{Made, RemoteFile},
    queue::Told,
    task::Output,
};
use std::collections::HashSet;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Nodes whose outputs wait for their turn; of more the end tells.
const NODES_WAITING_MAX: usize = 64;
/// Outputs told at once.
const TOLD_AT_ONCE: usize = 16;
/// Outputs of one task that are told early.
const TOLD_MAX: usize = 4_096;

/// The one who stores early.
pub(super) struct Early {
    nodes: mpsc::Sender<Vec<Made>>,
    halt: CancellationToken,
    worker: AbortOnDropHandle<Stock>,
}

/// What was stored early, in the order it was told.
#[derive(Default)]
pub(super) struct Stock {
    outputs: Vec<Output>,
    /// So many of them the task has.
    told: usize,
    /// Files that were made again, under the same name.
    made_again: HashSet<String>,
}

impl Early {
    /// `before`: what the task has already, from an earlier owner.
    pub(super) fn begin(mut shelf: Shelf, before: Vec<Output>) -> Self {
        let (nodes, waiting) = mpsc::channel(NODES_WAITING_MAX);
        let halt = shelf.unwanted.child_token();
        shelf.unwanted = halt.clone();
        let stock = Stock { told: before.len(), outputs: before, made_again: HashSet::new() };
        let worker = AbortOnDropHandle::new(tokio::spawn(stock.fill(shelf, waiting)));
        Self { nodes, halt, worker }
    }

    /// A node has ended.
    pub(super) fn hear(&self, made: Vec<Made>) {
        if !made.is_empty() && self.nodes.try_send(made).is_err() {
            tracing::debug!("outputs are left to the end of the prompt");
        }
    }

    /// After the prompt's end: what waits is stored, too.
    pub(super) async fn finish(self) -> Stock {
        drop(self.nodes);
        self.worker.await.unwrap_or_default()
    }

    /// Nothing more is stored; what was told stays.
    pub(super) async fn give_up(self) -> Stock {
        self.halt.cancel();
        self.finish().await
    }
}

impl Stock {
    async fn fill(mut self, shelf: Shelf, mut nodes: mpsc::Receiver<Vec<Made>>) -> Self {
        while let Some(made) = nodes.recv().await {
            for some in made.chunks(TOLD_AT_ONCE) {
                self.store(&shelf, some).await;
                if !self.tell(&shelf).await {
                    return self;
                }
            }
        }
        self
    }

    async fn store(&mut self, shelf: &Shelf, made: &[Made]) {
        for one in made {
            if shelf.unwanted.is_cancelled() || self.outputs.len() >= TOLD_MAX {
                return;
            }
            if let Made::File { file, .. } = one
                && self.find(file).is_some()
            {
                self.made_again.insert(source_of(file));
                continue;
            }
            match shelf.store(one).await {
                Ok(output) => self.outputs.push(output),
                Err(Unstored::Again(why)) => tracing::debug!(task = %shelf.task, why, "an output is left to the end"),
                Err(Unstored::Never(_)) => tracing::debug!(task = %shelf.task, "an output is left to the end"),
            }
        }
    }

    /// Tells what is not told yet, a node at a time; false when nothing of this attempt may be told any more. What could not
    /// be told is deleted.
    async fn tell(&mut self, shelf: &Shelf) -> bool {
        while let Some(first) = self.outputs.get(self.told) {
            let rest = &self.outputs[self.told..];
            let fresh = &rest[..rest.iter().take_while(|output| output.node_id == first.node_id).count()];
            let (lease, told) = (&shelf.instance.lease, self.told);
            let tell = || shelf.instance.queue().tell_outputs(lease, shelf.task, shelf.attempt, told, fresh);
            // Not to be broken off: what may have been told must not be deleted.
            match until_answered(tell).await {
                Told::Done => self.told += fresh.len(),
                Told::Missing(known) if known < told => self.told = known,
                // The end tells.
                Told::Missing(_) | Told::Refused(_) => {
                    shelf.discard(&self.outputs.split_off(told)).await;
                    return false;
                }
            }
        }
        true
    }

    fn find(&self, file: &RemoteFile) -> Option<&Output> {
        let source = source_of(file);
        self.outputs.iter().find(|output| output.source.as_ref() == Some(&source))
    }

    /// The file as it was stored, unless it was made again since.
    pub(super) fn get(&self, file: &RemoteFile) -> Option<&Output> {
        self.find(file).filter(|output| output.source.as_ref().is_some_and(|source| !self.made_again.contains(source)))
    }

    /// Everything, in the order it was told.
    pub(super) fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The same, as a task ends with it.
    pub(super) fn left(&self) -> Vec<Output> {
        self.outputs.iter().map(|output| Output { source: None, ..output.clone() }).collect()
    }
}

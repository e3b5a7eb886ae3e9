//! What a prompt made, once it has ended: everything that was not stored as it came, and all of it in the order of the graph.

use super::{
    early::Stock,
    scene::{Exit, until_answered},
    shelf::{Shelf, Unstored, source_of, unavailable},
};
use crate::{
    comfy::Made,
    task::{Failure, FailureKind, FileId, Output},
};
use std::{collections::HashSet, time::Duration};

/// Outputs of one task; what is beyond is a failure that says so.
const OUTPUTS_MAX: usize = 10_000;
/// Tries to fetch one file: a cut download costs less than another run of the prompt.
const FETCHES_MAX: u32 = 4;
/// Pause before the second try; it doubles.
const FETCH_PAUSE: Duration = Duration::from_millis(250);

/// What the attempt ends with.
pub(super) struct Collected {
    /// In the order of the graph.
    pub(super) outputs: Vec<Output>,
    /// Files stored by this call.
    pub(super) fresh: Vec<Output>,
    /// Files that were stored early and have been replaced.
    pub(super) replaced: Vec<Output>,
}

/// Everything, or nothing: on a failure what was stored by this call is deleted again.
pub(super) async fn collect(shelf: &Shelf, made: &[Made], stock: &Stock) -> Result<Collected, Exit> {
    if made.len() > OUTPUTS_MAX {
        let message = format!("{} outputs are more than the {OUTPUTS_MAX} that a task may have", made.len());
        return Err(Exit::failed(Failure::new(FailureKind::OutputTooLarge, message)));
    }
    let mut gathering = Gathering::begin(shelf, stock).await;
    for one in made {
        if let Err(exit) = gathering.take(one).await {
            shelf.discard(&gathering.fresh).await;
            return Err(exit);
        }
    }
    Ok(gathering.end())
}

/// What can be had of a failed prompt.
pub(super) async fn collect_some(shelf: &Shelf, made: &[Made], stock: &Stock) -> Collected {
    let mut gathering = Gathering::begin(shelf, stock).await;
    for one in made.iter().take(OUTPUTS_MAX) {
        // Left out: why it failed is more than why this is not there.
        if gathering.take(one).await.is_err() {
            tracing::debug!(task = %shelf.task, "an output of a failed prompt cannot be had");
        }
    }
    gathering.end()
}

struct Gathering<'a> {
    shelf: &'a Shelf,
    stock: &'a Stock,
    /// Stored early, and not registered any more: a Redis that came back without its last moments, or somebody deleted it.
    gone: HashSet<FileId>,
    /// Files that the history names.
    named: HashSet<String>,
    outputs: Vec<Output>,
    fresh: Vec<Output>,
}

impl<'a> Gathering<'a> {
    async fn begin(shelf: &'a Shelf, stock: &'a Stock) -> Self {
        let mut gone = HashSet::new();
        for id in stock.outputs().iter().filter_map(|output| output.file_id) {
            if until_answered(|| shelf.instance.queue().file(id)).await.is_none() {
                gone.insert(id);
            }
        }
        Self { shelf, stock, gone, named: HashSet::new(), outputs: Vec::new(), fresh: Vec::new() }
    }

    async fn take(&mut self, made: &Made) -> Result<(), Exit> {
        if self.shelf.unwanted.is_cancelled() {
            return Err(Exit::NotOurs);
        }
        if let Made::File { node_id, file, .. } = made {
            self.named.insert(source_of(file));
            if let Some(known) = self.stock.get(file).filter(|known| self.is_there(known)) {
                self.outputs.push(Output { node_id: node_id.clone(), source: None, ..known.clone() });
                return Ok(());
            }
        }
        let output = Output { source: None, ..fetch(self.shelf, made).await? };
        if output.file_id.is_some() {
            self.fresh.push(output.clone());
        }
        self.outputs.push(output);
        Ok(())
    }

    fn is_there(&self, known: &Output) -> bool {
        known.file_id.is_some_and(|id| !self.gone.contains(&id))
    }

    fn end(mut self) -> Collected {
        let used: HashSet<FileId> = self.outputs.iter().filter_map(|output| output.file_id).collect();
        let is_left = |output: &&Output| output.file_id.is_some_and(|id| !used.contains(&id));
        let left = self.stock.outputs().iter().filter(is_left).cloned();
        // An instance without a cache tells what a node made and leaves it out of its history (protocol §9).
        let (replaced, forgotten): (Vec<Output>, Vec<Output>) = left.partition(|output| {
            !self.is_there(output) || output.source.as_ref().is_none_or(|source| self.named.contains(source))
        });
        self.outputs.extend(forgotten.into_iter().map(|output| Output { source: None, ..output }));
        Collected { outputs: self.outputs, fresh: self.fresh, replaced }
    }
}

async fn fetch(shelf: &Shelf, made: &Made) -> Result<Output, Exit> {
    let mut pause = FETCH_PAUSE;
    for _ in 1..FETCHES_MAX {
        match shelf.store(made).await {
            Ok(output) => return Ok(output),
            Err(Unstored::Never(exit)) => return Err(exit),
            Err(Unstored::Again(why)) => {
                tracing::debug!(instance = %shelf.instance.target.id, task = %shelf.task, why, "fetching an output again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause *= 2,
            () = shelf.unwanted.cancelled() => return Err(Exit::NotOurs),
        }
    }
    shelf.store(made).await.map_err(|unstored| match (unstored, made) {
        (Unstored::Never(exit), _) => exit,
        (Unstored::Again(why), Made::File { file, .. }) => unavailable(file, &why),
        (Unstored::Again(why), Made::Text { .. }) => Exit::failed(Failure::new(FailureKind::OutputUnavailable, why)),
    })
}

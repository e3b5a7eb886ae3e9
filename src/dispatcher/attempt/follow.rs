//! Follows a submitted prompt to its end. WebSocket events are hints; the instance's REST answers are the truth.

use super::{
    context::AttemptContext,
    outputs::early_outputs::EarlyCollector,
    record_progress::ProgressRecorder,
    recover::PriorRun,
    stage_error::StageError,
    watchdog::{Watchdog, dead_worker::AnnouncedEnd, last_words::LastWords},
};
use crate::{
    comfy::{Client, Error, NodeWeights, ProgressTracker, PromptEvent, PromptResult, PromptStatus},
    graph::Workflow,
    task::{Failure, FailureKind},
};
use std::{collections::HashSet, time::Duration};
use tokio::time::Instant;

/// Poll interval for a prompt whose events arrive.
const POLL_INTERVAL: Duration = Duration::from_secs(3);
/// Poll interval while the instance does not answer.
const POLL_INTERVAL_AWAY: Duration = Duration::from_secs(1);

/// Longest wait for the pictures of a prompt that has ended: they come over the WebSocket, its end was seen otherwise.
const PICTURES_WAIT_MAX: Duration = Duration::from_secs(2);

/// The end of a prompt at its instance.
pub(crate) struct Finished {
    pub(crate) ending: PromptResult,
    /// Start of the execution, as far as this process saw it.
    pub(crate) began: Option<Instant>,
    /// Whether Redis has recorded the start.
    pub(crate) is_start_recorded: bool,
}

/// The state of a followed prompt.
struct Follower {
    /// A client that reads the history of this graph.
    client: Client,
    tracker: ProgressTracker,
    /// Start of the execution.
    began: Option<Instant>,
    recorder: ProgressRecorder,
    next_look: Instant,
    /// Whether the last look did not find the prompt.
    was_unknown: bool,
    /// Whether the prompt was seen waiting in the instance's queue.
    was_pending: bool,
    watchdog: Watchdog,
    /// Nodes whose pictures are results; read from the graph at the first picture.
    picture_senders: Option<HashSet<String>>,
    said: LastWords,
    announced: AnnouncedEnd,
}

/// Follows the prompt until it has an entry in the history, or cannot get one any more.
///
/// `prior` is the execution under an earlier owner; `is_own` says that this process submitted the prompt. `early` receives the outputs of nodes that have ended.
pub(crate) async fn follow(
    context: &mut AttemptContext,
    (prior, is_own): (Option<PriorRun>, bool),
    early: &EarlyCollector,
) -> Result<Finished, StageError> {
    let mut follower = Follower::new(context, prior, is_own);
    let ending = follower.run(context, early).await?;
    // The last node may have ended without an event.
    follower.apply(&PromptEvent::Ended(context.prompt));
    context.node_times = NodeWeights::merge(&context.claim.node_times, follower.tracker.node_times());
    // The writer drops what it has not written: the end of the task records the rest.
    let ending = context.keys.masked_ending(ending);
    Ok(Finished { ending, began: follower.began, is_start_recorded: follower.recorder.is_start_recorded() })
}

/// Weights of the nodes: the times of earlier runs, or before the first run their steps.
fn weights(context: &AttemptContext) -> NodeWeights {
    let steps = || context.workflow.as_ref().map(Workflow::steps_of_nodes).unwrap_or_default();
    NodeWeights::of_times(&context.claim.node_times).unwrap_or_else(|| NodeWeights::of_steps(steps()))
}

/// The end of an attempt whose result is too long. It would be so in every other attempt.
fn too_long(reason: String) -> StageError {
    StageError::failed(Failure::new(FailureKind::OutputTooLarge, reason))
}

impl Follower {
    fn new(context: &AttemptContext, prior: Option<PriorRun>, is_own: bool) -> Self {
        let now = Instant::now();
        let has_begun = prior.is_some();
        let nodes = context.workflow.iter().flat_map(|workflow| workflow.node_ids()).map(str::to_owned);
        let tracker = ProgressTracker::new(context.prompt, nodes).weighted(weights(context));
        let tracker = match &prior {
            Some(prior) => tracker.resumed(&prior.progress),
            None => tracker,
        };
        Self {
            client: context.instance.client.for_graph(context.claim.payload.workflow.get().len()),
            tracker,
            said: match &prior {
                None if is_own => LastWords::of_own(),
                prior => LastWords::of_node(prior.as_ref().and_then(|prior| prior.progress.current_node.clone())),
            },
            began: prior.map(|prior| now.checked_sub(prior.elapsed).unwrap_or(now)),
            recorder: ProgressRecorder::new(has_begun),
            next_look: now + if has_begun { Duration::ZERO } else { POLL_INTERVAL },
            was_unknown: false,
            was_pending: false,
            watchdog: Watchdog::new(now, context.stall_timeout()),
            picture_senders: None,
            announced: AnnouncedEnd::default(),
        }
    }

    async fn run(&mut self, context: &mut AttemptContext, early: &EarlyCollector) -> Result<PromptResult, StageError> {
        loop {
            let wake = self.next_wake(context);
            tokio::select! {
                () = context.signals.cancelled.cancelled() => return Err(StageError::NotOurs),
                event = context.signals.events.next() => match event {
                    Some(event @ (PromptEvent::Ended(_) | PromptEvent::Failed { .. })) => {
                        self.watchdog.see_life();
                        self.announced.record(&event, &self.tracker);
                        if let Some(ending) = self.ending(context).await? {
                            return Ok(ending);
                        }
                    }
                    Some(mut event) => {
                        if let PromptEvent::Executed { outputs: made, .. } = &mut event {
                            early.offer(std::mem::take(made));
                        }
                        self.take_picture(context, early, &mut event);
                        context.spans.on_event(&event);
                        self.on_event(&event);
                    }
                    // The actor is gone and ends this run, too.
                    None => return Err(StageError::LeaseLost),
                },
                written = self.recorder.answered() => self.recorder.on_written(context, written).await?,
                () = tokio::time::sleep_until(wake) => {}
            }
            self.recorder.write(context, self.began, &self.tracker);
            if let Some(ending) = self.look(context).await? {
                self.take_last_pictures(context, early).await;
                return Ok(ending);
            }
            if self.announced.is_overdue(context)
                && self.watchdog.is_seen_running()
                && let Some(ending) = self.unrecorded_end(context).await?
            {
                return Ok(ending);
            }
            if let Some(began) = self.began {
                self.watchdog.check(context, began, &self.said).await?;
            }
        }
    }

    /// Reads the ending after the end event, which arrives a moment before the history entry (protocol §3).
    async fn ending(&self, context: &AttemptContext) -> Result<Option<PromptResult>, StageError> {
        match self.client.result(context.prompt).await {
            Ok(PromptStatus::Ended(ending)) => Ok(Some(*ending)),
            Err(Error::TooLong(reason)) => Err(too_long(reason)),
            // Not ended after all, or the instance does not answer: the next look decides.
            Ok(PromptStatus::Pending | PromptStatus::Running | PromptStatus::Unknown) | Err(_) => Ok(None),
        }
    }

    /// Looks once more, then ends a prompt whose worker died.
    async fn unrecorded_end(&mut self, context: &AttemptContext) -> Result<Option<PromptResult>, StageError> {
        match self.client.result(context.prompt).await {
            Ok(PromptStatus::Ended(ending)) => Ok(Some(*ending)),
            Ok(PromptStatus::Running) => Ok(Some(self.announced.result(context).await)),
            Err(Error::TooLong(reason)) => Err(too_long(reason)),
            Ok(PromptStatus::Pending | PromptStatus::Unknown) | Err(_) => Ok(None),
        }
    }

    fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    fn on_event(&mut self, event: &PromptEvent) {
        self.watchdog.see_life();
        self.begin();
        self.said.record(event);
        if self.apply(event) {
            self.recorder.changed();
        }
        self.announced.record(event, &self.tracker);
    }

    /// Applies an event to the progress, at the present time; returns whether the progress changed.
    fn apply(&mut self, event: &PromptEvent) -> bool {
        self.tracker.at(self.began.map_or(Duration::ZERO, |began| began.elapsed()));
        self.tracker.apply(event)
    }

    /// Passes on a picture that is a result.
    fn take_picture(&mut self, context: &AttemptContext, early: &EarlyCollector, event: &mut PromptEvent) {
        if let PromptEvent::Picture { node, picture, .. } = event
            && let Some(node_id) = self.picture_sender(context, node)
        {
            early.offer_picture(node_id, picture.take());
        }
    }

    /// Takes the pictures that were sent before the end, if a look saw the end before its event arrived.
    async fn take_last_pictures(&mut self, context: &mut AttemptContext, early: &EarlyCollector) {
        if context.workflow.as_ref().is_none_or(|workflow| workflow.declared_picture_senders().is_empty()) {
            return;
        }
        let deadline = Instant::now() + PICTURES_WAIT_MAX;
        while let Ok(Some(mut event)) = tokio::time::timeout_at(deadline, context.signals.events.next()).await {
            if matches!(event, PromptEvent::Ended(_) | PromptEvent::Failed { .. }) {
                return;
            }
            self.take_picture(context, early, &mut event);
        }
    }

    /// Returns the node of the graph that sent a picture as its result; `None` if the picture is a preview.
    fn picture_sender(&mut self, context: &AttemptContext, node: &str) -> Option<String> {
        let read = || context.workflow.as_ref().map(Workflow::picture_senders).unwrap_or_default();
        let senders = self.picture_senders.get_or_insert_with(read);
        // Expanded nodes have ids such as `1.0.0.1`.
        let own = node.split('.').next().unwrap_or(node);
        [node, own].into_iter().find(|id| senders.contains(*id)).map(str::to_owned)
    }

    fn next_wake(&self, context: &AttemptContext) -> Instant {
        let mut wake = self.next_look;
        if let Some(at) = self.recorder.next_write(self.began) {
            wake = wake.min(at);
        }
        match self.began {
            Some(began) => wake.min(self.watchdog.next_wake(context, began, &self.said)),
            None => wake,
        }
    }

    /// Looks at the instance when a look is due.
    async fn look(&mut self, context: &AttemptContext) -> Result<Option<PromptResult>, StageError> {
        if Instant::now() < self.next_look {
            return Ok(None);
        }
        let sighting = self.client.status(context.prompt).await;
        self.next_look = Instant::now() + POLL_INTERVAL;
        match sighting {
            Ok(sighting) => {
                if context.may_have_copy && matches!(sighting, PromptStatus::Running | PromptStatus::Pending) {
                    delete_duplicate(context).await;
                }
                self.watchdog.answered();
                self.was_unknown &= matches!(sighting, PromptStatus::Unknown);
                self.on_sighting(context, sighting).await
            }
            Err(Error::TooLong(reason)) => Err(too_long(reason)),
            Err(Error::Unreadable(reason)) => {
                self.next_look = Instant::now() + POLL_INTERVAL_AWAY;
                self.watchdog.on_unreadable(context, &reason)?;
                Ok(None)
            }
            Err(error) => {
                self.next_look = Instant::now() + POLL_INTERVAL_AWAY;
                let had_begun = self.began.is_some() || self.was_next(context);
                self.watchdog.on_unreachable(context, &error, had_begun).await?;
                Ok(None)
            }
        }
    }

    /// Whether no other prompt of ours was ahead when the prompt was last seen. An instance that dies then probably
    /// died of this prompt: its last events, the start included, are lost with the process.
    fn was_next(&self, context: &AttemptContext) -> bool {
        !self.was_pending && context.instance.occupied() <= 1
    }

    async fn on_sighting(
        &mut self,
        context: &AttemptContext,
        sighting: PromptStatus,
    ) -> Result<Option<PromptResult>, StageError> {
        match sighting {
            PromptStatus::Ended(ending) => {
                self.begin();
                return Ok(Some(*ending));
            }
            PromptStatus::Running => {
                if self.began.is_none() {
                    self.watchdog.see_life();
                    self.begin();
                }
                context.instance.set_foreign_before(0);
                self.watchdog.on_running();
            }
            PromptStatus::Pending => {
                self.was_pending = true;
                self.watchdog.check_zombie(context).await?;
            }
            PromptStatus::Unknown if self.was_unknown => {
                let reason = "the instance lost the prompt: it restarted, or its queue was cleared".to_owned();
                let had_begun = self.began.is_some() || (self.watchdog.was_away() && self.was_next(context));
                return Err(StageError::PromptLost { had_begun, reason });
            }
            // Two looks in a row must agree.
            PromptStatus::Unknown => {
                self.was_unknown = true;
                self.next_look = Instant::now() + POLL_INTERVAL_AWAY / 2;
            }
        }
        Ok(None)
    }
}

/// Removes a second copy of the prompt: a POST of a former owner, or one that broke off, may have arrived after the
/// first.
async fn delete_duplicate(context: &AttemptContext) {
    let (instance, prompt) = (&context.instance, context.prompt);
    if !instance.clock.may_act() {
        return;
    }
    match instance.client.delete_duplicate(prompt).await {
        Ok(true) => {
            tracing::warn!(instance = %instance.target.id, task = %context.claim.task, attempt = %context.claim.attempt, %prompt, "prompt was queued twice; one copy dropped");
        }
        Ok(false) => {}
        Err(error) => {
            tracing::debug!(instance = %instance.target.id, %prompt, %error, "check for a second copy failed; retrying");
        }
    }
}

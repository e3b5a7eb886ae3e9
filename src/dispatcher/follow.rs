//! Follows a submitted prompt to its end. The socket gives hints; the instance's REST answers are the truth.

use super::{
    attach::take_back,
    find::Begun,
    scene::{Exit, Scene},
    watchdog::Watchdog,
};
use crate::{
    comfy::{Ending, Sighting, Sign, Tracker},
    graph::Workflow,
    metrics,
    queue::Written,
};
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks at a prompt that the socket reports on.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Between two looks at an instance that did not answer.
const LOOK_AWAY: Duration = Duration::from_secs(1);
/// Progress is written at most so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// What is known of the prompt so far.
struct Watch {
    tracker: Tracker,
    /// Execution began at.
    begun: Option<Instant>,
    /// Redis knows that it began.
    begin_is_told: bool,
    /// Progress not yet written.
    is_dirty: bool,
    flushed: Instant,
    next_look: Instant,
    was_unknown: bool,
    /// It was seen to wait in the instance's queue.
    was_pending: bool,
    /// When to give it up.
    dog: Watchdog,
}

/// Follows until the prompt has an entry in history, or cannot get one.
///
/// `before`: it was seen to run before, by another owner.
pub(super) async fn follow(scene: &mut Scene, before: Option<Begun>) -> Result<Ending, Exit> {
    let now = Instant::now();
    let has_begun = before.is_some();
    let nodes: Vec<String> = Workflow::from_stored(&scene.claim.payload.workflow)
        .map(|workflow| workflow.node_ids().into_iter().map(str::to_owned).collect())
        .unwrap_or_default();
    let tracker = match &before {
        Some(before) => Tracker::resumed(scene.prompt, nodes, &before.progress),
        None => Tracker::new(scene.prompt, nodes),
    };
    let mut watch = Watch {
        tracker,
        begun: before.as_ref().map(|before| now.checked_sub(before.ago).unwrap_or(now)),
        begin_is_told: has_begun,
        is_dirty: false,
        flushed: now - PROGRESS_EVERY,
        next_look: now + if has_begun { Duration::ZERO } else { LOOK_EVERY },
        was_unknown: false,
        was_pending: false,
        dog: Watchdog::new(now, scene.stall_timeout()),
    };
    loop {
        let wake = watch.next_wake(scene);
        tokio::select! {
            () = scene.ears.cancelled.cancelled() => return Err(Exit::NotOurs),
            sign = scene.ears.signs.recv() => match sign {
                Some(Sign::Ended(_)) => {
                    watch.dog.see_life();
                    if let Some(ending) = ended(scene).await {
                        watch.tell(scene).await?;
                        scene.begun = watch.begun;
                        return Ok(ending);
                    }
                }
                Some(mut sign) => {
                    if let (Sign::Executed { made, .. }, Some(early)) = (&mut sign, &scene.early) {
                        early.hear(std::mem::take(made));
                    }
                    scene.spans.hear(&sign);
                    watch.hear(&sign);
                }
                // The actor is gone; it ends us too.
                None => return Err(Exit::LeaseLost),
            },
            () = tokio::time::sleep_until(wake) => {}
        }
        watch.tell(scene).await?;
        if let Some(ending) = watch.look(scene).await? {
            watch.tell(scene).await?;
            scene.begun = watch.begun;
            return Ok(ending);
        }
        if let Some(begun) = watch.begun {
            watch.dog.judge(scene, begun).await?;
        }
    }
}

/// The end sign comes a moment before the history entry (protocol §3).
async fn ended(scene: &Scene) -> Option<Ending> {
    match scene.instance.client.ending(scene.prompt).await {
        Ok(Sighting::Ended(ending)) => Some(ending),
        // Not ended after all, or away: the next look tells.
        Ok(Sighting::Pending | Sighting::Running | Sighting::Unknown) | Err(_) => None,
    }
}

impl Watch {
    fn begin(&mut self) {
        self.begun.get_or_insert_with(Instant::now);
    }

    fn hear(&mut self, sign: &Sign) {
        self.dog.see_life();
        self.begin();
        self.is_dirty |= self.tracker.see(sign);
    }

    fn next_wake(&self, scene: &Scene) -> Instant {
        let mut wake = self.next_look;
        if self.is_dirty || (self.begun.is_some() && !self.begin_is_told) {
            wake = wake.min(self.flushed + PROGRESS_EVERY);
        }
        match self.begun {
            Some(begun) => wake.min(self.dog.next_wake(scene, begun)),
            None => wake,
        }
    }

    /// Tells Redis the beginning and the progress. Without an answer it is told at the next turn.
    async fn tell(&mut self, scene: &Scene) -> Result<(), Exit> {
        let (queue, lease) = (scene.instance.queue(), &scene.instance.lease);
        let (task, attempt) = (scene.claim.task, scene.claim.attempt);
        if self.begun.is_some() && !self.begin_is_told {
            match queue.start(lease, task, attempt).await {
                Ok(written) => {
                    self.begin_is_told = written != Written::NotThisAttempt;
                    accepted(scene, written).await?;
                    if self.begin_is_told {
                        metrics::task_waited(scene.claim.waited);
                    }
                }
                Err(error) => {
                    tracing::warn!(%task, %error, "the beginning could not be told");
                    self.flushed = Instant::now();
                    return Ok(());
                }
            }
        }
        if self.is_dirty && self.begin_is_told && self.flushed.elapsed() >= PROGRESS_EVERY {
            self.flushed = Instant::now();
            match queue.progress(lease, task, attempt, &self.tracker.progress()).await {
                Ok(written) => {
                    self.is_dirty = false;
                    accepted(scene, written).await?;
                }
                Err(error) => tracing::debug!(%task, %error, "progress could not be told"),
            }
        }
        Ok(())
    }

    /// Looks at the instance when it is time.
    async fn look(&mut self, scene: &Scene) -> Result<Option<Ending>, Exit> {
        if Instant::now() < self.next_look {
            return Ok(None);
        }
        let sighting = scene.instance.client.look(scene.prompt).await;
        self.next_look = Instant::now() + LOOK_EVERY;
        match sighting {
            Ok(sighting) => {
                if scene.may_have_copy && matches!(sighting, Sighting::Running | Sighting::Pending) {
                    drop_copy(scene).await;
                }
                self.dog.answered();
                self.was_unknown &= matches!(sighting, Sighting::Unknown);
                self.weigh(scene, sighting).await
            }
            Err(error) => {
                self.next_look = Instant::now() + LOOK_AWAY;
                let had_begun = self.begun.is_some() || self.was_next(scene);
                self.dog.stay_away(scene, &error, had_begun).await?;
                Ok(None)
            }
        }
    }

    /// Whether nothing of ours was before it when it was last seen. An instance that dies then has probably died of it: what
    /// the process wanted to say last dies with it, the beginning included.
    fn was_next(&self, scene: &Scene) -> bool {
        !self.was_pending && scene.instance.occupied() <= 1
    }

    async fn weigh(&mut self, scene: &Scene, sighting: Sighting) -> Result<Option<Ending>, Exit> {
        match sighting {
            Sighting::Ended(ending) => {
                self.begin();
                return Ok(Some(ending));
            }
            Sighting::Running => {
                if self.begun.is_none() {
                    self.dog.see_life();
                    self.begin();
                }
                self.dog.works();
            }
            Sighting::Pending => {
                self.was_pending = true;
                self.dog.suspect_zombie(scene).await?;
            }
            Sighting::Unknown if self.was_unknown => {
                let reason =
                    "the instance has forgotten the prompt: it restarted, or somebody cleared its queue".to_owned();
                let had_begun = self.begun.is_some() || (self.dog.was_away() && self.was_next(scene));
                return Err(Exit::Lost { had_begun, reason });
            }
            // Said twice, it is true.
            Sighting::Unknown => {
                self.was_unknown = true;
                self.next_look = Instant::now() + LOOK_AWAY / 2;
            }
        }
        Ok(None)
    }
}

/// A request of a former owner, or one that broke off, may have come after the one that counts.
async fn drop_copy(scene: &Scene) {
    let (instance, prompt) = (&scene.instance, scene.prompt);
    if !instance.clock.may_act() {
        return;
    }
    match instance.client.drop_copy(prompt).await {
        Ok(true) => {
            tracing::warn!(instance = %instance.target.id, %prompt, "the prompt was queued twice; one is dropped")
        }
        Ok(false) => {}
        Err(error) => tracing::debug!(instance = %instance.target.id, %prompt, %error, "copies are looked for again"),
    }
}

async fn accepted(scene: &Scene, written: Written) -> Result<(), Exit> {
    match written {
        Written::Done | Written::Retrying => Ok(()),
        Written::NotThisAttempt if take_back(&scene.instance, scene.claim.task, scene.claim.attempt).await => Ok(()),
        Written::AlreadyEnded(_) | Written::NotThisAttempt => Err(Exit::NotOurs),
        Written::Fenced => Err(Exit::LeaseLost),
    }
}

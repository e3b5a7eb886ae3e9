//! Follows a submitted prompt to its end. The socket gives hints; the instance's REST answers are the truth.

use super::{
    clear::clear,
    find::Begun,
    lease_clock::since_boot,
    scene::{Exit, Scene},
};
use crate::{
    comfy::{Ending, Error, Sighting, Sign, Tracker},
    graph::Workflow,
    metrics,
    queue::Written,
    task::{Failure, FailureKind},
};
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks at a prompt that the socket reports on.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Between two looks at an instance that did not answer.
const LOOK_AWAY: Duration = Duration::from_secs(1);
/// Progress is written at most so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// A running prompt whose socket is silent for so long gets a new socket; the pause doubles each time.
const MUTE_AFTER: Duration = Duration::from_secs(10);
/// An instance that has prompts waiting but runs none for so long is a zombie (its pauses are below a second).
const ZOMBIE_AFTER: Duration = Duration::from_secs(15);
/// An interrupted prompt is waited for so long before the attempt is given up all the same.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// What is known of the prompt so far.
struct Watch {
    tracker: Tracker,
    /// Percent that was shown before us: progress never falls.
    floor: u8,
    /// Execution began at.
    begun: Option<Instant>,
    /// Redis knows that it began.
    begin_is_told: bool,
    /// Progress not yet written.
    is_dirty: bool,
    flushed: Instant,
    last_life: Instant,
    next_look: Instant,
    next_mute: Instant,
    mute_pause: Duration,
    /// The instance does not answer since.
    away_since: Option<Instant>,
    /// The prompt waits while nothing runs, since.
    idle_since: Option<Instant>,
    was_unknown: bool,
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
    let mut watch = Watch {
        tracker: Tracker::new(scene.prompt, nodes),
        floor: before.map_or(0, |before| before.percent),
        begun: before.map(|before| now.checked_sub(before.ago).unwrap_or(now)),
        begin_is_told: has_begun,
        is_dirty: false,
        flushed: now - PROGRESS_EVERY,
        last_life: now,
        next_look: now + if has_begun { Duration::ZERO } else { LOOK_EVERY },
        next_mute: now + MUTE_AFTER,
        mute_pause: MUTE_AFTER,
        away_since: None,
        idle_since: None,
        was_unknown: false,
    };
    loop {
        let wake = watch.next_wake(scene);
        tokio::select! {
            () = scene.ears.cancelled.cancelled() => return Err(Exit::NotOurs),
            sign = scene.ears.signs.recv() => match sign {
                Some(Sign::Ended(_)) => {
                    watch.alive();
                    if let Some(ending) = ended(scene).await {
                        watch.tell(scene).await?;
                        scene.begun = watch.begun;
                        return Ok(ending);
                    }
                }
                Some(sign) => watch.hear(&sign),
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
        watch.judge(scene).await?;
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
    fn alive(&mut self) {
        let now = Instant::now();
        self.last_life = now;
        self.next_mute = now + MUTE_AFTER;
        self.mute_pause = MUTE_AFTER;
    }

    fn begin(&mut self) {
        self.begun.get_or_insert_with(Instant::now);
    }

    fn hear(&mut self, sign: &Sign) {
        self.alive();
        if !matches!(sign, Sign::QueueRemaining(_)) {
            self.begin();
        }
        self.is_dirty |= self.tracker.see(sign);
    }

    fn next_wake(&self, scene: &Scene) -> Instant {
        let mut wake = self.next_look;
        if self.is_dirty || (self.begun.is_some() && !self.begin_is_told) {
            wake = wake.min(self.flushed + PROGRESS_EVERY);
        }
        if let Some(begun) = self.begun {
            wake = wake.min(self.next_mute).min(self.last_life + scene.stall_timeout());
            if let Some(timeout) = scene.claim.timeout {
                wake = wake.min(begun + timeout);
            }
        }
        wake
    }

    /// Tells Redis the beginning and the progress. Without an answer it is told at the next turn.
    async fn tell(&mut self, scene: &Scene) -> Result<(), Exit> {
        let (queue, lease) = (scene.instance.queue(), &scene.instance.lease);
        let (task, attempt) = (scene.claim.task, scene.claim.attempt);
        if self.begun.is_some() && !self.begin_is_told {
            match queue.start(lease, task, attempt).await {
                Ok(written) => {
                    self.begin_is_told = true;
                    accepted(written)?;
                    metrics::task_waited(scene.claim.waited);
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
            let mut progress = self.tracker.progress();
            progress.percent = progress.percent.max(self.floor);
            match queue.progress(lease, task, attempt, &progress).await {
                Ok(written) => {
                    self.is_dirty = false;
                    accepted(written)?;
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
                self.away_since = None;
                self.was_unknown &= matches!(sighting, Sighting::Unknown);
                self.weigh(scene, sighting).await
            }
            Err(error) => {
                self.next_look = Instant::now() + LOOK_AWAY;
                self.stay_away(scene, &error)?;
                Ok(None)
            }
        }
    }

    async fn weigh(&mut self, scene: &Scene, sighting: Sighting) -> Result<Option<Ending>, Exit> {
        match sighting {
            Sighting::Ended(ending) => {
                self.begin();
                return Ok(Some(ending));
            }
            Sighting::Running => {
                if self.begun.is_none() {
                    self.alive();
                    self.begin();
                }
                self.idle_since = None;
            }
            Sighting::Pending => self.suspect_zombie(scene).await?,
            Sighting::Unknown if self.was_unknown => {
                let reason =
                    "the instance has forgotten the prompt: it restarted, or somebody cleared its queue".to_owned();
                return Err(Exit::Lost { had_begun: self.begun.is_some(), reason });
            }
            // Said twice, it is true.
            Sighting::Unknown => {
                self.was_unknown = true;
                self.next_look = Instant::now() + LOOK_AWAY / 2;
            }
        }
        Ok(None)
    }

    /// Waits for an instance that does not answer, but not for ever.
    fn stay_away(&mut self, scene: &Scene, error: &Error) -> Result<(), Exit> {
        scene.instance.check_now.notify_one();
        let since = *self.away_since.get_or_insert_with(Instant::now);
        if since.elapsed() < scene.instance.shared.parts.settings.gone_after {
            return Ok(());
        }
        scene.instance.remember_stray(scene.prompt);
        let reason = format!("the instance has been away for {} s: {error}", since.elapsed().as_secs());
        Err(Exit::Lost { had_begun: self.begun.is_some(), reason })
    }

    /// Prompts waiting and none running: the instance's worker thread may be dead though its HTTP answers (protocol §10).
    async fn suspect_zombie(&mut self, scene: &Scene) -> Result<(), Exit> {
        let Ok(queue) = scene.instance.client.queue().await else { return Ok(()) };
        if !queue.running.is_empty() {
            self.idle_since = None;
            return Ok(());
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        if since.elapsed() < ZOMBIE_AFTER.min(scene.stall_timeout()) {
            return Ok(());
        }
        let why = "the instance accepts prompts but runs none; restart it";
        scene.instance.health().stuck(why, since_boot());
        scene.instance.check_now.notify_one();
        give_up(scene).await;
        Err(Exit::infrastructure(FailureKind::Stalled, why))
    }

    /// Time limits, and the socket's silence.
    async fn judge(&mut self, scene: &Scene) -> Result<(), Exit> {
        let (Some(begun), now) = (self.begun, Instant::now()) else { return Ok(()) };
        if scene.claim.timeout.is_some_and(|timeout| begun + timeout <= now) {
            give_up(scene).await;
            let message = format!(
                "the run took longer than its timeoutMs of {}",
                scene.claim.timeout.unwrap_or_default().as_millis()
            );
            return Err(Exit::failed(Failure::new(FailureKind::RunTimeout, message)));
        }
        if self.last_life + scene.stall_timeout() <= now && self.away_since.is_none() {
            give_up(scene).await;
            let message = format!("no sign of life of the prompt for {} s", scene.stall_timeout().as_secs());
            return Err(Exit::infrastructure(FailureKind::Stalled, message));
        }
        if self.next_mute <= now {
            self.mute_pause *= 2;
            self.next_mute = now + self.mute_pause;
            scene.instance.reconnect.notify_one();
        }
        Ok(())
    }
}

impl Scene {
    fn stall_timeout(&self) -> Duration {
        self.instance.shared.parts.settings.stall_timeout
    }
}

/// Interrupts the prompt; one that does not obey in time stays behind on an instance marked as stuck.
async fn give_up(scene: &Scene) {
    if tokio::time::timeout(GIVE_UP_AFTER, clear(&scene.instance, scene.prompt)).await.is_err() {
        scene
            .instance
            .health()
            .stuck("a prompt does not react to its interrupt: restart the instance if this lasts", since_boot());
        scene.instance.remember_stray(scene.prompt);
        scene.instance.check_now.notify_one();
    }
}

fn accepted(written: Written) -> Result<(), Exit> {
    match written {
        Written::Done | Written::Retrying => Ok(()),
        Written::AlreadyEnded(_) | Written::NotThisAttempt => Err(Exit::NotOurs),
        Written::Fenced => Err(Exit::LeaseLost),
    }
}

//! When a prompt that is followed is given up: time limits, silence, an instance that is away or runs nothing.

use super::{
    clear::clear,
    instance::lock,
    scene::{Exit, Scene},
};
use crate::{
    clock::since_boot,
    comfy::Error,
    task::{Failure, FailureKind},
};
use std::time::Duration;
use tokio::time::Instant;

/// A running prompt whose socket is silent for so long gets a new socket; the pause doubles each time.
const MUTE_AFTER: Duration = Duration::from_secs(10);
/// So many such pauses fit into the patience with a silent prompt.
const MUTES_PER_STALL: u32 = 3;
/// When the socket has told nothing at all since the prompt was sent (not even its coming into the queue, which is told to
/// everybody), its silence says nothing of the prompt: a stalled reader elsewhere stops all messages of an instance (protocol
/// §5). Then it is waited for so many times as long.
const MUTE_PATIENCE: u32 = 5;
/// An instance that has prompts waiting but runs none for so long is a zombie (its pauses are below a second).
const ZOMBIE_AFTER: Duration = Duration::from_secs(15);
/// An interrupted prompt is waited for so long before the attempt is given up all the same.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// Signs of life of one prompt and its instance.
pub(super) struct Watchdog {
    last_life: Instant,
    /// First pause of a silent socket.
    mute_after: Duration,
    next_mute: Instant,
    mute_pause: Duration,
    /// The instance does not answer since.
    away_since: Option<Instant>,
    /// It did not answer at least once while the prompt was followed.
    was_away: bool,
    /// The prompt waits while nothing runs, since.
    idle_since: Option<Instant>,
}

impl Watchdog {
    /// `stall` is the patience with a silent prompt: a mute socket is replaced well before it runs out.
    pub(super) fn new(now: Instant, stall: Duration) -> Self {
        let mute_after = MUTE_AFTER.min(stall / MUTES_PER_STALL);
        Self {
            mute_after,
            last_life: now,
            next_mute: now + mute_after,
            mute_pause: mute_after,
            away_since: None,
            was_away: false,
            idle_since: None,
        }
    }

    /// The prompt was seen to begin, or the socket told something of it.
    pub(super) fn see_life(&mut self) {
        let now = Instant::now();
        self.last_life = now;
        self.next_mute = now + self.mute_after;
        self.mute_pause = self.mute_after;
    }

    /// The instance answered a look.
    pub(super) fn answered(&mut self) {
        self.away_since = None;
    }

    /// Whether it may have died under the prompt.
    pub(super) fn was_away(&self) -> bool {
        self.was_away
    }

    /// The instance runs something.
    pub(super) fn works(&mut self) {
        self.idle_since = None;
    }

    /// When to judge next.
    pub(super) fn next_wake(&self, scene: &Scene, begun: Instant) -> Instant {
        let wake = self.next_mute.min(self.last_life + Self::patience(scene));
        scene.claim.timeout.map_or(wake, |timeout| wake.min(begun + timeout))
    }

    fn patience(scene: &Scene) -> Duration {
        let was_heard = lock(&scene.instance.heard).is_some_and(|heard| heard >= scene.since);
        scene.stall_timeout() * if was_heard { 1 } else { MUTE_PATIENCE }
    }

    /// Waits for an instance that does not answer, but not for ever.
    pub(super) async fn stay_away(&mut self, scene: &Scene, error: &Error, had_begun: bool) -> Result<(), Exit> {
        scene.instance.check_now.notify_one();
        self.was_away = true;
        let since = *self.away_since.get_or_insert_with(Instant::now);
        if since.elapsed() < scene.instance.shared.parts.settings.gone_after {
            return Ok(());
        }
        scene.instance.remember_stray(scene.prompt).await;
        let reason = format!("the instance has been away for {} s: {error}", since.elapsed().as_secs());
        Err(Exit::Lost { had_begun, reason })
    }

    /// Prompts waiting and none running: the instance's worker thread may be dead though its HTTP answers (protocol §10).
    pub(super) async fn suspect_zombie(&mut self, scene: &Scene) -> Result<(), Exit> {
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
    pub(super) async fn judge(&mut self, scene: &Scene, begun: Instant) -> Result<(), Exit> {
        let now = Instant::now();
        if let Some(timeout) = scene.claim.timeout.filter(|timeout| begun + *timeout <= now) {
            give_up(scene).await;
            let message = format!("the run took longer than its timeoutMs of {}", timeout.as_millis());
            return Err(Exit::failed(Failure::new(FailureKind::RunTimeout, message)));
        }
        let patience = Self::patience(scene);
        if self.last_life + patience <= now && self.away_since.is_none() {
            give_up(scene).await;
            let message = format!("no sign of life of the prompt for {} s", patience.as_secs());
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
    pub(super) fn stall_timeout(&self) -> Duration {
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
        scene.instance.remember_stray(scene.prompt).await;
        scene.instance.check_now.notify_one();
    }
}

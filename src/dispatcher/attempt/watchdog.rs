//! Decides when a followed prompt is given up: time limits, silence, an instance that does not answer or executes
//! nothing.

pub(crate) mod dead_worker;
pub(crate) mod last_words;

use super::{
    cancel_prompt::{IGNORES_INTERRUPT, cancel_prompt},
    context::AttemptContext,
    stage_error::StageError,
};
use crate::{
    clock::since_boot,
    comfy::{Error, PromptStatus, QueueSnapshot},
    dispatcher::shared::lock,
    task::{Failure, FailureKind},
};
use dead_worker::WORKER_DIED;
use last_words::LastWords;
use std::time::Duration;
use tokio::time::Instant;

/// Silence of the socket after which a running prompt gets a new one; doubles each time.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Divisor of the stall timeout that bounds the first such silence.
const SILENCES_PER_STALL: u32 = 3;
/// Factor on the stall timeout while the socket has delivered nothing at all since the prompt was submitted, not even
/// the queue status that ComfyUI broadcasts. Such a silence says nothing about the prompt: a stalled reader elsewhere
/// blocks all messages of an instance (protocol §5).
const SILENT_SOCKET_FACTOR: u32 = 5;
/// Delay after a failed look.
const LOOK_DELAY: Duration = Duration::from_secs(1);
/// Longest time since the instance showed the prompt as running.
const SEEN_RUNNING_MAX: Duration = Duration::from_secs(15);
/// Time after which an instance with waiting prompts that executes none counts as a zombie; its normal gaps are
/// below 1 s.
const ZOMBIE_AFTER: Duration = Duration::from_secs(15);
/// Longest wait for an interrupted prompt before the attempt ends anyway.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which an instance may refuse connections before its prompts are lost: its process is gone, and its queue
/// with it. One that restarts sooner answers for itself. An instance that is silent gets `--gone-after`.
pub(crate) const REFUSED_MAX: Duration = Duration::from_secs(10);
/// Time for which the history may be unreadable while the prompt is in no queue, before the attempt fails.
const UNREADABLE_MAX: Duration = Duration::from_secs(10);

/// A period in which an instance does not answer.
#[derive(Debug, Default)]
pub(crate) struct Away {
    since: Option<Instant>,
    /// Start of the time in which every connection was refused.
    refused_since: Option<Instant>,
}

impl Away {
    /// Records a failed request. Returns true if the instance counts as gone.
    pub(crate) fn is_gone(&mut self, error: &Error, gone_after: Duration) -> bool {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let refused_since = error.is_refused_connection().then(|| self.refused_since.unwrap_or(now));
        self.refused_since = refused_since;
        let is_over = |since: Instant, longest: Duration| now.duration_since(since) >= longest;
        is_over(since, gone_after) || refused_since.is_some_and(|since| is_over(since, REFUSED_MAX))
    }

    /// Length of the period so far; zero while the instance answers.
    fn elapsed(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// Signs of life of a prompt and its instance.
pub(crate) struct Watchdog {
    last_life: Instant,
    /// First interval after which a silent socket is replaced.
    silence_max: Duration,
    next_reconnect: Instant,
    reconnect_interval: Duration,
    /// The instance's current absence.
    away: Away,
    /// Start of the time in which the history has been unreadable.
    unreadable_since: Option<Instant>,
    /// Whether the instance failed to answer at least once.
    was_away: bool,
    /// Start of the current period in which the prompt waits although nothing executes.
    idle_since: Option<Instant>,
    /// Time at which the instance last showed the prompt as running.
    seen_running: Option<Instant>,
}

impl Watchdog {
    /// A watchdog for a prompt that may be silent for `stall`. A silent socket is replaced well before that.
    pub(crate) fn new(now: Instant, stall: Duration) -> Self {
        let silence_max = SILENCE_MAX.min(stall / SILENCES_PER_STALL);
        Self {
            silence_max,
            last_life: now,
            next_reconnect: now + silence_max,
            reconnect_interval: silence_max,
            away: Away::default(),
            unreadable_since: None,
            was_away: false,
            idle_since: None,
            seen_running: None,
        }
    }

    /// Records a sign of life: the prompt began, or the socket delivered an event of it.
    pub(crate) fn see_life(&mut self) {
        let now = Instant::now();
        self.last_life = now;
        self.next_reconnect = now + self.silence_max;
        self.reconnect_interval = self.silence_max;
    }

    /// Records that the instance answered.
    pub(crate) fn answered(&mut self) {
        self.away = Away::default();
        self.unreadable_since = None;
    }

    /// Handles a prompt that is in no queue and whose history entry is not ComfyUI's: Ok while that may change, then an
    /// error.
    pub(crate) fn on_unreadable(&mut self, context: &AttemptContext, reason: &str) -> Result<(), StageError> {
        self.away = Away::default();
        let since = *self.unreadable_since.get_or_insert_with(Instant::now);
        if since.elapsed() < UNREADABLE_MAX.min(context.instance.shared.parts.settings.gone_after) {
            return Ok(());
        }
        let message = format!("the result of the prompt cannot be read: {reason}");
        Err(StageError::infrastructure(FailureKind::OutputUnavailable, message))
    }

    /// Whether the instance may have died while the prompt was followed.
    pub(crate) fn was_away(&self) -> bool {
        self.was_away
    }

    /// Records that the instance executes the prompt.
    pub(crate) fn on_running(&mut self) {
        self.idle_since = None;
        self.seen_running = Some(Instant::now());
    }

    /// Whether the instance has just shown the prompt as running.
    pub(crate) fn is_seen_running(&self) -> bool {
        self.seen_running.is_some_and(|at| at.elapsed() < SEEN_RUNNING_MAX)
    }

    /// Returns the time of the next [`check`](Self::check).
    pub(crate) fn next_wake(&self, context: &AttemptContext, begun: Instant, said: &LastWords) -> Instant {
        let wake = self.next_reconnect.min(self.last_life + self.silence_limit(context, said));
        context.claim.timeout.map_or(wake, |timeout| wake.min(begun + timeout))
    }

    /// Longest silence. An instance that answers and shows the prompt as running is at work, unless its socket works and
    /// never announced the start: then its worker thread died with the prompt.
    fn silence_limit(&self, context: &AttemptContext, said: &LastWords) -> Duration {
        let has_events = lock(&context.instance.activity.last_event).is_some_and(|at| at >= context.since);
        if self.is_seen_running() && !(has_events && said.lacks_start()) {
            return context.instance.shared.parts.settings.silent_timeout;
        }
        context.stall_timeout() * if has_events { 1 } else { SILENT_SOCKET_FACTOR }
    }

    /// Looks once more before a prompt counts as stalled that was not seen running. True also while the instance does
    /// not answer: the next look handles that.
    async fn is_running_after_all(&mut self, context: &AttemptContext) -> bool {
        match context.instance.client.status(context.prompt).await {
            Ok(PromptStatus::Running) => self.on_running(),
            Ok(PromptStatus::Pending | PromptStatus::Unknown | PromptStatus::Ended(_)) => return false,
            Err(_) => tokio::time::sleep(LOOK_DELAY).await,
        }
        true
    }

    /// Handles a failed look: Ok while the instance may still come back, an error once it counts as gone.
    pub(crate) async fn on_unreachable(
        &mut self,
        context: &AttemptContext,
        error: &Error,
        had_begun: bool,
    ) -> Result<(), StageError> {
        context.instance.wake.health_check.notify_one();
        self.was_away = true;
        self.unreadable_since = None;
        if !self.away.is_gone(error, context.instance.shared.parts.settings.gone_after) {
            return Ok(());
        }
        context.instance.remember_orphan(context.prompt).await;
        let reason = format!("the instance has not answered for {} s: {error}", self.away.elapsed().as_secs());
        Err(StageError::PromptLost { had_begun, reason })
    }

    /// Checks an instance whose prompts wait: if none executes for long, its worker thread may be dead although HTTP
    /// works (protocol §10).
    pub(crate) async fn check_zombie(&mut self, context: &AttemptContext) -> Result<(), StageError> {
        let Ok(queue) = context.instance.client.queue().await else { return Ok(()) };
        context.instance.set_foreign_before(foreign_before(context, &queue));
        if context.instance.health().is_stuck_by(WORKER_DIED) {
            return Err(StageError::infrastructure(FailureKind::PromptLost, WORKER_DIED));
        }
        if !queue.running.is_empty() {
            self.idle_since = None;
            return Ok(());
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        if since.elapsed() < ZOMBIE_AFTER.min(context.stall_timeout()) {
            return Ok(());
        }
        Err(end_of_zombie(context).await)
    }

    /// Checks the time limits and the silence of the socket.
    /// `said` is what the instance said last.
    pub(crate) async fn check(
        &mut self,
        context: &AttemptContext,
        begun: Instant,
        said: &LastWords,
    ) -> Result<(), StageError> {
        let now = Instant::now();
        if let Some(timeout) = context.claim.timeout.filter(|timeout| begun + *timeout <= now) {
            interrupt(context).await;
            let message = format!("the run exceeded its timeoutMs of {}", timeout.as_millis());
            return Err(StageError::failed(Failure::new(FailureKind::RunTimeout, message)));
        }
        let limit = self.silence_limit(context, said);
        if self.last_life + limit <= now && self.away.since.is_none() {
            let is_running = self.is_seen_running();
            if is_running && said.lacks_start() {
                return Err(end_of_zombie(context).await);
            }
            if !is_running && self.is_running_after_all(context).await {
                return Ok(());
            }
            interrupt(context).await;
            let failure = said.stalled(context, limit, is_running);
            return Err(StageError::Failed { failure: Box::new(failure), blames_instance: true, is_final: false });
        }
        if self.next_reconnect <= now {
            self.reconnect_interval *= 2;
            self.next_reconnect = now + self.reconnect_interval;
            context.instance.wake.socket.notify_one();
        }
        Ok(())
    }
}

/// Marks an instance as stuck whose worker thread is dead, and leaves the prompt.
async fn end_of_zombie(context: &AttemptContext) -> StageError {
    let reason = "the instance accepts prompts but runs none; restart it";
    context.instance.health().stuck(reason, since_boot());
    context.instance.wake.health_check.notify_one();
    interrupt(context).await;
    StageError::infrastructure(FailureKind::Stalled, reason)
}

/// Counts the prompts of other clients before ours.
fn foreign_before(context: &AttemptContext, queue: &QueueSnapshot) -> u32 {
    let own = context.prompt.to_string();
    let before = queue.running.iter().chain(queue.pending.iter().take_while(|id| **id != own));
    let is_foreign = |id: &&String| id.parse().ok().is_none_or(|id| context.instance.runs.task_of(id).is_none());
    u32::try_from(before.filter(is_foreign).count()).unwrap_or(u32::MAX)
}

impl AttemptContext {
    /// Longest silence of a prompt that the instance does not show as running.
    pub(crate) fn stall_timeout(&self) -> Duration {
        self.instance.shared.parts.settings.stall_timeout
    }
}

/// Interrupts the prompt. If it does not end in time, the instance is marked as stuck and the prompt recorded as an
/// orphan.
async fn interrupt(context: &AttemptContext) {
    if tokio::time::timeout(INTERRUPT_TIMEOUT, cancel_prompt(&context.instance, context.prompt)).await.is_err() {
        context.instance.health().stuck(IGNORES_INTERRUPT, since_boot());
        context.instance.remember_orphan(context.prompt).await;
        context.instance.wake.health_check.notify_one();
    }
}

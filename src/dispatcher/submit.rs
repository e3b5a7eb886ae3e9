//! POST /prompt, at most once: a lost answer is followed by a look, never by a blind second try.

use super::{
    instance::Instance,
    scene::{Exit, Scene},
};
use crate::{
    comfy::{Error, Sighting, Submitted},
    graph::Workflow,
    metrics,
    task::{Failure, FailureKind},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Posts of one attempt, the first included.
const POSTS_MAX: u32 = 2;
/// Between two looks that both must say "unknown" before a prompt counts as not there.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Between two tries to reach an instance that is away.
const AWAY_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at a stale lease.
const LEASE_PAUSE: Duration = Duration::from_millis(50);

/// Gets the prompt into the instance's queue.
pub(super) async fn submit(scene: &mut Scene, workflow: &Workflow) -> Result<(), Exit> {
    let body = workflow.to_json();
    for post in 1..=POSTS_MAX {
        // A process that was paused or cut off must not act on a lease that may be somebody else's by now.
        while !scene.instance.clock.may_act() {
            tokio::time::sleep(LEASE_PAUSE).await;
        }
        if scene.ears.cancelled.is_cancelled() {
            return Err(Exit::NotOurs);
        }
        if let Some(since) = super::instance::lock(&scene.instance.idle_since).take() {
            metrics::instance_idle_gap(since.elapsed());
        }
        let posted = Instant::now();
        let answer = {
            let _posting = Posting::begin(&scene.instance);
            scene.instance.client.submit(scene.prompt, &body, &scene.instance.client_id).await
        };
        let error = match answer {
            Ok(Submitted::Accepted) => return Ok(()),
            Ok(Submitted::Invalid(failure)) => return Err(Exit::failed(failure)),
            Err(Error::Refused(why)) => {
                let failure =
                    Failure::new(FailureKind::InvalidWorkflow, format!("the instance refused the workflow: {why}"));
                return Err(Exit::failed(failure));
            }
            Err(error) => error,
        };
        tracing::warn!(instance = %scene.instance.target.id, task = %scene.claim.task, %error, "submitting failed; looking whether it arrived");
        let timeout = scene.instance.shared.parts.settings.http_timeout;
        let was_silent = posted.elapsed() >= timeout.mul_f64(0.9);
        match look_until_answered(scene).await? {
            Sighting::Pending | Sighting::Running | Sighting::Ended(_) => return Ok(()),
            // Nobody cut this request off: it may still be on its way. The same id must not be sent after it; should it come
            // later than this, it is dropped from the queue as a stray while another attempt runs.
            Sighting::Unknown if was_silent => return wait_for_late_arrival(scene, timeout).await,
            Sighting::Unknown if post == POSTS_MAX || matches!(error, Error::Broken(_) | Error::NotFound) => {
                return Err(Exit::infrastructure(
                    FailureKind::InstanceUnreachable,
                    format!("submitting failed: {error}"),
                ));
            }
            Sighting::Unknown => {}
        }
    }
    Err(Exit::infrastructure(FailureKind::InstanceUnreachable, "submitting failed"))
}

/// Looks again and again for a request that got no answer.
async fn wait_for_late_arrival(scene: &Scene, patience: Duration) -> Result<(), Exit> {
    let give_up = Instant::now() + patience;
    while Instant::now() < give_up {
        tokio::time::sleep(AWAY_PAUSE).await;
        if !matches!(look_until_answered(scene).await?, Sighting::Unknown) {
            return Ok(());
        }
    }
    scene.instance.remember_stray(scene.prompt);
    Err(Exit::infrastructure(FailureKind::InstanceUnreachable, "the instance did not answer the submit in time"))
}

/// Counts a POST as under way for as long as it lives.
struct Posting(Arc<Instance>);

impl Posting {
    fn begin(instance: &Arc<Instance>) -> Self {
        instance.posting.fetch_add(1, Ordering::Relaxed);
        Self(instance.clone())
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        self.0.posting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks where the prompt is until the instance answers, for at most `gone_after`. "Unknown" was said twice.
pub(super) async fn look_until_answered(scene: &Scene) -> Result<Sighting, Exit> {
    let gone_after = scene.instance.shared.parts.settings.gone_after;
    let begun = Instant::now();
    let mut was_unknown = false;
    loop {
        match scene.instance.client.look(scene.prompt).await {
            Ok(Sighting::Unknown) if !was_unknown => {
                was_unknown = true;
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Ok(sighting) => return Ok(sighting),
            Err(error) if begun.elapsed() >= gone_after => {
                scene.instance.remember_stray(scene.prompt);
                return Err(Exit::infrastructure(
                    FailureKind::InstanceUnreachable,
                    format!("the instance is away: {error}"),
                ));
            }
            Err(_) if scene.ears.cancelled.is_cancelled() => return Err(Exit::NotOurs),
            Err(_) => tokio::time::sleep(AWAY_PAUSE).await,
        }
    }
}

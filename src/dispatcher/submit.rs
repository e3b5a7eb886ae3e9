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
use serde_json::value::RawValue;
use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;
use uuid::Uuid;

/// Posts of one attempt, the first included.
const POSTS_MAX: u32 = 2;
/// Between two looks that both must say "unknown" before a prompt counts as not there.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Between two tries to reach an instance that is away.
const AWAY_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at a stale lease.
const LEASE_PAUSE: Duration = Duration::from_millis(50);
/// Between two requests to drop a prompt that was cancelled while it is being submitted.
const DROP_AGAIN: Duration = Duration::from_millis(100);

/// Gets the prompt into the instance's queue.
pub(super) async fn submit(scene: &mut Scene, workflow: &Workflow) -> Result<(), Exit> {
    let body = workflow.to_json();
    scene.spans.enter_run(&scene.instance, scene.prompt);
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
        let error = match post_prompt(scene, &body).await {
            Ok(Submitted::Accepted) => {
                scene.spans.accepted();
                return Ok(());
            }
            Ok(Submitted::Invalid(failure)) => return Err(Exit::failed(failure)),
            Err(Error::Refused(why)) => {
                let failure =
                    Failure::new(FailureKind::InvalidWorkflow, format!("the instance refused the workflow: {why}"));
                return Err(Exit::failed(failure));
            }
            Err(error) => error,
        };
        if scene.ears.cancelled.is_cancelled() {
            return Err(cancelled_in_doubt(scene).await);
        }
        tracing::warn!(instance = %scene.instance.target.id, task = %scene.claim.task, %error, "submitting failed; looking whether it arrived");
        let timeout = scene.instance.shared.parts.settings.http_timeout;
        let was_silent = posted.elapsed() >= timeout.mul_f64(0.9);
        match look_until_answered(scene).await? {
            Sighting::Pending | Sighting::Running | Sighting::Ended(_) => return Ok(()),
            // Nobody cut this request off: it may still be on its way. The same id must not be sent after it; should it come
            // later than this, it is dropped from the queue as a stray while another attempt runs.
            Sighting::Unknown if was_silent => return wait_for_late_arrival(scene, timeout).await,
            Sighting::Unknown if post == POSTS_MAX || matches!(error, Error::Broken(_) | Error::NotFound) => {
                return Err(give_up_in_doubt(scene, format!("submitting failed: {error}")).await);
            }
            Sighting::Unknown => scene.may_have_copy = true,
        }
    }
    Err(give_up_in_doubt(scene, "submitting failed".to_owned()).await)
}

/// Posts. A cancel meanwhile does not wait for an answer that is held up: the prompt may be running already.
async fn post_prompt(scene: &Scene, body: &RawValue) -> Result<Submitted, Error> {
    let instance = &scene.instance;
    let _posting = Posting::begin(instance);
    let mut answer = pin!(instance.client.submit(scene.prompt, body, &instance.client_id));
    tokio::select! {
        answer = &mut answer => return answer,
        () = scene.ears.cancelled.cancelled() => {}
    }
    tokio::select! {
        answer = &mut answer => answer,
        never = keep_dropping(instance, scene.prompt) => match never {},
    }
}

async fn keep_dropping(instance: &Instance, prompt: Uuid) -> std::convert::Infallible {
    loop {
        if instance.clock.may_act()
            && let Err(error) = instance.client.cancel(prompt).await
        {
            tracing::debug!(instance = %instance.target.id, %prompt, %error, "the prompt could not be dropped yet");
        }
        tokio::time::sleep(DROP_AGAIN).await;
    }
}

/// The attempt ends here, though its prompt may come to the instance later: then it is dropped.
async fn give_up_in_doubt(scene: &Scene, why: String) -> Exit {
    scene.instance.remember_stray(scene.prompt).await;
    Exit::infrastructure(FailureKind::InstanceUnreachable, why)
}

/// Cancelled while it is not known whether the prompt will come to the instance.
pub(super) async fn cancelled_in_doubt(scene: &Scene) -> Exit {
    scene.instance.remember_stray(scene.prompt).await;
    Exit::NotOurs
}

/// Looks again and again for a request that got no answer.
async fn wait_for_late_arrival(scene: &Scene, patience: Duration) -> Result<(), Exit> {
    let give_up = Instant::now() + patience;
    while Instant::now() < give_up {
        tokio::select! {
            () = tokio::time::sleep(AWAY_PAUSE) => {}
            () = scene.ears.cancelled.cancelled() => return Err(cancelled_in_doubt(scene).await),
        }
        if !matches!(look_until_answered(scene).await?, Sighting::Unknown) {
            return Ok(());
        }
    }
    Err(give_up_in_doubt(scene, "the instance did not answer the submit in time".to_owned()).await)
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
                return Err(give_up_in_doubt(scene, format!("the instance is away: {error}")).await);
            }
            Err(_) if scene.ears.cancelled.is_cancelled() => return Err(cancelled_in_doubt(scene).await),
            Err(_) => tokio::time::sleep(AWAY_PAUSE).await,
        }
    }
}

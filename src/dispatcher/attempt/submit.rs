//! Submits a prompt (`POST /prompt`) at most once: after a lost answer it looks for the prompt before it posts again.

use super::{context::AttemptContext, stage_error::StageError, watchdog::Away};
use crate::{
    comfy::{Error, PromptStatus, Submitted},
    dispatcher::{instance::state::Instance, redis_retry::until_answered, shared::lock},
    graph::Workflow,
    metrics,
    queue::Written,
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

/// Largest number of POSTs of one attempt, the first included.
const POSTS_MAX: u32 = 2;
/// Delay between two looks that must both answer "unknown" before the prompt counts as absent.
const SECOND_LOOK_DELAY: Duration = Duration::from_millis(500);
/// Delay between two tries to reach an instance that does not answer.
const AWAY_DELAY: Duration = Duration::from_secs(1);
/// Poll interval while the lease is stale.
const LEASE_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Interval of cancel requests for a prompt that was cancelled while it is being submitted.
const CANCEL_INTERVAL: Duration = Duration::from_millis(100);

/// Submits the prompt. Returns once the prompt is in the instance's queue, or has ended.
pub(crate) async fn submit(context: &mut AttemptContext, workflow: &Workflow) -> Result<(), StageError> {
    let body = workflow.to_json();
    let extra_data = context.keys.extra_data(&context.claim)?;
    context.spans.enter_run(&context.instance, context.prompt);
    confirm_claim(context).await?;
    for post in 1..=POSTS_MAX {
        // A process that was paused or cut off must not act on a lease that another dispatcher may own by now.
        while !context.instance.clock.may_act() {
            tokio::time::sleep(LEASE_POLL_INTERVAL).await;
        }
        if context.signals.cancelled.is_cancelled() {
            return Err(StageError::NotOurs);
        }
        if let Some(since) = lock(&context.instance.activity.idle_since).take() {
            metrics::instance_idle_gap(since.elapsed());
        }
        let posted = Instant::now();
        let error = match post_prompt(context, &body, &extra_data).await {
            Ok(accepted @ (Submitted::Accepted | Submitted::AcceptedInPart(_))) => {
                if let Submitted::AcceptedInPart(ignored) = accepted {
                    context.warnings.extend(ignored);
                }
                context.spans.accepted();
                return Ok(());
            }
            Ok(Submitted::Invalid(failure)) => return Err(StageError::failed(context.keys.masked(failure))),
            Err(Error::Refused(why)) => {
                let failure =
                    Failure::new(FailureKind::InvalidWorkflow, format!("the instance refused the workflow: {why}"));
                return Err(StageError::failed(failure));
            }
            Err(error) => error,
        };
        if context.signals.cancelled.is_cancelled() {
            return Err(cancelled_in_doubt(context).await);
        }
        tracing::warn!(instance = %context.instance.target.id, task = %context.claim.task, attempt = %context.claim.attempt, %error, "prompt submit failed; checking whether the prompt arrived");
        let timeout = context.instance.shared.parts.settings.http_timeout;
        let was_silent = posted.elapsed() >= timeout.mul_f64(0.9);
        if look_until_answered(context).await? {
            return Ok(());
        }
        if was_silent {
            // The request was not cut off and may still be on its way, so the same id must not be posted again. A
            // prompt that arrives after the wait is removed as an orphan while another attempt runs.
            return wait_for_late_arrival(context, timeout).await;
        }
        if post == POSTS_MAX || matches!(error, Error::Broken(_) | Error::NotFound) {
            return Err(give_up_in_doubt(context, format!("submitting failed: {error}")).await);
        }
        context.may_have_copy = true;
    }
    Err(give_up_in_doubt(context, "submitting failed".to_owned()).await)
}

/// Waits until the claim would survive a failover. A dispatcher that is cut off together with the old primary waits here
/// until it reaches the new one, which has given the task to another instance.
async fn confirm_claim(context: &AttemptContext) -> Result<(), StageError> {
    let (instance, claim) = (&context.instance, &context.claim);
    let confirm = || instance.queue().confirm_claim(&instance.lease, claim.task, claim.attempt);
    let written = tokio::select! {
        written = until_answered(context.call("check_claim"), confirm) => written,
        () = context.signals.cancelled.cancelled() => return Err(StageError::NotOurs),
    };
    match written {
        Written::Done | Written::Retrying => Ok(()),
        Written::AlreadyEnded(_) | Written::NotThisAttempt => Err(StageError::NotOurs),
        Written::Fenced => Err(StageError::LeaseLost),
    }
}

/// Posts the prompt. A cancel does not wait for the answer: the prompt may be running already, so cancel requests are
/// sent until the answer arrives.
async fn post_prompt(context: &AttemptContext, body: &RawValue, extra_data: &str) -> Result<Submitted, Error> {
    let instance = &context.instance;
    let _posting = Posting::begin(instance);
    let mut answer = pin!(instance.client.submit_with(context.prompt, body, &instance.client_id, extra_data));
    tokio::select! {
        answer = &mut answer => return answer,
        () = context.signals.cancelled.cancelled() => {}
    }
    tokio::select! {
        answer = &mut answer => answer,
        never = keep_cancelling(instance, context.prompt) => match never {},
    }
}

async fn keep_cancelling(instance: &Instance, prompt: Uuid) -> std::convert::Infallible {
    loop {
        if instance.clock.may_act()
            && let Err(error) = instance.client.cancel(prompt).await
        {
            tracing::debug!(instance = %instance.target.id, %prompt, %error, "cancel request failed; retrying");
        }
        tokio::time::sleep(CANCEL_INTERVAL).await;
    }
}

/// Ends the attempt although its prompt may still reach the instance; the prompt is then removed as an orphan.
async fn give_up_in_doubt(context: &AttemptContext, reason: String) -> StageError {
    context.instance.remember_orphan(context.prompt).await;
    StageError::infrastructure(FailureKind::InstanceUnreachable, reason)
}

/// Ends a cancelled attempt whose prompt may still reach the instance; the prompt is then removed as an orphan.
pub(crate) async fn cancelled_in_doubt(context: &AttemptContext) -> StageError {
    context.instance.remember_orphan(context.prompt).await;
    StageError::NotOurs
}

/// Polls for the prompt of a POST that got no answer, for at most `patience`.
async fn wait_for_late_arrival(context: &AttemptContext, patience: Duration) -> Result<(), StageError> {
    let give_up = Instant::now() + patience;
    while Instant::now() < give_up {
        tokio::select! {
            () = tokio::time::sleep(AWAY_DELAY) => {}
            () = context.signals.cancelled.cancelled() => return Err(cancelled_in_doubt(context).await),
        }
        if look_until_answered(context).await? {
            return Ok(());
        }
    }
    Err(give_up_in_doubt(context, "the instance did not answer the submit in time".to_owned()).await)
}

/// Counts a POST as in progress for as long as it lives.
struct Posting(Arc<Instance>);

impl Posting {
    fn begin(instance: &Arc<Instance>) -> Self {
        instance.activity.posting.fetch_add(1, Ordering::Relaxed);
        Self(instance.clone())
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        self.0.activity.posting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the instance has the prompt, waiting, running or ended. Retries until the instance answers or counts as
/// gone. "No" means two looks that agree.
pub(crate) async fn look_until_answered(context: &AttemptContext) -> Result<bool, StageError> {
    let gone_after = context.instance.shared.parts.settings.gone_after;
    let mut away = Away::default();
    let mut was_unknown = false;
    loop {
        match context.instance.client.status(context.prompt).await {
            Ok(PromptStatus::Unknown) if !was_unknown => {
                was_unknown = true;
                tokio::time::sleep(SECOND_LOOK_DELAY).await;
            }
            Ok(PromptStatus::Unknown) => return Ok(false),
            Ok(PromptStatus::Pending | PromptStatus::Running | PromptStatus::Ended(_)) | Err(Error::TooLong(_)) => {
                return Ok(true);
            }
            Err(error) if away.is_gone(&error, gone_after) => {
                return Err(give_up_in_doubt(context, format!("the instance is away: {error}")).await);
            }
            Err(_) if context.signals.cancelled.is_cancelled() => return Err(cancelled_in_doubt(context).await),
            Err(_) => tokio::time::sleep(AWAY_DELAY).await,
        }
    }
}

//! Retries of Redis calls, until Redis answers.

use crate::{
    backoff::Backoff,
    process::LogLimit,
    queue::Result,
    task::{Attempt, InstanceId, TaskId},
};
use std::time::Duration;

/// First and longest delay between two tries of a Redis call.
const REDIS_DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Identification of a Redis call in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RedisCall<'a> {
    verb: &'static str,
    instance: &'a InstanceId,
    attempt: Option<(TaskId, Attempt)>,
}

impl<'a> RedisCall<'a> {
    /// A call that concerns an instance only.
    pub(crate) const fn of_instance(verb: &'static str, instance: &'a InstanceId) -> Self {
        Self { verb, instance, attempt: None }
    }

    /// A call of an attempt.
    pub(crate) const fn of_attempt(
        verb: &'static str,
        instance: &'a InstanceId,
        task: TaskId,
        attempt: Attempt,
    ) -> Self {
        Self { verb, instance, attempt: Some((task, attempt)) }
    }
}

/// Repeats an idempotent Redis call until Redis answers. Never gives up: the caller is dropped with its actor.
pub(crate) async fn until_answered<T, F>(call: RedisCall<'_>, mut run: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T>>,
{
    let mut delays = Backoff::new(REDIS_DELAYS.0, REDIS_DELAYS.1);
    loop {
        match run().await {
            Ok(answer) => return answer,
            Err(error) => {
                let RedisCall { verb, instance, attempt } = call;
                let (task, attempt) = attempt.unzip();
                let (task, attempt) = (task.map(tracing::field::display), attempt.map(tracing::field::display));
                let delay = delays.next_pause();
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                static LIMIT: LogLimit = LogLimit::new();
                if let Some(omitted) = LIMIT.admit() {
                    tracing::warn!(verb, %instance, task, attempt, %error, delay_ms, omitted, "redis call failed; retrying");
                }
                tokio::time::sleep(delay).await;
            }
        }
    }
}

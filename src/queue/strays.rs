//! Prompts that were given up and may still come to their instance: a request held up on the way, an instance that was cut off.
//! Kept with the instance, so that the next owner knows them too.

use super::{
    Lease, Queue, Result, Written,
    call::{ms, number},
    scripts::Verb,
};
use crate::task::InstanceId;
use fred::types::Value;
use std::time::Duration;
use uuid::Uuid;

/// So long are they looked for: an instance that was cut off keeps its queue and comes back with it.
const KEPT: Duration = Duration::from_secs(3_600);
/// Of one instance; beyond it the oldest are forgotten.
const STRAYS_MAX: u64 = 1_000;

impl Queue {
    /// Remembers a prompt that was given up on this instance, for an hour.
    pub async fn add_stray(&self, lease: &Lease, prompt: Uuid) -> Result<Written> {
        let args = vec![
            lease.instance.as_str().into(),
            lease.token.as_str().into(),
            prompt.to_string().into(),
            ms(KEPT),
            number(STRAYS_MAX),
        ];
        self.write(Verb::StrayAdd, args).await
    }

    /// The prompts given up on this instance within the last hour, oldest first, each with its age.
    pub async fn strays(&self, instance: &InstanceId) -> Result<Vec<(Uuid, Duration)>> {
        let mut reply = self.call(Verb::Strays, vec![instance.as_str().into(), ms(KEPT)]).await?;
        let mut texts = reply.list()?.into_iter().filter_map(Value::into_string);
        let mut strays = Vec::new();
        while let (Some(prompt), Some(age_ms)) = (texts.next(), texts.next()) {
            let age = Duration::from_millis(age_ms.parse().map_err(|_| reply.unexpected())?);
            strays.push((prompt.parse().map_err(|_| reply.unexpected())?, age));
        }
        Ok(strays)
    }
}

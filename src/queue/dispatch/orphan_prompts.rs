//! Orphan prompts: prompts that were abandoned but may still reach their instance, because a request was delayed or the
//! instance was unreachable. Stored with the instance, so that the next lease owner finds them too.

use crate::{
    queue::{
        Lease, Queue, Result, Written,
        redis::{
            script_call::{ms, number},
            scripts::Verb,
        },
    },
    task::InstanceId,
};
use fred::types::Value;
use std::time::Duration;
use uuid::Uuid;

/// Time for which an orphan prompt is remembered. An unreachable instance keeps its queue and returns with it.
const KEPT: Duration = Duration::from_secs(3_600);
/// Maximum number of orphan prompts of one instance; beyond it the oldest are dropped.
const ORPHAN_PROMPTS_MAX: u64 = 1_000;

impl Queue {
    /// Records an abandoned prompt of this instance for an hour.
    pub async fn add_orphan_prompt(&self, lease: &Lease, prompt: Uuid) -> Result<Written> {
        let args = vec![
            lease.instance.as_str().into(),
            lease.token.as_str().into(),
            prompt.to_string().into(),
            ms(KEPT),
            number(ORPHAN_PROMPTS_MAX),
        ];
        self.write(Verb::OrphanPromptAdd, args).await
    }

    /// Returns the prompts abandoned on this instance within the last hour, oldest first, each with its age.
    pub async fn orphan_prompts(&self, instance: &InstanceId) -> Result<Vec<(Uuid, Duration)>> {
        let mut reply = self.call(Verb::OrphanPrompts, vec![instance.as_str().into(), ms(KEPT)]).await?;
        let mut texts = reply.list()?.into_iter().filter_map(Value::into_string);
        let mut orphan_prompts = Vec::new();
        while let (Some(prompt), Some(age_ms)) = (texts.next(), texts.next()) {
            let age = Duration::from_millis(age_ms.parse().map_err(|_| reply.unexpected())?);
            orphan_prompts.push((prompt.parse().map_err(|_| reply.unexpected())?, age));
        }
        Ok(orphan_prompts)
    }
}

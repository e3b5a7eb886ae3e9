//! Tasks in Redis, for the dispatcher: leases, claims, attempts, early outputs, retries.

pub(super) mod attempts;
pub(super) mod early_outputs;
pub(super) mod eligibility;
pub(super) mod leases;
pub(super) mod node_faults;
pub(super) mod orphan_prompts;
pub(super) mod retry_delay;

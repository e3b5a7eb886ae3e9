//! Starts runs for attempts that Redis lists as in flight and that do not run here: after a takeover, or when the reply
//! to a claim was lost.

use super::state::Instance;
use crate::{dispatcher::attempt::run::Run, queue::InFlight};
use std::sync::Arc;

/// Starts a run for every attempt in flight that has none here.
pub(crate) fn start_missing(instance: &Arc<Instance>, in_flight: &InFlight) {
    for (task, attempt) in &in_flight.tasks {
        if !instance.runs.contains(*task, *attempt) {
            Run::attach(*task, *attempt).spawn(instance);
        }
    }
    for task in &in_flight.cancelled {
        instance.runs.cancel_task(*task);
    }
}

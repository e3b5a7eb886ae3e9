//! Takes up what Redis says is in flight on the instance: after a takeover, or when a claim's answer was lost.

use super::{attempt::Run, instance::Instance};
use crate::queue::InFlight;
use std::sync::Arc;

/// Starts an attempt for everything in flight that has none here.
pub(super) fn all(instance: &Arc<Instance>, in_flight: &InFlight) {
    for (task, attempt) in &in_flight.tasks {
        if !instance.has_run(*task, *attempt) {
            Run::attach(*task, *attempt).spawn(instance);
        }
    }
    for task in &in_flight.cancelled {
        instance.cancel(*task);
    }
}

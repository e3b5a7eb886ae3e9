//! Tests of the room `queue`: the verbs against a real Redis. Each checks the state before, the answer, and the state
//! after.
//!
//! A scenario is an async function over a [`World`]. Each scenario is a test of its own; `mutants.rs` also runs them
//! against broken scripts.

pub mod attempts;
pub mod batches;
pub mod bounded_deletion;
pub mod broken_parts;
pub mod byte_quotas;
pub mod cancel;
pub mod claim_order;
mod cluster;
pub mod early_outputs;
pub mod eligibility;
pub mod ending_metrics;
pub mod enqueue_batcher;
pub mod fault_verdict;
mod faults;
pub mod feed_events;
pub mod files;
pub mod fleet;
mod full_memory;
pub mod installation;
pub mod janitor;
pub mod leases;
pub mod lifecycle;
pub mod long_rows;
pub mod node_keys;
pub mod orphan_prompts;
pub mod quarantine;
pub mod repair;
mod replica;
pub mod retention;
pub mod retries;
pub mod revive;
mod server_check;
mod server_rights;
pub mod shared_objects;
mod silent_redis;
mod slot_move;
mod startup_refusals;
pub mod task_lists;
pub mod workflow_files;
pub mod workflows;

use crate::support::{TestRedis, world::World};
use std::pin::Pin;

/// A scenario, run in a world of its own.
pub type Scenario = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs a scenario with the real scripts.
pub fn run(scenario: Scenario) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let redis = TestRedis::start();
        let world = World::new(&redis).await;
        scenario(&world).await;
    });
}

/// Makes each function a test, and lists all of them as `ALL`.
#[macro_export]
macro_rules! scenarios {
    ($($name:ident)*) => {
        pub const ALL: &[(&str, $crate::queue::Scenario)] = &[$((stringify!($name), |world| Box::pin($name(world))),)*];

        mod scenario {
            $(#[test] fn $name() { $crate::queue::run(|world| Box::pin(super::$name(world))); })*
        }
    };
}

/// Returns every scenario with its name.
pub fn scenarios() -> Vec<(&'static str, Scenario)> {
    [
        lifecycle::ALL,
        enqueue_batcher::ALL,
        broken_parts::ALL,
        attempts::ALL,
        early_outputs::ALL,
        retries::ALL,
        quarantine::ALL,
        fault_verdict::ALL,
        revive::ALL,
        node_keys::ALL,
        cancel::ALL,
        leases::ALL,
        claim_order::ALL,
        eligibility::ALL,
        janitor::ALL,
        files::ALL,
        shared_objects::ALL,
        retention::ALL,
        task_lists::ALL,
        long_rows::ALL,
        byte_quotas::ALL,
        fleet::ALL,
        feed_events::ALL,
        repair::ALL,
        ending_metrics::ALL,
        orphan_prompts::ALL,
        batches::ALL,
        workflows::ALL,
        workflow_files::ALL,
        bounded_deletion::ALL,
        installation::ALL,
    ]
    .concat()
}

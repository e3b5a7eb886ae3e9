//! Tests of the room `queue`: the verbs against a real Redis, state before, call, answer, state after.
//!
//! A scenario is an async function over a [`World`]; each is a test of its own, and all of them together are also what
//! `mutants.rs` runs against broken scripts.

pub mod attempts;
pub mod batches;
pub mod bites;
pub mod cancel;
mod cluster;
pub mod endings;
pub mod events;
mod faults;
pub mod files;
pub mod fleet;
pub mod flows;
pub mod heal;
pub mod held;
pub mod intake;
pub mod janitor;
pub mod joining;
pub mod leases;
pub mod life;
pub mod listing;
pub mod objects;
pub mod order;
pub mod outputs;
mod refusals;
mod replica;
pub mod retention;
pub mod retries;
pub mod revive;
mod start;
pub mod strays;

use crate::support::{TestRedis, world::World};
use std::pin::Pin;

/// A scenario over a world of its own.
pub type Scenario = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs a scenario over the real scripts.
pub fn run(scenario: Scenario) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let redis = TestRedis::start();
        let world = World::new(&redis).await;
        scenario(&world).await;
    });
}

/// Makes each function a test, and lists all.
#[macro_export]
macro_rules! scenarios {
    ($($name:ident)*) => {
        pub const ALL: &[(&str, $crate::queue::Scenario)] = &[$((stringify!($name), |world| Box::pin($name(world))),)*];

        mod scenario {
            $(#[test] fn $name() { $crate::queue::run(|world| Box::pin(super::$name(world))); })*
        }
    };
}

/// Every scenario.
pub fn scenarios() -> Vec<(&'static str, Scenario)> {
    [
        life::ALL,
        intake::ALL,
        attempts::ALL,
        outputs::ALL,
        retries::ALL,
        revive::ALL,
        cancel::ALL,
        leases::ALL,
        order::ALL,
        joining::ALL,
        janitor::ALL,
        files::ALL,
        objects::ALL,
        retention::ALL,
        listing::ALL,
        fleet::ALL,
        events::ALL,
        heal::ALL,
        endings::ALL,
        strays::ALL,
        batches::ALL,
        flows::ALL,
        held::ALL,
        bites::ALL,
    ]
    .concat()
}

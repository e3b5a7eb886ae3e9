//! A random model: clients, dispatchers (live, paused, crashed), janitors and instances act at random on the real
//! scripts. The model keeps the ground truth of leases, fencing, attempts and endings, and audits the keys after every
//! few steps. A seed fixes the operations of a run, but not its ids and retry delays, which are random: a failed seed
//! may need several repetitions. `MODEL_SEED` repeats a seed, `MODEL_STEPS` sets the number of steps.

mod actors;
mod dispatch;
mod drain;
mod truth;

use crate::support::{TestRedis, world::World};
use actors::Model;
use shuzhiren::queue::QueueLimits;
use std::time::{Duration, Instant};

/// Retention of ended tasks in the model's world: short, so that some are deleted during a run.
pub const KEEP: Duration = Duration::from_secs(200);

/// Steps of a run between two audits.
const AUDIT_EVERY: u64 = 40;

/// A small random generator (splitmix64), determined by its seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from 0 up to, not including, `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { Some(&of[self.below(of.len())]) }
    }
}

/// Runs random steps; then one healthy dispatcher must be able to end every task. `Err` is the first violation.
pub async fn run(world: &World, seed: u64, steps: u64) -> Result<String, String> {
    let mut model = Model::new(world, seed);
    for step in 0..steps {
        model.step().await.map_err(|wrong| format!("seed {seed}, step {step}: {wrong}"))?;
        if step % AUDIT_EVERY == 0 {
            model.audit().map_err(|wrong| format!("seed {seed}, step {step}: {wrong}"))?;
        }
    }
    model.drain().await.map_err(|wrong| format!("seed {seed}, drain: {wrong}"))
}

async fn new_world(redis: &TestRedis) -> World {
    World::with(redis, QueueLimits { waiting_max: 0, keep_tasks: KEEP }, |_, text| text.to_owned()).await
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

fn explore(shard: u64, budget: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let redis = TestRedis::start();
        let steps = setting("MODEL_STEPS", 700);
        let from = setting("MODEL_SEED", u64::from(std::process::id()) * 1_000 + shard);
        let started = Instant::now();
        for seed in from.. {
            let world = new_world(&redis).await;
            let summary = run(&world, seed, steps).await.unwrap_or_else(|wrong| panic!("{wrong}"));
            eprintln!("seed {seed}: {summary}");
            if started.elapsed() > budget || std::env::var("MODEL_SEED").is_ok() {
                return;
            }
        }
    });
}

#[test]
fn random_operations_keep_every_invariant() {
    explore(0, Duration::from_secs(10));
}

#[test]
fn random_corruption_is_repaired() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let redis = TestRedis::start();
        let from = setting("MODEL_SEED", u64::from(std::process::id()) * 1_000 + 500);
        for seed in from..from + 3 {
            let world = new_world(&redis).await;
            let mut model = Model::new(&world, seed);
            for step in 0..600 {
                let at = |wrong| panic!("seed {seed}, step {step}: {wrong}");
                model.step().await.unwrap_or_else(at);
                if step % 30 == 29 {
                    let what = model.corrupt();
                    model.repair().await;
                    model.audit().unwrap_or_else(|wrong| panic!("seed {seed}, step {step}, after {what}: {wrong}"));
                }
            }
            let summary = model.drain().await.unwrap_or_else(|wrong| panic!("seed {seed}, drain: {wrong}"));
            eprintln!("seed {seed}: {summary}");
        }
    });
}

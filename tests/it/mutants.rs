//! Mutation tests of the scripts: each mutant breaks one script in one place, and the scenario that it names must fail.
//! The random model must find the mutants that are marked for it without help.

mod table;

use crate::{
    model,
    queue::{Scenario, scenarios},
    support::{
        TestRedis,
        world::{KEEP, World},
    },
};
use futures_util::FutureExt;
use shuzhiren::queue::{QueueLimits, Scripts, Verb};
use std::{cell::Cell, panic::AssertUnwindSafe, time::Duration};
use table::{Mutant, mutants};

/// Seeds that the model may try.
const MODEL_SEEDS: std::ops::Range<u64> = 1..13;
/// Steps of each seed.
const MODEL_STEPS: u64 = 300;
/// Timeout of a scenario: a broken script may also make it wait forever.
const WAIT_MAX: Duration = Duration::from_secs(10);

impl Mutant {
    /// Fails if the place of the mutant is not there.
    fn assert_applies(&self) {
        let applied = Cell::new(false);
        let _same = Scripts::embedded().edited(|verb, text| {
            applied.set(applied.get() || self.place(verb, text).is_some());
            text.to_owned()
        });
        assert!(applied.get(), "{}: not found in {}: {}", self.name(), self.script, self.find);
    }

    /// Connects a queue with the broken script, which may refuse to.
    async fn world(&self, redis: &TestRedis, keep_tasks: Duration) -> World {
        let limits = QueueLimits { waiting_max: 0, keep_tasks };
        let world = World::with(redis, limits, |verb, text| {
            let Some(place) = self.place(verb, text) else { return text.to_owned() };
            let (before, from) = text.split_at(place);
            format!("{before}{}", from.replacen(self.find, self.replace, 1))
        });
        world.await
    }

    /// Finds the position in a script's text at which it applies: in the script's own body, or in the prelude it names.
    fn place(&self, verb: Verb, text: &str) -> Option<usize> {
        let section = if self.script.starts_with("lib/") {
            let path = format!("{}/lua/{}.lua", env!("CARGO_MANIFEST_DIR"), self.script);
            std::fs::read_to_string(path).unwrap()
        } else if self.script == verb.name() {
            verb.body().to_owned()
        } else {
            return None;
        };
        text.find(&section).filter(|_| section.contains(self.find)).and_then(|begin| {
            let offset = text[begin..].find(self.find)?;
            Some(begin + offset)
        })
    }

    fn name(&self) -> String {
        format!("{}: {} → {}", self.script, self.find.trim(), self.replace.trim())
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Silences panics of scenarios that are expected to fail; panics of other tests are printed.
fn expect_panics() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !QUIET.get() {
            loud(panic);
        }
    }));
}

/// Whether the scenario panics or hangs.
async fn fails(scenario: impl Future<Output = ()>) -> bool {
    QUIET.set(true);
    let outcome = tokio::time::timeout(WAIT_MAX, AssertUnwindSafe(scenario).catch_unwind()).await;
    QUIET.set(false);
    !matches!(outcome, Ok(Ok(())))
}

fn block_on(test: impl AsyncFnOnce(&TestRedis)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { test(&TestRedis::start()).await });
}

/// Tests part `part` of `parts` of the table, so that two cores share the work.
fn scenarios_kill(part: usize, parts: usize) {
    expect_panics();
    block_on(async |redis| {
        let scenarios = scenarios();
        let mutants = mutants();
        assert!(mutants.len() > 150);
        let mut survivors = Vec::new();
        for mutant in mutants.into_iter().skip(part).step_by(parts) {
            let named: Vec<Scenario> =
                scenarios.iter().filter(|(name, _)| *name == mutant.killer).map(|(_, scenario)| *scenario).collect();
            assert_eq!(named.len(), 1, "{}: scenario {}", mutant.name(), mutant.killer);
            mutant.assert_applies();
            let run = async { named[0](&mutant.world(redis, KEEP).await).await };
            if !fails(Box::pin(run)).await {
                survivors.push(format!("{} survived {}", mutant.name(), mutant.killer));
            }
        }
        assert!(survivors.is_empty(), "{} survivors:\n{}", survivors.len(), survivors.join("\n"));
    });
}

fn model_kills(part: usize, parts: usize) {
    expect_panics();
    block_on(async |redis| {
        let guarded: Vec<&Mutant> = mutants().into_iter().filter(|mutant| mutant.model).collect();
        assert!(guarded.len() >= 25, "only {} mutants are marked for the model", guarded.len());
        let mut survivors = Vec::new();
        for mutant in guarded.into_iter().skip(part).step_by(parts) {
            let mut is_killed = false;
            mutant.assert_applies();
            for seed in MODEL_SEEDS {
                let run = async {
                    let world = mutant.world(redis, model::KEEP).await;
                    drop(model::run(&world, seed, MODEL_STEPS).await.unwrap());
                };
                is_killed = fails(Box::pin(run)).await;
                if is_killed {
                    eprintln!("seed {seed} killed {}", mutant.name());
                    break;
                }
            }
            if !is_killed {
                survivors.push(mutant.name());
            }
        }
        assert!(survivors.is_empty(), "{} survivors:\n{}", survivors.len(), survivors.join("\n"));
    });
}

#[test]
fn every_mutant_fails_its_scenario_1() {
    scenarios_kill(0, 2);
}

#[test]
fn every_mutant_fails_its_scenario_2() {
    scenarios_kill(1, 2);
}

#[test]
fn the_random_model_finds_its_mutants_1() {
    model_kills(0, 2);
}

#[test]
fn the_random_model_finds_its_mutants_2() {
    model_kills(1, 2);
}

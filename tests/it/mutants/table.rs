//! The table of mutants: script, text, replacement, and the scenario that must fail. A file for each part of the queue.

mod accepting;
mod attempts;
mod early_outputs;
mod eligibility;
mod files;
mod leases;
mod lists;
mod quarantine;
mod quotas;
mod repair;
mod workflows;

/// A script broken in one place.
pub struct Mutant {
    /// Script, or prelude (`lib/…`, broken in every script that uses it).
    pub script: &'static str,
    /// Text to find; its first occurrence is replaced.
    pub find: &'static str,
    /// Replacement.
    pub replace: &'static str,
    /// The scenario that must fail.
    pub killer: &'static str,
    /// Whether the random model must also find it.
    pub model: bool,
}

const fn mutant(script: &'static str, find: &'static str, replace: &'static str, killer: &'static str) -> Mutant {
    Mutant { script, find, replace, killer, model: false }
}

const fn guarded(script: &'static str, find: &'static str, replace: &'static str, killer: &'static str) -> Mutant {
    Mutant { script, find, replace, killer, model: true }
}

/// Returns all mutants.
pub fn mutants() -> Vec<&'static Mutant> {
    [
        accepting::MUTANTS,
        attempts::MUTANTS,
        files::MUTANTS,
        workflows::MUTANTS,
        repair::MUTANTS,
        eligibility::MUTANTS,
        early_outputs::MUTANTS,
        leases::MUTANTS,
        lists::MUTANTS,
        quarantine::MUTANTS,
        quotas::MUTANTS,
    ]
    .into_iter()
    .flatten()
    .collect()
}

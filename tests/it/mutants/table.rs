//! The mutants: where, what, instead, and who must notice. A file for each part of a task's life.

mod accepting;
mod attempts;
mod files;
mod flows;
mod healing;
mod joining;
mod outputs;
mod owning;

/// One broken place.
pub struct Mutant {
    /// Script, or prelude (`lib/…`, broken in every script that uses it).
    pub script: &'static str,
    /// Found there, once or more; the first is replaced.
    pub find: &'static str,
    /// By this.
    pub replace: &'static str,
    /// The scenario that must go red.
    pub killer: &'static str,
    /// Whether the random model must notice, too.
    pub model: bool,
}

const fn mutant(script: &'static str, find: &'static str, replace: &'static str, killer: &'static str) -> Mutant {
    Mutant { script, find, replace, killer, model: false }
}

const fn guarded(script: &'static str, find: &'static str, replace: &'static str, killer: &'static str) -> Mutant {
    Mutant { script, find, replace, killer, model: true }
}

/// All of them.
pub fn mutants() -> Vec<&'static Mutant> {
    [
        accepting::MUTANTS,
        attempts::MUTANTS,
        files::MUTANTS,
        flows::MUTANTS,
        healing::MUTANTS,
        joining::MUTANTS,
        outputs::MUTANTS,
        owning::MUTANTS,
    ]
    .into_iter()
    .flatten()
    .collect()
}

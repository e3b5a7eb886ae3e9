//! How parameters reach the graph: address each value (`address`), read directives (`value`), write them (`apply`).
//!
//! Placeholders, declared names and types from `/object_info` are not here yet; a bare name is a warning `param_unused`.

mod address;
mod apply;
mod near;
mod value;

use super::{
    Problem, Workflow, links,
    problem::{Problems, step},
    scan::scan,
};
use crate::task::{FileInput, Warning};
use address::Reader;
use apply::Writer;
use serde_json::value::RawValue;

/// Where params stand in the request.
const BASE: &str = "/params";
/// Inputs that params may set.
const ASSIGNMENTS_MAX: usize = 10_000;
/// Warnings kept with a task.
const WARNINGS_MAX: usize = 50;
/// Stored files that one task may use.
const FILES_MAX: usize = 256;

/// A graph with the params in it.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The graph.
    pub workflow: Workflow,
    /// Stored files it needs; their inputs hold `null` until the dispatcher writes the instance's name.
    pub files: Vec<FileInput>,
    /// Seeds drawn: `("3.seed", value)`.
    pub seeds: Vec<(String, u64)>,
    /// What the submitter should know.
    pub warnings: Vec<Warning>,
}

/// Puts `params` into the graph, draws seeds, collects file directives (those written in the graph itself included).
///
/// `params` is an object of `"6.text": v`, `"6.inputs.text": v`, `"57:KSampler.seed": v`, `"6": {"text": v}`,
/// `"@title.text": v`, `"@title[*].text": v`, or an array of `{nodeId, fieldName, fieldValue}`. `v` is JSON or one of
/// `{"$file":"<fileId>"}`, `{"$random":{"min"?,"max"?}}`, `{"$link":["4",0]}`, `{"$unset":true}`, `{"$literal":…}`,
/// `{"$force":v}`. `workflow` itself stays as it is.
///
/// # Errors
/// Every problem found, at most 100.
pub fn resolve(workflow: &Workflow, params: &RawValue) -> Result<Resolved, Vec<Problem>> {
    resolve_with(workflow, params, &mut draw)
}

/// As [`resolve`], with seeds from `draw(min, max)`.
fn resolve_with(
    workflow: &Workflow,
    params: &RawValue,
    draw: &mut dyn FnMut(u64, u64) -> u64,
) -> Result<Resolved, Vec<Problem>> {
    let mut problems = Problems::default();
    scan(params.get(), BASE, &mut problems);
    let problems = problems.check()?;
    let mut reader = Reader::new(workflow, problems);
    reader.read(params);
    let (assignments, warnings, problems) = reader.finish();
    let mut writer = Writer::new(workflow, problems);
    for assignment in &assignments {
        writer.assign(assignment, draw);
    }
    writer.collect_own_files();
    let resolved = writer.finish(warnings)?;
    links::check(&resolved.workflow, BASE).map_err(|problem| vec![problem])?;
    Ok(resolved)
}

/// An even number in `min..=max`.
fn draw(min: u64, max: u64) -> u64 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system's random source, which every id of ours needs as well, works");
    let span = u128::from(max.saturating_sub(min)) + 1;
    // 128 random bits over at most 64: no value is preferred by more than 2^-64.
    let offset = u128::from_le_bytes(bytes) % span;
    min + u64::try_from(offset).unwrap_or_default()
}

fn pointer(key: &str) -> String {
    step(BASE, key)
}

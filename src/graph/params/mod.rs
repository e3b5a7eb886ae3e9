//! How parameters reach the graph: address each value (`address`, `title`, `names`), fill placeholders (`fill`), read directives
//! (`value`, `files`), write them (`apply`, `seeds`), meet what the instances have (`fleet`). Well-known names only when asked (`auto`).

mod address;
mod apply;
mod auto;
mod declared;
mod files;
mod fill;
mod fleet;
mod lost;
mod names;
mod near;
mod placeholder;
mod seeds;
mod title;
mod value;

pub use declared::{Declared, Published, publish, schema};
pub use near::near;
pub(super) use seeds::is_seed_name;

use super::{
    Pool, Problem, Workflow,
    problem::{Problems, step},
    scan::scan,
};
use crate::task::{FileInput, InstanceId, Warning};
use address::Reader;
use apply::{Draw, Writer};
use serde_json::value::RawValue;

/// Where params stand in the request.
const BASE: &str = "/params";
/// Inputs that params may set.
const ASSIGNMENTS_MAX: usize = 10_000;
/// Warnings kept with a task.
const WARNINGS_MAX: usize = 50;
/// Stored files that one task may use.
const FILES_MAX: usize = 256;

/// How to resolve, beside the params.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// A name that is used nowhere, and a placeholder without value, are errors in any case.
    pub is_strict: bool,
    /// Draws every seed that no param sets.
    pub randomizes_seeds: bool,
    /// Looks for `prompt`, `negative_prompt`, `seed`, `steps`, `cfg`, `width`, `height` where the graph does not declare them.
    pub maps_names: bool,
    /// The names of a published workflow: its only ones.
    pub declared: Option<&'a Declared>,
    /// What is declared without a default may be missing: it is for submitters to give.
    pub is_publishing: bool,
    /// What the instances have; `None` = nothing is checked against them.
    pub pool: Option<&'a Pool>,
}

/// A file that came inside the request; its input holds `null` until it is stored and named.
#[derive(Debug, Clone)]
pub struct InlineFile {
    /// The node.
    pub node_id: String,
    /// The input of that node.
    pub input: String,
    /// Where it stands in the request.
    pub pointer: String,
    /// The directive as it stands in the params.
    pub directive: String,
    /// The bytes in base64, or a data URI.
    pub base64: String,
    /// As given.
    pub filename: Option<String>,
}

/// A file at a URL; its input holds `null` until it is fetched, stored and named.
#[derive(Debug, Clone)]
pub struct RemoteFile {
    /// The node.
    pub node_id: String,
    /// The input of that node.
    pub input: String,
    /// Where it stands in the request.
    pub pointer: String,
    /// As it was written.
    pub url: String,
    /// What its bytes must have, lowercase hex.
    pub sha256: Option<String>,
    /// As given.
    pub filename: Option<String>,
}

/// A graph with the params in it.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The graph.
    pub workflow: Workflow,
    /// Stored files it needs; their inputs hold `null` until the dispatcher writes the instance's name.
    pub files: Vec<FileInput>,
    /// Files that came with it and must be stored first.
    pub inline: Vec<InlineFile>,
    /// Files at URLs that must be fetched first.
    pub remote: Vec<RemoteFile>,
    /// Seeds drawn: `("3.seed", value)`.
    pub seeds: Vec<(String, u64)>,
    /// Well-known names that were looked for, with the address found.
    pub mapped: Vec<(String, String)>,
    /// What the submitter should know.
    pub warnings: Vec<Warning>,
    /// The instances that have all it needs; `None` = every one, as far as is known.
    pub eligible: Option<Vec<InstanceId>>,
    /// What not all of them had, where that narrowed it: `class X`, `4.ckpt_name "a.safetensors"`; at most 5.
    pub needs: Vec<String>,
}

/// Puts `params` into the graph, draws seeds, collects files (those written in the graph itself included).
///
/// `params` is an object of `"6.text": v`, `"6.inputs.text": v`, `"57:KSampler.seed": v`, `"6": {"text": v}`,
/// `"@title.text": v`, `"@title[*].text": v`, `"name": v` for a name that the graph declares (a placeholder `{{name}}`, a marker
/// node, a title `$name`), or an array of `{nodeId, fieldName, fieldValue}`. `v` is JSON or one of `{"$file":"<fileId>"}`,
/// `{"$url":"https://…","sha256"?,"filename"?}`, `{"$base64":"…","filename"?}`, `{"$random":{"min"?,"max"?}}`,
/// `{"$link":["4",0]}`, `{"$unset":true}`, `{"$literal":…}`, `{"$force":v}`, an asset of ComfyUI's API v2; a text that is a URL
/// is a file's where the instances take files. `workflow` itself stays as it is.
///
/// # Errors
/// Every problem found, at most 100.
pub fn resolve(workflow: &Workflow, params: &RawValue, options: &Options<'_>) -> Result<Resolved, Vec<Problem>> {
    resolve_with(workflow, params, options, &mut draw)
}

/// As [`resolve`], with seeds from `draw(min, max)`.
fn resolve_with(
    workflow: &Workflow,
    params: &RawValue,
    options: &Options<'_>,
    draw: &mut Draw<'_>,
) -> Result<Resolved, Vec<Problem>> {
    let mut problems = Problems::default();
    scan(params.get(), BASE, &mut problems);
    let problems = problems.check()?;
    let mut reader = Reader::new(workflow, options, problems);
    reader.read(params);
    let (assignments, mapped, mut warnings, problems) = reader.finish();
    let mut writer = Writer::new(workflow, options, problems);
    for assignment in &assignments {
        writer.assign(assignment, draw);
    }
    if options.randomizes_seeds {
        writer.draw_all(draw);
    }
    writer.collect_own_files();
    writer.meet_fleet(&mut warnings);
    writer.finish(mapped, warnings)
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

//! Applies parameters to a graph: finds the input of each value (`address`, `title`, `names`), fills placeholders
//! (`fill`), reads directives (`value`, `files`), writes values (`apply`, `seeds`) and checks the result against the
//! instances (`fleet`). Maps well-known names on request only (`auto`).

mod address;
mod apply;
mod auto_map;
mod check_fleet;
mod declared;
mod declared_names;
mod files;
mod near;
mod placeholder;
mod seeds;
mod substitute;
mod title;
mod unused;
mod value;

pub use declared::{Declared, Published, publish, schema};
pub use near::near;
pub(super) use seeds::is_seed_name;

use super::{
    FleetCatalog, Problem, Workflow,
    problem::{Problems, step},
    scan::scan,
};
use crate::task::{FileInput, InstanceId, Warning};
use address::Reader;
use apply::{Draw, Writer};
use serde_json::value::RawValue;

/// JSON pointer of the params in the request.
const BASE: &str = "/params";
/// Maximum number of inputs set by params.
const ASSIGNMENTS_MAX: usize = 10_000;
/// Warnings kept with a task.
const WARNINGS_MAX: usize = 50;
/// Maximum number of stored files that one task uses.
const FILES_MAX: usize = 256;

/// Options of [`resolve`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// Whether an unused name and a placeholder without a value are always errors.
    pub is_strict: bool,
    /// Whether to draw every seed that no param sets.
    pub randomizes_seeds: bool,
    /// Whether to map `prompt`, `negative_prompt`, `seed`, `steps`, `cfg`, `width` and `height` if the graph does not
    /// declare them.
    pub maps_names: bool,
    /// The declared parameters of a published workflow, which takes no other names.
    pub declared: Option<&'a Declared>,
    /// Whether a workflow is being published: parameters without a default may be missing, because submitters provide
    /// them.
    pub is_publishing: bool,
    /// The catalogs of the instances; `None` = nothing is checked against them.
    pub pool: Option<&'a FleetCatalog>,
}

/// A file inside the request; its input is `null` until the file is stored and named.
#[derive(Debug, Clone)]
pub struct InlineFile {
    /// Id of the node.
    pub node_id: String,
    /// The input of that node.
    pub input: String,
    /// JSON pointer of the value in the request.
    pub pointer: String,
    /// The directive as given in the params.
    pub directive: String,
    /// The bytes in base64, or a data URI.
    pub base64: String,
    /// Name of the file, as given.
    pub filename: Option<String>,
}

/// A file at a URL; its input is `null` until the file is fetched, stored and named.
#[derive(Debug, Clone)]
pub struct RemoteFile {
    /// Id of the node.
    pub node_id: String,
    /// The input of that node.
    pub input: String,
    /// JSON pointer of the value in the request.
    pub pointer: String,
    /// The URL as given.
    pub url: String,
    /// Expected SHA-256 of the bytes, lowercase hex.
    pub sha256: Option<String>,
    /// Name of the file, as given.
    pub filename: Option<String>,
}

/// A graph with its params applied.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The graph.
    pub workflow: Workflow,
    /// Stored files it needs; their inputs are `null` until the dispatcher writes the file's name on the instance.
    pub files: Vec<FileInput>,
    /// Files inside the request that must be stored first.
    pub inline: Vec<InlineFile>,
    /// Files at URLs that must be fetched first.
    pub remote: Vec<RemoteFile>,
    /// Drawn seeds: `("3.seed", value)`.
    pub seeds: Vec<(String, u64)>,
    /// Well-known names, with the address found.
    pub mapped: Vec<(String, String)>,
    /// Warnings for the submitter.
    pub warnings: Vec<Warning>,
    /// The instances that meet all its needs; `None` = all, as far as is known.
    pub eligible: Option<Vec<InstanceId>>,
    /// Needs that narrowed the instances: `class X`, `4.ckpt_name "a.safetensors"`; at most 5.
    pub needs: Vec<String>,
}

/// Applies `params` to the graph, draws seeds and collects files (including those referenced in the graph itself).
///
/// `params` is an object of `"6.text": v`, `"6.inputs.text": v`, `"57:KSampler.seed": v`, `"6": {"text": v}`,
/// `"@title.text": v`, `"@title[*].text": v`, `"name": v` for a name that the graph declares (a placeholder `{{name}}`,
/// a marker node, a title `$name`), or an array of `{nodeId, fieldName, fieldValue}`. `v` is JSON or one of
/// `{"$file":"<fileId>"}`, `{"$url":"https://…","sha256"?,"filename"?}`, `{"$base64":"…","filename"?}`,
/// `{"$random":{"min"?,"max"?}}`, `{"$link":["4",0]}`, `{"$unset":true}`, `{"$literal":…}`, `{"$force":v}`, an asset of
/// ComfyUI's API v2. A text that is a URL is a file if the input takes files. `workflow` itself is not changed.
///
/// # Errors
/// Every problem found, at most 100.
pub fn resolve(workflow: &Workflow, params: &RawValue, options: &Options<'_>) -> Result<Resolved, Vec<Problem>> {
    resolve_with(workflow, params, options, &mut draw)
}

/// Does the same as [`resolve`], with seeds from `draw(min, max)`.
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
    writer.check_fleet(&mut warnings);
    writer.finish(mapped, warnings)
}

/// Draws a uniform number in `min..=max`.
fn draw(min: u64, max: u64) -> u64 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system's random source works; every id needs it too");
    let span = u128::from(max.saturating_sub(min)) + 1;
    // 128 random bits over a range of at most 64: the bias is below 2^-64.
    let offset = u128::from_le_bytes(bytes) % span;
    min + u64::try_from(offset).unwrap_or_default()
}

fn pointer(key: &str) -> String {
    step(BASE, key)
}

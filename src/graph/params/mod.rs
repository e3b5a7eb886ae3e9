//! Applies parameters to a graph: finds the input of each value (`address`, `title`, `declared_names`), fills
//! placeholders (`substitute`), reads directives (`value`, `files`), writes values (`apply`, `seeds`) and checks the
//! result against the instances (`check_fleet`). Maps well-known names on request only (`auto_map`).

mod address;
mod apply;
mod auto_map;
mod check_against_fleet;
mod converted;
mod declared;
mod files;
mod graph_names;
mod judge;
mod options;
mod placeholder;
mod seeds;
mod substitute;
mod title;
mod unused;
mod value;

pub use declared::{Declared, Published, publish, schema};
pub use files::{OwnFiles, UploadNames};
pub use options::{InlineFile, Options, RemoteFile, Resolved};
pub(super) use seeds::is_seed_name;

use super::{Workflow, json_faults::scan};
use crate::problem::{Problem, Problems};
use address::Reader;
use apply::{Draw, Writer};
use options::BASE;
use serde_json::value::RawValue;

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
    // All params and all nodes are read in any case.
    options.budget.spend_text(2 * params.get().len());
    options.budget.spend(workflow.node_count());
    scan(params.get(), BASE, &mut problems);
    let mut problems = problems.check()?;
    workflow.fault().into_iter().for_each(|fault| problems.push(fault.clone()));
    let mut reader = Reader::new(workflow, options, problems);
    reader.read(params);
    let open = reader.open_inputs();
    let (assignments, mapped, mut warnings, problems) = reader.finish();
    let mut writer = Writer::new(workflow, options, problems);
    writer.read_choices(&assignments);
    writer.open = open;
    for assignment in &assignments {
        writer.assign(assignment, draw);
    }
    if options.randomizes_seeds {
        writer.draw_all(draw);
    }
    writer.draw_negative(draw, &mut warnings);
    writer.collect_own_files();
    if let Some(now) = options.now {
        writer.fill_prefixes(now, &mut warnings);
    }
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

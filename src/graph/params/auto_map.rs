//! Maps well-known names that the graph does not declare (`autoMap`; params.md, No guessing). The search starts at the
//! only sampler and must find exactly one input; if it finds several, the problem lists them.

use super::{address::Reader, options::pointer};
use crate::{
    graph::{Workflow, links, workflow::Node},
    json::raw_value,
    problem::{Problem, clip},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashSet};

/// Well-known names.
const NAMES: [&str; 7] = ["prompt", "negative_prompt", "seed", "steps", "cfg", "width", "height"];
/// Inputs that hold the text of a prompt.
const TEXTS: [&str; 6] = ["text", "prompt", "text_g", "text_l", "clip_l", "t5xxl"];
/// Inputs that hold the value of a node for a single value.
const PLAIN: [&str; 5] = ["value", "seed", "text", "string", "int"];
/// Inputs that link one latent to another.
const LATENTS: [&str; 3] = ["latent_image", "samples", "latent"];
/// Maximum number of nodes visited by a search.
const VISITS_MAX: usize = 10_000;

/// Inputs that a name could mean; refused unless there is exactly one.
type Places = Vec<(usize, String)>;

/// Whether `name` is a well-known name.
pub(super) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

impl<'p> Reader<'_, 'p> {
    /// Assigns the value to the only input that the name can mean.
    pub(super) fn map(&mut self, key: &str, value: &'p RawValue) {
        let samplers = samplers(self.workflow);
        let &[sampler] = samplers.as_slice() else {
            let ids = samplers.iter().take(10).map(|&place| self.workflow.node(place).id.clone()).collect();
            let message =
                format!("`{key}` is searched for from the sampler, but the workflow has {} samplers", samplers.len());
            return self.no_single_place(key, message, ids);
        };
        let places = places(self.workflow, sampler, key);
        if let [(place, input)] = places.as_slice() {
            self.mapped.push((key.to_owned(), format!("{}.{input}", self.workflow.node(*place).id)));
            return self.assign_named(Some(key), *place, input, pointer(key), Cow::Borrowed(value));
        }
        let address = |(place, input): &(usize, String)| format!("{}.{input}", self.workflow.node(*place).id);
        let candidates = places.iter().take(10).map(address).collect();
        let message =
            format!("`{key}` could mean {} inputs of this workflow; use an address like `6.text`", places.len());
        self.no_single_place(key, message, candidates);
    }

    fn no_single_place(&mut self, key: &str, message: String, candidates: Vec<String>) {
        let code = if candidates.is_empty() { "param_no_such_input" } else { "param_ambiguous" };
        let problem = Problem::unfit(pointer(key), code, message);
        self.problems.push(problem.of_param(&clip(key)).with_candidates(candidates));
    }
}

/// Returns the samplers: nodes with linked `positive` and `latent_image`.
fn samplers(workflow: &Workflow) -> Vec<usize> {
    let is_sampler =
        |node: &Node| ["positive", "latent_image"].iter().all(|name| source(workflow, node, name).is_some());
    workflow.nodes().enumerate().filter(|(_, node)| is_sampler(node)).map(|(place, _)| place).collect()
}

fn places(workflow: &Workflow, sampler: usize, name: &str) -> Places {
    match name {
        "prompt" => texts(workflow, sampler, "positive"),
        "negative_prompt" => texts(workflow, sampler, "negative"),
        "seed" => held(workflow, sampler, &["seed", "noise_seed"]),
        "width" | "height" => sizes(workflow, sampler, name),
        _ => held(workflow, sampler, &[name]),
    }
}

/// Finds the texts of the positive or negative side.
fn texts(workflow: &Workflow, sampler: usize, side: &str) -> Places {
    walk(workflow, sampler, &[side], |node| {
        let held = TEXTS.iter().filter(|name| node.input(name).is_some()).copied().collect::<Vec<_>>();
        if !held.is_empty() {
            return Step::Here(held);
        }
        let has_sides = node.input("positive").is_some() && node.input("negative").is_some();
        let on = |name: &&str| if has_sides { *name == side } else { name.contains("conditioning") || *name == side };
        Step::On(node.inputs.iter().map(|(name, _)| name.as_str()).filter(on).collect())
    })
}

/// Finds the size of the first latent.
fn sizes(workflow: &Workflow, sampler: usize, name: &str) -> Places {
    walk(workflow, sampler, &LATENTS, |node| match node.inputs.iter().find(|(input, _)| input == name) {
        Some((input, _)) => Step::Here(vec![input]),
        None => Step::On(LATENTS.to_vec()),
    })
}

/// Result of visiting a node.
enum Step<'n> {
    /// These inputs are found.
    Here(Vec<&'n str>),
    /// Continue at the sources of these inputs.
    On(Vec<&'n str>),
}

fn walk<'w>(workflow: &'w Workflow, start: usize, first: &[&str], step: impl Fn(&'w Node) -> Step<'w>) -> Places {
    let behind = |place: usize, names: &[&str]| {
        let node = workflow.node(place);
        names.iter().filter_map(|name| source(workflow, node, name)).collect::<Vec<usize>>()
    };
    let (mut left, mut seen, mut found) = (behind(start, first), HashSet::new(), Vec::new());
    while let Some(place) = left.pop() {
        if seen.len() >= VISITS_MAX || !seen.insert(place) {
            continue;
        }
        match step(workflow.node(place)) {
            Step::Here(inputs) => found.extend(inputs.iter().flat_map(|input| held(workflow, place, &[input]))),
            Step::On(names) => left.extend(behind(place, &names)),
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns these inputs if the node holds their values, or the single value of the node that they are linked to.
fn held(workflow: &Workflow, place: usize, names: &[&str]) -> Places {
    let node = workflow.node(place);
    let mut places = Vec::new();
    for name in names.iter().filter(|name| node.input(name).is_some()) {
        let Some(linked) = source(workflow, node, name) else {
            places.push((place, (*name).to_owned()));
            continue;
        };
        let behind = workflow.node(linked);
        let plain = PLAIN.iter().filter(|name| behind.input(name).is_some_and(|value| !raw_value::is_array(value)));
        places.extend(plain.map(|name| (linked, (*name).to_owned())));
    }
    places
}

/// Returns the node that an input is linked to.
fn source(workflow: &Workflow, node: &Node, input: &str) -> Option<usize> {
    workflow.place_of(&links::borrowed_link_target(node.input(input)?)?)
}

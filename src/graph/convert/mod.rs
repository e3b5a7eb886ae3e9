//! Converts the editor's format (`{"nodes":[…],"links":[…]}`) to the API format, as ComfyUI's own editor does when it
//! queues a graph: follows links through reroutes, bypassed nodes and subgraphs, and names widgets by the instances'
//! declarations.
//!
//! Invariant: a graph that cannot be converted faithfully is refused with the reason; nothing is guessed. Start with
//! [`Workflow::read`]; `editor_format` reads the format, `resolve_links` follows links, `widgets` names values.

mod dynamic_prompts;
mod editor_format;
mod named_list;
mod resolve_links;
mod widgets;
mod write;

use super::{Budget, FleetCatalog, GraphLimits, Workflow, catalog::Class, json_faults::scan};
use crate::{
    json::raw_value,
    problem::{Problem, Problems, clip},
    task::Warning,
};
use editor_format::{Document, Node};
use resolve_links::{Plan, Source, Walk};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};
use write::Writer;

/// JSON pointer of the workflow in the request.
const BASE: &str = "/workflow";
/// Largest converted graph, bytes: the texts of a subgraph are repeated for each of its instances.
const CONVERTED_BYTES_MAX: usize = 16 << 20;
/// Input in which the editor replaces `%date:…%` and `%Node.widget%`; we do not.
const PREFIX: &str = "filename_prefix";

/// The reason a graph, or one of its nodes, cannot be converted: `node 7: …`.
type Fault = String;

impl Workflow {
    /// Parses a graph in either format. The editor's format is converted by the instances' declarations, with a
    /// warning.
    ///
    /// # Errors
    /// Every problem found, at most 100; `workflow_format_ui` for a graph that cannot be converted.
    pub fn read(
        json: &RawValue,
        limits: GraphLimits,
        pool: &FleetCatalog,
    ) -> Result<(Self, Vec<Warning>), Vec<Problem>> {
        Self::read_within(json, limits, pool, Default::default())
    }

    /// Does the same as [`Self::read`], within a budget. Once that is over, the result means nothing.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_within(
        json: &RawValue,
        limits: GraphLimits,
        pool: &FleetCatalog,
        budget: &Budget,
    ) -> Result<(Self, Vec<Warning>), Vec<Problem>> {
        budget.spend_text(json.get().len());
        if !is_ui(json) {
            return Ok((Self::parse(json, limits)?, Vec::new()));
        }
        let mut problems = Problems::default();
        scan(json.get(), BASE, &mut problems);
        problems.check()?;
        let (api, has_replacements) = convert(json, limits, pool, budget)?;
        let workflow = Self::parse(&api, limits)?;
        let warning =
            |code: &str, message: &str| Warning { code: code.to_owned(), message: message.to_owned(), param: None };
        let message = "the editor's format was converted to what the instances run; it is read back with form=resolved";
        let mut warnings = vec![warning("workflow_converted", message)];
        if has_replacements {
            let message = "a filename_prefix contains %…% that only the editor replaces; it was left unchanged";
            warnings.push(warning("workflow_prefix_kept", message));
        }
        Ok((workflow, warnings))
    }
}

/// Whether the JSON is in the editor's format.
pub(super) fn is_ui(json: &RawValue) -> bool {
    let members = raw_value::borrowed_members(json).unwrap_or_default();
    members.iter().any(|(key, value)| key == "nodes" && raw_value::is_array(value))
}

/// Makes the problem of a graph in the editor's format that is not converted.
pub(super) fn refusal(why: &str) -> Problem {
    let message = format!("this is the editor's format{why}; in ComfyUI choose \"Export (API)\" and send that");
    Problem::unfit(BASE.to_owned(), "workflow_format_ui", message)
}

fn refused(node_id: &str, fault: &str) -> Problem {
    refusal(&format!(" and cannot be converted: node {}: {fault}", clip(node_id))).at_node(node_id)
}

/// Returns the graph in API format, and whether a prefix contains text that only the editor replaces.
fn convert(
    json: &RawValue,
    limits: GraphLimits,
    pool: &FleetCatalog,
    budget: &Budget,
) -> Result<(Box<RawValue>, bool), Vec<Problem>> {
    if pool.is_empty() {
        return Err(vec![refusal(", and it is not known yet what the instances declare")]);
    }
    let whole = |fault: Fault| vec![refusal(&format!(" and cannot be converted: {fault}"))];
    let document = Document::read(json).map_err(whole)?;
    let plan = Plan::new(&document, limits.nodes_max).map_err(whole)?;
    let mut walk = Walk::new(&plan, budget);
    let (mut writer, mut problems) = (Writer::default(), Problems::default());
    for step in plan.steps() {
        if problems.is_full() || budget.is_over() {
            break;
        }
        let (id, node) = (plan.id_of(step), plan.node_of(step));
        match inputs(&mut walk, step, node, pool, budget) {
            Ok((class, inputs)) => {
                let before = writer.len();
                writer.node(&id, node, class, &inputs);
                budget.spend_text(writer.len() - before);
            }
            Err(fault) => problems.push(refused(&id, &fault)),
        }
        if writer.len() > CONVERTED_BYTES_MAX {
            return Err(whole(format!("the result is larger than {CONVERTED_BYTES_MAX} bytes")));
        }
    }
    problems.check()?;
    Ok((writer.finish(), walk.has_replacements))
}

/// An input's value in API format.
enum Value<'a> {
    Literal(Cow<'a, RawValue>),
    Link { id: String, slot: usize },
}

type Inputs<'a> = Vec<(String, Value<'a>)>;

/// Returns the inputs of a node: its widgets in their order, then its links.
fn inputs<'a>(
    walk: &mut Walk<'a, '_>,
    step: resolve_links::Step,
    node: &'a Node<'a>,
    pool: &'a FleetCatalog,
    budget: &Budget,
) -> Result<(&'a Class, Inputs<'a>), Fault> {
    let (class, widgets) = declared(node, pool, budget)?;
    let mut inputs: Inputs<'a> = Vec::with_capacity(widgets.len() + node.inputs.len());
    // An input that a muted node is linked to has no value.
    let mut places: HashMap<String, usize> = HashMap::with_capacity(inputs.capacity());
    let mut omitted = HashSet::new();
    for (name, value) in widgets {
        walk.has_replacements |=
            name == PREFIX && value.get().matches('%').count() > 1 && !is_known_prefix(value.get());
        places.entry(name.clone()).or_insert(inputs.len());
        inputs.push((name, Value::Literal(value)));
    }
    for (at, (name, slot)) in node.inputs.iter().enumerate().filter(|(_, (_, slot))| slot.link.is_some()) {
        let value = match walk.find(step, at)? {
            Source::Nothing => continue,
            Source::Muted => {
                omitted.extend(places.remove(name));
                continue;
            }
            Source::Value(value) => {
                let kind = class.input(name);
                if !slot.is_widget && !kind.is_some_and(super::catalog::Input::is_widget) {
                    continue;
                }
                if kind.is_some_and(|kind| !widgets::fits(kind, value)) {
                    return Err(format!("the value linked to `{}` does not fit it", clip(name)));
                }
                Value::Literal(Cow::Borrowed(value))
            }
            Source::Output { id, slot } => Value::Link { id, slot },
        };
        match places.get(name) {
            Some(&place) => inputs[place].1 = value,
            None => {
                places.insert(name.to_owned(), inputs.len());
                inputs.push((name.to_owned(), value));
            }
        }
    }
    let mut place = 0..;
    inputs.retain(|_| place.next().is_none_or(|place| !omitted.contains(&place)));
    Ok((class, inputs))
}

/// Returns the declaration that fits the node's values, and the values by name. Instances may have several versions of
/// a class.
fn declared<'a>(
    node: &'a Node<'a>,
    pool: &'a FleetCatalog,
    budget: &Budget,
) -> Result<(&'a Class, Vec<widgets::Named<'a>>), Fault> {
    let mut fault = format!("no instance is known to have the class {}", clip(&node.class));
    for class in pool.declarations(&node.class) {
        match widgets::named(node, class, budget) {
            Ok(widgets) => return Ok((class, widgets)),
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

/// Whether the instance itself replaces all of a prefix's `%…%`: `%width%`, `%year%` and similar.
fn is_known_prefix(json: &str) -> bool {
    const OWN: [&str; 8] = ["width", "height", "year", "month", "day", "hour", "minute", "second"];
    json.split('%').skip(1).step_by(2).all(|name| OWN.contains(&name))
}

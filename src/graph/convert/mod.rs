//! From the editor's format (`{"nodes":[…],"links":[…]}`) to the API's, as ComfyUI's own editor does it when it queues a graph:
//! links followed through reroutes, bypassed nodes and subgraphs, widgets named by what the instances declare.
//!
//! Invariant: what cannot be converted faithfully is refused, with what prevented it; nothing is guessed. Look first at
//! [`Workflow::read`]; `ui` reads the format, `walk` follows links, `widgets` names values.

mod dynamic;
mod ui;
mod walk;
mod widgets;
mod write;

use super::{
    GraphLimits, Pool, Problem, Workflow,
    catalog::Class,
    problem::{Problems, clip},
    raw,
    scan::scan,
};
use crate::task::Warning;
use serde_json::value::RawValue;
use std::borrow::Cow;
use ui::{Document, Node};
use walk::{Found, Plan, Walk};
use write::Writer;

/// Where the workflow stands in the request.
const BASE: &str = "/workflow";
/// Largest graph that comes of it, bytes: a subgraph's texts are repeated for each of its instances.
const CONVERTED_BYTES_MAX: usize = 16 << 20;
/// The editor replaces `%date:…%` and `%Node.widget%` in this input; we do not.
const PREFIX: &str = "filename_prefix";

/// Why a graph, or one node of it, cannot be converted: `node 7: …`.
type Fault = String;

impl Workflow {
    /// Reads a graph of either format. The editor's is converted with what the instances declare, which a warning says.
    ///
    /// # Errors
    /// Every problem found, at most 100; `workflow_format_ui` for what cannot be converted.
    pub fn read(json: &RawValue, limits: GraphLimits, pool: &Pool) -> Result<(Self, Vec<Warning>), Vec<Problem>> {
        if !is_ui(json) {
            return Ok((Self::parse(json, limits)?, Vec::new()));
        }
        let mut problems = Problems::default();
        scan(json.get(), BASE, &mut problems);
        problems.check()?;
        let (api, has_replacements) = convert(json, limits, pool)?;
        let workflow = Self::parse(&api, limits)?;
        let warning =
            |code: &str, message: &str| Warning { code: code.to_owned(), message: message.to_owned(), param: None };
        let message = "the editor's format was converted to what the instances run; it is read back with form=resolved";
        let mut warnings = vec![warning("workflow_converted", message)];
        if has_replacements {
            let message = "a filename_prefix holds %…% that only the editor replaces; it was left as it is";
            warnings.push(warning("workflow_prefix_kept", message));
        }
        Ok((workflow, warnings))
    }
}

/// Whether it is the editor's format.
pub(super) fn is_ui(json: &RawValue) -> bool {
    let members = raw::borrowed_members(json).unwrap_or_default();
    members.iter().any(|(key, value)| key == "nodes" && raw::is_array(value))
}

/// What is said of a graph in the editor's format that is not converted.
pub(super) fn refusal(why: &str) -> Problem {
    let message = format!("this is the editor's format{why}; in ComfyUI choose \"Export (API)\" and send that");
    Problem::unfit(BASE.to_owned(), "workflow_format_ui", message)
}

fn refused(node_id: &str, fault: &str) -> Problem {
    refusal(&format!(" and cannot be converted: node {}: {fault}", clip(node_id))).at_node(node_id)
}

/// The graph in the API's format, and whether a prefix holds what only the editor replaces.
fn convert(json: &RawValue, limits: GraphLimits, pool: &Pool) -> Result<(Box<RawValue>, bool), Vec<Problem>> {
    if pool.is_empty() {
        return Err(vec![refusal(", and it is not known yet what the instances declare")]);
    }
    let whole = |fault: Fault| vec![refusal(&format!(" and cannot be converted: {fault}"))];
    let document = Document::read(json).map_err(whole)?;
    let plan = Plan::new(&document, limits.nodes_max).map_err(whole)?;
    let mut walk = Walk::new(&plan);
    let (mut writer, mut problems) = (Writer::default(), Problems::default());
    for step in plan.steps() {
        if problems.is_full() {
            break;
        }
        let (id, node) = (plan.id_of(step), plan.node_of(step));
        match inputs(&mut walk, step, node, pool) {
            Ok((class, inputs)) => writer.node(&id, node, class, &inputs),
            Err(fault) => problems.push(refused(&id, &fault)),
        }
        if writer.len() > CONVERTED_BYTES_MAX {
            return Err(whole(format!("it comes to more than {CONVERTED_BYTES_MAX} bytes")));
        }
    }
    problems.check()?;
    Ok((writer.finish(), walk.has_replacements))
}

/// An input's value in the API's format.
enum Value<'a> {
    Literal(Cow<'a, RawValue>),
    Link { id: String, slot: usize },
}

type Inputs<'a> = Vec<(String, Value<'a>)>;

/// What a node is given: its widgets in their order, then its links.
fn inputs<'a>(
    walk: &mut Walk<'a, '_>,
    step: walk::Step,
    node: &'a Node<'a>,
    pool: &'a Pool,
) -> Result<(&'a Class, Inputs<'a>), Fault> {
    let (class, widgets) = declared(node, pool)?;
    let mut inputs: Inputs<'a> = Vec::with_capacity(widgets.len() + node.inputs.len());
    for (name, value) in widgets {
        walk.has_replacements |=
            name == PREFIX && value.get().matches('%').count() > 1 && !is_known_prefix(value.get());
        inputs.push((name, Value::Literal(value)));
    }
    for (at, slot) in node.inputs.iter().enumerate().filter(|(_, slot)| slot.link.is_some()) {
        let value = match walk.find(step, at)? {
            Found::Nothing => continue,
            Found::Muted => {
                inputs.retain(|(name, _)| *name != slot.name);
                continue;
            }
            Found::Value(value) => {
                let kind = class.input(&slot.name);
                if !slot.is_widget && !kind.is_some_and(super::catalog::Input::is_widget) {
                    continue;
                }
                if kind.is_some_and(|kind| !widgets::fits(kind, value)) {
                    return Err(format!("the value that is linked to `{}` does not fit it", clip(&slot.name)));
                }
                Value::Literal(Cow::Borrowed(value))
            }
            Found::Output { id, slot } => Value::Link { id, slot },
        };
        match inputs.iter_mut().find(|(name, _)| *name == slot.name) {
            Some((_, present)) => *present = value,
            None => inputs.push((slot.name.clone(), value)),
        }
    }
    Ok((class, inputs))
}

/// The declaration that the node's values fit, and those values by name. Instances may have a class in several versions.
fn declared<'a>(node: &'a Node<'a>, pool: &'a Pool) -> Result<(&'a Class, Vec<widgets::Named<'a>>), Fault> {
    let mut fault = format!("no instance is known to have the class {}", clip(&node.class));
    for class in pool.declarations(&node.class) {
        match widgets::named(node, class) {
            Ok(widgets) => return Ok((class, widgets)),
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

/// `%width%`, `%year%` and their like are the instance's own.
fn is_known_prefix(json: &str) -> bool {
    const OWN: [&str; 8] = ["width", "height", "year", "month", "day", "hour", "minute", "second"];
    json.split('%').skip(1).step_by(2).all(|name| OWN.contains(&name))
}

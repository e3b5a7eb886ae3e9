//! Converts the editor's format (`{"nodes":[…],"links":[…]}`) to the API format, as ComfyUI's own editor does when it
//! queues a graph: follows links through reroutes, bypassed nodes and subgraphs, and names widgets by the instances'
//! declarations.
//!
//! Invariant: a graph that cannot be converted faithfully is refused with the reason; nothing is guessed. Start with
//! [`Workflow::read`]; `editor_format` reads the format, `roles` knows the nodes of the editor only, `plan` and
//! `host_values` enter subgraphs, `group_nodes` reads their predecessors, `resolve_links` follows links, `widgets` names values, `node_inputs` joins them.

mod dynamic_prompts;
mod editor_format;
mod editor_node;
mod extra_widgets;
mod group_nodes;
mod host_values;
mod named_list;
mod node_inputs;
mod plan;
mod resolve_links;
mod roles;
mod widgets;
mod write;

use super::{Budget, FleetCatalog, GraphLimits, Workflow, json_faults::scan};
use crate::{
    json::raw_value,
    problem::{Problem, Problems, clip},
    task::Warning,
};
use editor_format::Document;
use node_inputs::{Conversion, Written};
use plan::Plan;
use serde_json::value::RawValue;
use write::Writer;

/// JSON pointer of the workflow in the request.
const BASE: &str = "/workflow";
/// Largest converted graph, bytes: the texts of a subgraph are repeated for each of its instances.
const CONVERTED_BYTES_MAX: usize = 16 << 20;
/// Number of nodes that a warning names.
const NODES_SHOWN: usize = 10;

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
            return Ok((Self::parse_links_later(json, limits)?, Vec::new()));
        }
        let mut problems = Problems::default();
        scan(json.get(), BASE, &mut problems);
        problems.check()?;
        let (api, notes) = convert(json, limits, pool, budget)?;
        Ok((Self::parse(&api, limits)?, notes.warnings()))
    }
}

/// Facts about a conversion that the submitter should know.
#[derive(Default)]
struct Notes {
    /// Nodes that have no class on the instances and no links.
    left_out: Vec<String>,
    /// Nodes with values that no widget takes.
    with_surplus: Vec<String>,
}

impl Notes {
    fn warnings(self) -> Vec<Warning> {
        let warning = |code: &str, message: String| Warning { code: code.to_owned(), message, param: None };
        let message = "the editor's format was converted to what the instances run; it is read back with form=resolved";
        let mut warnings = vec![warning("workflow_converted", message.to_owned())];
        for (code, nodes, what) in [
            ("workflow_node_left_out", self.left_out, "nodes of the editor only were left out"),
            ("workflow_values_left_out", self.with_surplus, "values that no widget of the class takes were left out"),
        ] {
            if !nodes.is_empty() {
                let more = nodes.len().saturating_sub(NODES_SHOWN);
                let shown: Vec<String> = nodes.into_iter().take(NODES_SHOWN).collect();
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                warnings.push(warning(code, format!("{what}: {}{more}", shown.join(", "))));
            }
        }
        warnings
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

/// Returns the graph in API format, and what the submitter should know about it.
fn convert(
    json: &RawValue,
    limits: GraphLimits,
    pool: &FleetCatalog,
    budget: &Budget,
) -> Result<(Box<RawValue>, Notes), Vec<Problem>> {
    if pool.is_empty() {
        return Err(vec![refusal(", and it is not known yet what the instances declare")]);
    }
    let whole = |fault: Fault| vec![refusal(&format!(" and cannot be converted: {fault}"))];
    let document = Document::read(json, pool).map_err(whole)?;
    let plan = Plan::new(&document, limits.nodes_max, budget).map_err(whole)?;
    let mut conversion = Conversion::new(&plan, pool, budget);
    let (mut writer, mut problems, mut unknown) = (Writer::default(), Problems::default(), None);
    for step in plan.steps() {
        if problems.is_full() || budget.is_over() {
            break;
        }
        let (id, node) = (plan.id_of(step), plan.node_of(step));
        match conversion.node(step) {
            Ok(Written { class: Some(class), inputs }) => {
                let before = writer.len();
                writer.node(&id, node, class, &inputs);
                budget.spend_text(writer.len() - before);
            }
            Ok(Written { class: None, .. }) => {
                unknown.get_or_insert_with(|| refused(&id, &node_inputs::unknown_class(node)));
                conversion.notes.left_out.push(format!("{} ({})", clip(&id), clip(&node.class)));
            }
            Err(fault) => problems.push(refused(&id, &fault)),
        }
        if writer.len() > CONVERTED_BYTES_MAX {
            return Err(whole(format!("the result is larger than {CONVERTED_BYTES_MAX} bytes")));
        }
    }
    if writer.len() == 0
        && let Some(problem) = unknown
    {
        problems.push(problem);
    }
    problems.check()?;
    Ok((writer.finish(), conversion.finish()))
}

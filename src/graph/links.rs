//! Checks for cycles and long chains of links, over the whole graph: ComfyUI also walks unneeded nodes, recursively.

use super::{
    Problem, Workflow,
    problem::{clip, step},
    raw,
};

/// Number of node ids listed in the message about a cycle.
const CYCLE_SHOWN: usize = 10;

/// Refuses a cycle and a chain longer than the graph's limit. `base` is the pointer of the problems: `/workflow` or
/// `/params`.
pub(super) fn check(workflow: &Workflow, base: &str) -> Result<(), Vec<Problem>> {
    let sources = sources(workflow);
    let mut users = vec![Vec::new(); sources.len()];
    for (node, list) in sources.iter().enumerate() {
        for &source in list {
            users[source].push(node);
        }
    }
    let mut missing: Vec<usize> = sources.iter().map(Vec::len).collect();
    let mut depth = vec![1; sources.len()];
    let mut ready: Vec<usize> = (0..sources.len()).filter(|&node| missing[node] == 0).collect();
    let mut settled = 0;
    while let Some(node) = ready.pop() {
        settled += 1;
        for &user in &users[node] {
            depth[user] = depth[user].max(depth[node] + 1);
            missing[user] -= 1;
            if missing[user] == 0 {
                ready.push(user);
            }
        }
    }
    if settled < sources.len() {
        return Err(vec![cycle(workflow, base, &sources, &missing)]);
    }
    let depth_max = workflow.limits().depth_max;
    let Some(node) = depth.iter().position(|&length| length > depth_max) else { return Ok(()) };
    let id = &workflow.node(node).id;
    let message = format!("node {}: chain of more than {depth_max} linked nodes", clip(id));
    Err(vec![Problem::unfit(place(base, id), "workflow_too_deep", message).at_node(id)])
}

/// Returns, for each node, the nodes that its inputs are linked to.
fn sources(workflow: &Workflow) -> Vec<Vec<usize>> {
    let of_input = |value: &_| raw::borrowed_link_target(value).and_then(|target| workflow.place_of(&target));
    workflow.nodes().map(|node| node.inputs.iter().filter_map(|(_, value)| of_input(value)).collect()).collect()
}

fn cycle(workflow: &Workflow, base: &str, sources: &[Vec<usize>], missing: &[usize]) -> Problem {
    let is_left = |node: usize| missing[node] > 0;
    let mut seen = vec![false; sources.len()];
    let mut path = Vec::new();
    let mut here = (0..sources.len()).find(|&node| is_left(node));
    // Every remaining node has a remaining source, so this walk must return to a visited node.
    while let Some(node) = here.filter(|&node| !seen[node]) {
        seen[node] = true;
        path.push(node);
        here = sources[node].iter().copied().find(|&source| is_left(source));
    }
    let start = here.unwrap_or_default();
    let on_cycle = path.iter().copied().skip_while(|&node| node != start).take(CYCLE_SHOWN);
    let ids: Vec<String> = on_cycle.chain([start]).map(|node| clip(&workflow.node(node).id)).collect();
    let id = &workflow.node(start).id;
    let message = format!("links form a cycle: {}", ids.join(" ← "));
    Problem::unfit(place(base, id), "workflow_cycle", message).at_node(id)
}

fn place(base: &str, id: &str) -> String {
    if base == "/workflow" { step(base, id) } else { base.to_owned() }
}

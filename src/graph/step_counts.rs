//! Steps of each node, by which the progress of a workflow is weighted before its first run.

use super::{Workflow, links, workflow::Node};
use crate::json::raw_value;

/// Steps of a sampler whose number of steps is not in the graph.
const STEPS_DEFAULT: u32 = 20;
/// Maximum steps of a node.
const STEPS_MAX: u32 = 10_000;
/// Links followed from a sampler to the node that makes its sigmas.
const HOPS_MAX: usize = 4;

impl Workflow {
    /// Returns the number of steps of each node, in order: those of a sampler, and 1 for any other node.
    pub fn steps_of_nodes(&self) -> Vec<(String, u32)> {
        self.nodes().map(|node| (node.id.clone(), self.steps_of(node))).collect()
    }

    fn steps_of(&self, node: &Node) -> u32 {
        let class = node.class.to_ascii_lowercase();
        if class.contains("scheduler") || class.contains("sigmas") || class.contains("select") {
            return 1;
        }
        let own = || if node.input("steps").is_some() { Some(self.number(node, "steps")) } else { None };
        let is_sampler = class.contains("sampler");
        let steps = own().or_else(|| is_sampler.then(|| self.steps_of_sigmas(node)));
        let Some(steps) = steps else { return 1 };
        let steps = steps.unwrap_or(STEPS_DEFAULT).clamp(1, STEPS_MAX);
        // A part of the steps, as KSamplerAdvanced has.
        let from = self.number(node, "start_at_step").unwrap_or(0).min(steps);
        let to = self.number(node, "end_at_step").unwrap_or(steps).min(steps);
        to.saturating_sub(from).max(1)
    }

    /// Steps of the scheduler that a sampler's `sigmas` lead to.
    fn steps_of_sigmas(&self, sampler: &Node) -> Option<u32> {
        let mut node = sampler;
        for _ in 0..HOPS_MAX {
            let source = links::link_target(node.input("sigmas")?)?;
            node = self.node(self.place_of(&source)?);
            if node.input("steps").is_some() {
                return self.number(node, "steps");
            }
        }
        None
    }

    /// A whole number: the literal of an input, or the value of the node that it is linked to.
    fn number(&self, node: &Node, input: &str) -> Option<u32> {
        let raw = node.input(input)?;
        let literal = |raw| raw_value::integer(raw).and_then(|number| u32::try_from(number).ok());
        literal(raw).or_else(|| {
            let source = self.node(self.place_of(&links::link_target(raw)?)?);
            source.input("value").or_else(|| source.input("int")).and_then(literal)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::Workflow;
    use serde_json::value::RawValue;

    #[test]
    fn samplers_count_for_their_steps() {
        for (class, inputs, steps) in [
            ("KSampler", r#"{"steps":30}"#, 30),
            ("KSampler", r#"{"steps":["p",0]}"#, 12),
            ("KSampler", r#"{"steps":["e",0]}"#, 20),
            ("KSamplerAdvanced", r#"{"steps":30,"start_at_step":10,"end_at_step":10000}"#, 20),
            ("SamplerCustomAdvanced", r#"{"sigmas":["s",0]}"#, 8),
            ("SamplerCustom", r#"{"sigmas":["t",0]}"#, 8),
            ("SamplerCustom", r#"{"sigmas":["e",0]}"#, 20),
            ("WanVideoSampler", r#"{"steps":6}"#, 6),
            ("KSamplerSelect", r#"{"sampler_name":"euler"}"#, 1),
            ("BasicScheduler", r#"{"steps":30}"#, 1),
            ("VAEDecode", r#"{"samples":["n",0]}"#, 1),
            ("KSampler", r#"{"steps":-3}"#, 20),
            ("KSampler", r#"{"steps":4000000000}"#, 10_000),
        ] {
            let graph = format!(
                r#"{{"n":{{"class_type":"{class}","inputs":{inputs}}},"p":{{"class_type":"PrimitiveInt","inputs":{{"value":12}}}},
                "s":{{"class_type":"BasicScheduler","inputs":{{"steps":8}}}},"t":{{"class_type":"SplitSigmas","inputs":{{"sigmas":["s",0]}}}},
                "e":{{"class_type":"EmptyImage","inputs":{{}}}}}}"#
            );
            let workflow = Workflow::from_stored(serde_json::from_str::<&RawValue>(&graph).unwrap()).unwrap();
            assert_eq!(workflow.steps_of_nodes()[0], ("n".to_owned(), steps), "{class} {inputs}");
        }
    }
}

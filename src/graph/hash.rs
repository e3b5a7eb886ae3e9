//! The name of a graph but for what changes from run to run: runs of one hash take about the same time.

use super::{Pool, Workflow, catalog::Kind, node::Node, params::is_seed_name, raw};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// The input by which save nodes name their files.
const PREFIX: &str = "filename_prefix";
/// Bytes of the digest that are kept.
const BYTES: usize = 16;

impl Workflow {
    /// A lowercase hex text: the same for graphs that differ only in the order of nodes and inputs, titles, the spelling of
    /// numbers and texts, seeds, file name prefixes, and (as far as `pool` declares them) names of uploaded files and free texts.
    pub fn hash(&self, pool: &Pool) -> String {
        let mut nodes: Vec<&Node> = self.nodes().collect();
        nodes.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let mut hasher = Sha256::new();
        for node in nodes {
            // Each text with its length first: none can look like the beginning of the next.
            let mut put = |text: &str| {
                hasher.update((text.len() as u64).to_be_bytes());
                hasher.update(text);
            };
            put(&node.id);
            put(&node.class);
            let declared = pool.declarations(&node.class).next();
            let mut inputs: Vec<&(String, Box<RawValue>)> = node.inputs.iter().collect();
            inputs.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            for (name, value) in inputs {
                let declared = declared.and_then(|class| class.input(name));
                let is_free = name == PREFIX
                    || is_seed_name(name)
                    || declared
                        .is_some_and(|input| input.is_seed || input.is_upload || matches!(input.kind, Kind::Text));
                put(name);
                if !is_free || raw::is_array(value) {
                    put(&canonical(value));
                }
            }
        }
        hasher.finalize().iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The same text for equal values.
fn canonical(value: &RawValue) -> String {
    raw::canonical(value).unwrap_or_else(|| {
        let value: Option<serde_json::Value> = serde_json::from_str(value.get()).ok();
        value.map(|value| value.to_string()).unwrap_or_default()
    })
}

//! Implementations of the nodes. `test_nodes` holds our test node pack, `pictures` and `media` load and save, and
//! `generic` stands for every other class: it passes on pictures, texts and seeds by declared type, so that ordinary
//! workflows run.

pub(super) mod classes;
pub(super) mod context;
pub(super) mod drawing;
mod generic;
mod inputs;
mod media;
pub(super) mod media_bytes;
mod pictures;
mod test_nodes;
pub(super) mod value;

use crate::sim::engine::{graph::Node, progress::NodeIds};
use context::Context;
use inputs::Inputs;
use std::collections::HashMap;
use value::{NodeFailure, NodeResult, NodeValue};

/// Runs a node.
pub(super) async fn run(
    context: &Context,
    ids: &NodeIds,
    node: &Node,
    inputs: &HashMap<String, NodeValue>,
) -> Result<NodeResult, NodeFailure> {
    let inputs = Inputs(inputs);
    let result = match node.class_name.as_str() {
        name if name.starts_with("Test") || name == "UiOut" => {
            Box::pin(test_nodes::run(context, ids, name, &inputs)).await?
        }
        "KSampler" | "KSamplerAdvanced" | "SamplerCustomAdvanced" => {
            Box::pin(generic::sample(context, ids, node, &inputs)).await?
        }
        "SaveAudio" | "SaveAudioMP3" | "SaveAudioOpus" | "PreviewAudio" | "SaveVideo" | "SaveWEBM" | "SaveLatent"
        | "SaveAnimatedWEBP" | "SaveAnimatedPNG" | "LoadAudio" | "LoadVideo" | "EmptyAudio" | "CreateVideo"
        | "GetVideoComponents" => Box::pin(media::run(context, &node.class_name, &inputs)).await?,
        _ => match Box::pin(pictures::run(context, ids, &node.class_name, &inputs)).await? {
            Some(result) => result,
            None => generic::run(node, &inputs),
        },
    };
    context.wait_until_running().await;
    Ok(result)
}

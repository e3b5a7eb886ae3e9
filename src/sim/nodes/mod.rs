//! Implementations of the nodes. `test_nodes` holds our test node pack, `pictures` and `media` load and save, and
//! `generic` stands for every other class: it passes on pictures, texts and seeds by declared type, so that ordinary
//! workflows run.

pub(super) mod classes;
pub(super) mod context;
pub(super) mod drawing;
mod generic;
mod hidden_inputs;
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

/// Message of a node on a broken GPU.
const BROKEN_GPU: &str = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be \
                          asynchronously reported at some other API call, so the stacktrace below might be incorrect.";

/// Whether a class would use the GPU.
fn uses_gpu(class: &str) -> bool {
    ["KSampler", "SamplerCustom", "VAE", "CLIPTextEncode", "TestSteps"].iter().any(|name| class.starts_with(name))
}

/// Runs a node.
pub(super) async fn run(
    context: &Context,
    ids: &NodeIds,
    node: &Node,
    inputs: &HashMap<String, NodeValue>,
) -> Result<NodeResult, NodeFailure> {
    let inputs = Inputs(inputs);
    let result = match node.class_name.as_str() {
        name if uses_gpu(name) && context.process.breaks_gpu() => {
            return Err(NodeFailure::error("torch.AcceleratorError", BROKEN_GPU));
        }
        name if name.starts_with("Test") || matches!(name, "UiOut" | "Raises" | "SleepSilent") => {
            Box::pin(test_nodes::run(context, ids, name, &inputs)).await?
        }
        name @ ("NeedsApiKey" | "NeedsPngInfo") => hidden_inputs::run(context, name, &inputs)?,
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

//! Classes without an implementation of their own: outputs by declared type, made from the inputs. Also the samplers,
//! which take time and turn a latent into a picture of the prompt.

use crate::sim::{
    engine::{graph::Node, progress::NodeIds},
    nodes::{
        context::Context,
        drawing::{Ink, Picture},
        inputs::Inputs,
        media_bytes,
        value::{Conditioning, NodeFailure, NodeResult, NodeValue},
    },
    python,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Names of inputs that hold the text of a conditioning.
const TEXTS: [&str; 5] = ["text", "t5xxl", "clip_l", "text_g", "text_l"];
/// Steps of a sampler.
const STEPS_MAX: u64 = 10_000;

pub(crate) fn run(node: &Node, inputs: &Inputs<'_>) -> NodeResult {
    let conditioning = Arc::new(conditioning(node, inputs));
    let picture = picture(node, inputs);
    let class = node.class.map(|class| class.outputs.as_slice()).unwrap_or_default();
    let outputs = class.iter().map(|kind| match kind.as_str() {
        "IMAGE" | "LATENT" | "MASK" => NodeValue::Picture(picture.clone()),
        "VIDEO" => NodeValue::Film(picture.clone()),
        "AUDIO" => NodeValue::Sound(44_100, 2),
        "INT" => NodeValue::Json(json!(0)),
        "FLOAT" => NodeValue::Json(json!(0.0)),
        "STRING" => NodeValue::Json(json!(conditioning.text.clone().unwrap_or_default())),
        "BOOLEAN" => NodeValue::Json(json!(false)),
        _ => NodeValue::Conditioning(Arc::clone(&conditioning)),
    });
    NodeResult::of(outputs.collect())
}

/// Returns the inputs in declared order, but `negative` last, because the first text is drawn.
fn ordered<'a>(node: &Node, inputs: &'a Inputs<'_>) -> Vec<(&'static str, &'a NodeValue)> {
    let declared = node.class.map(|class| class.inputs.as_slice()).unwrap_or_default();
    let mut found: Vec<(&'static str, &NodeValue)> =
        declared.iter().filter_map(|input| Some((input.name.as_str(), inputs.get(&input.name)?))).collect();
    found.sort_by_key(|(name, _)| *name == "negative");
    found
}

fn conditioning(node: &Node, inputs: &Inputs<'_>) -> Conditioning {
    let mut all = Conditioning::default();
    for (name, value) in ordered(node, inputs) {
        match value {
            NodeValue::Conditioning(one) => {
                all.text = all.text.or_else(|| one.text.clone());
                all.seed = all.seed.or(one.seed);
                all.steps = all.steps.or(one.steps);
            }
            NodeValue::Json(Value::String(text)) if TEXTS.contains(&name) && !text.trim().is_empty() => {
                all.text = all.text.or_else(|| Some(text.clone()));
            }
            NodeValue::Json(number) if matches!(name, "seed" | "noise_seed") => {
                let seed = python::int_of(number).ok().and_then(|seed| u64::try_from(seed).ok());
                all.seed = all.seed.or(seed);
            }
            NodeValue::Json(_) if name == "steps" => all.steps = all.steps.or(Some(inputs.int("steps", 20))),
            _ => {}
        }
    }
    all
}

/// Returns the first picture among the inputs, or one of the declared size.
fn picture(node: &Node, inputs: &Inputs<'_>) -> Picture {
    let linked = ordered(node, inputs).into_iter().find_map(|(_, value)| match value {
        NodeValue::Picture(picture) | NodeValue::Film(picture) => Some(picture.clone()),
        _ => None,
    });
    linked.unwrap_or_else(|| {
        let sides = (inputs.side("width", 512).max(1), inputs.side("height", 512).max(1));
        Picture::flat(sides.0, sides.1, inputs.side("batch_size", 1), 0)
    })
}

pub(crate) async fn sample(
    context: &Context,
    ids: &NodeIds,
    node: &Node,
    inputs: &Inputs<'_>,
) -> Result<NodeResult, NodeFailure> {
    let conditioning = conditioning(node, inputs);
    let steps = conditioning.steps.unwrap_or(20).clamp(1, STEPS_MAX);
    let options = &context.process.instance.options;
    let preview = options.previews.then_some((1, media_bytes::PREVIEW));
    for step in 1..=steps {
        context.wait(options.step.as_secs_f64()).await?;
        context.step(ids, step, steps, preview)?;
    }
    let ink = Ink::Drawn { seed: conditioning.seed.unwrap_or(0), text: conditioning.text.unwrap_or_default().into() };
    let latent = NodeValue::Picture(Picture { ink, is_inverted: false, ..picture(node, inputs) });
    let count = node.class.map_or(1, |class| class.outputs.len());
    Ok(NodeResult::of(vec![latent; count]))
}

//! All classes without code of their own: outputs by declared type, carrying on what the inputs brought. And the samplers,
//! which take their time and turn a latent into a picture of the prompt.

use super::{Bundle, Context, Failed, Inputs, Made, Val, bytes};
use crate::sim::{
    engine::{graph::Node, progress::Ids},
    nodes::drawing::{Ink, Picture},
    python,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Inputs that hold the text of a conditioning.
const TEXTS: [&str; 5] = ["text", "t5xxl", "clip_l", "text_g", "text_l"];
/// Steps of a sampler.
const STEPS_MAX: u64 = 10_000;

pub(super) fn run(node: &Node, inputs: &Inputs<'_>) -> Made {
    let bundle = Arc::new(bundle(node, inputs));
    let picture = picture(node, inputs);
    let class = node.class.map(|class| class.outputs.as_slice()).unwrap_or_default();
    let outputs = class.iter().map(|kind| match kind.as_str() {
        "IMAGE" | "LATENT" | "MASK" => Val::Picture(picture.clone()),
        "VIDEO" => Val::Film(picture.clone()),
        "AUDIO" => Val::Sound(44_100, 2),
        "INT" => Val::Json(json!(0)),
        "FLOAT" => Val::Json(json!(0.0)),
        "STRING" => Val::Json(json!(bundle.text.clone().unwrap_or_default())),
        "BOOLEAN" => Val::Json(json!(false)),
        _ => Val::Bundle(Arc::clone(&bundle)),
    });
    Made::of(outputs.collect())
}

/// Inputs in declared order, but the negative side last: the first text is the one to show.
fn ordered<'a>(node: &Node, inputs: &'a Inputs<'_>) -> Vec<(&'static str, &'a Val)> {
    let declared = node.class.map(|class| class.inputs.as_slice()).unwrap_or_default();
    let mut found: Vec<(&'static str, &Val)> =
        declared.iter().filter_map(|input| Some((input.name.as_str(), inputs.get(&input.name)?))).collect();
    found.sort_by_key(|(name, _)| *name == "negative");
    found
}

fn bundle(node: &Node, inputs: &Inputs<'_>) -> Bundle {
    let mut all = Bundle::default();
    for (name, value) in ordered(node, inputs) {
        match value {
            Val::Bundle(one) => {
                all.text = all.text.or_else(|| one.text.clone());
                all.seed = all.seed.or(one.seed);
                all.steps = all.steps.or(one.steps);
            }
            Val::Json(Value::String(text)) if TEXTS.contains(&name) && !text.trim().is_empty() => {
                all.text = all.text.or_else(|| Some(text.clone()));
            }
            Val::Json(number) if matches!(name, "seed" | "noise_seed") => {
                let seed = python::int_of(number).ok().and_then(|seed| u64::try_from(seed).ok());
                all.seed = all.seed.or(seed);
            }
            Val::Json(_) if name == "steps" => all.steps = all.steps.or(Some(inputs.int("steps", 20))),
            _ => {}
        }
    }
    all
}

/// The first picture among the inputs, or one of the declared size.
fn picture(node: &Node, inputs: &Inputs<'_>) -> Picture {
    let linked = ordered(node, inputs).into_iter().find_map(|(_, value)| match value {
        Val::Picture(picture) | Val::Film(picture) => Some(picture.clone()),
        _ => None,
    });
    linked.unwrap_or_else(|| {
        let sides = (inputs.side("width", 512).max(1), inputs.side("height", 512).max(1));
        Picture::flat(sides.0, sides.1, inputs.side("batch_size", 1), 0)
    })
}

pub(super) async fn sample(context: &Context, ids: &Ids, node: &Node, inputs: &Inputs<'_>) -> Result<Made, Failed> {
    let bundle = bundle(node, inputs);
    let steps = bundle.steps.unwrap_or(20).clamp(1, STEPS_MAX);
    let options = &context.life.shared.options;
    let preview = options.previews.then_some((1, bytes::PREVIEW));
    for step in 1..=steps {
        context.wait(options.step.as_secs_f64()).await?;
        context.step(ids, step, steps, preview)?;
    }
    let ink = Ink::Drawn { seed: bundle.seed.unwrap_or(0), text: bundle.text.unwrap_or_default().into() };
    let latent = Val::Picture(Picture { ink, is_inverted: false, ..picture(node, inputs) });
    let count = node.class.map_or(1, |class| class.outputs.len());
    Ok(Made::of(vec![latent; count]))
}

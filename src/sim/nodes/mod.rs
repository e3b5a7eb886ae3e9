//! What the nodes do. `tests` are those of our own test node pack, `pictures` and `media` load and save, `generic` stands for
//! every other class: it passes on pictures, texts and seeds by the declared types, so that ordinary workflows run.

pub(super) mod classes;
mod context;
pub(super) mod drawing;
mod generic;
mod inputs;
mod media;
pub(super) mod media_bytes;
mod pictures;
mod tests;

pub(super) use context::Context;

use super::{
    engine::{graph::Node, progress::Ids},
    python,
};
use drawing::Picture;
use inputs::Inputs;
use media_bytes as bytes;
use serde_json::{Map, Value, json};
use std::{collections::HashMap, sync::Arc};

/// What travels on a link.
#[derive(Debug, Clone)]
pub(super) enum Val {
    /// IMAGE, LATENT, MASK.
    Picture(Picture),
    /// A number, text or flag.
    Json(Value),
    /// MODEL, CLIP, CONDITIONING, NOISE …: what of it matters here.
    Bundle(Arc<Bundle>),
    /// AUDIO: rate and channels.
    Sound(u32, u32),
    /// VIDEO.
    Film(Picture),
    /// An ExecutionBlocker; without a message a silent one.
    Blocked(Option<String>),
    /// Nothing that matters.
    Opaque,
}

/// The text and numbers that a picture will show.
#[derive(Debug, Clone, Default)]
pub(super) struct Bundle {
    pub text: Option<String>,
    pub seed: Option<u64>,
    pub steps: Option<u64>,
}

/// What a node gave.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub outputs: Vec<Val>,
    pub ui: Option<Value>,
    /// A node to run in its place.
    pub expand: Option<(&'static str, Map<String, Value>)>,
}

impl Made {
    pub(super) fn of(outputs: Vec<Val>) -> Self {
        Self { outputs, ..Self::default() }
    }

    fn with_ui(outputs: Vec<Val>, ui: Value) -> Self {
        Self { outputs, ui: Some(ui), expand: None }
    }
}

/// Why it gave nothing.
#[derive(Debug)]
pub(super) enum Failed {
    Error {
        class: String,
        message: String,
        is_oom: bool,
    },
    Interrupted,
    /// `SystemExit`: the worker thread ends.
    WorkerDied,
    /// The process ends.
    ProcessDied,
}

impl Failed {
    fn error(class: &str, message: impl Into<String>) -> Self {
        Self::Error { class: class.to_owned(), message: message.into(), is_oom: false }
    }

    fn oom(message: impl Into<String>) -> Self {
        Self::Error { class: "torch.OutOfMemoryError".to_owned(), message: message.into(), is_oom: true }
    }
}

/// `{name: ["…"]}`: inputs as an error shows them.
pub(super) fn shown(inputs: &HashMap<String, Val>) -> Value {
    let show = |value: &Val| match value {
        Val::Json(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => value.clone(),
        Val::Json(value) => Value::from(python::str_of(value)),
        Val::Picture(_) | Val::Film(_) => Value::from("tensor([[[[0., 0., 0.]]]])"),
        Val::Bundle(_) | Val::Sound(..) | Val::Blocked(_) | Val::Opaque => Value::from("<object>"),
    };
    Value::Object(inputs.iter().map(|(name, value)| (name.clone(), json!([show(value)]))).collect())
}

/// Runs one node.
pub(super) async fn run(
    context: &Context,
    ids: &Ids,
    node: &Node,
    inputs: &HashMap<String, Val>,
) -> Result<Made, Failed> {
    let inputs = Inputs(inputs);
    let made = match node.class_name.as_str() {
        name if name.starts_with("Test") => Box::pin(tests::run(context, ids, name, &inputs)).await?,
        "KSampler" | "KSamplerAdvanced" | "SamplerCustomAdvanced" => {
            Box::pin(generic::sample(context, ids, node, &inputs)).await?
        }
        "SaveAudio" | "SaveAudioMP3" | "SaveAudioOpus" | "PreviewAudio" | "SaveVideo" | "SaveWEBM" | "SaveLatent"
        | "SaveAnimatedWEBP" | "SaveAnimatedPNG" | "LoadAudio" | "LoadVideo" | "EmptyAudio" | "CreateVideo"
        | "GetVideoComponents" => Box::pin(media::run(context, &node.class_name, &inputs)).await?,
        _ => match Box::pin(pictures::run(context, ids, &node.class_name, &inputs)).await? {
            Some(made) => made,
            None => generic::run(node, &inputs),
        },
    };
    context.go_on().await;
    Ok(made)
}

//! What the nodes do. `tests` are those of our own test node pack, `pictures` and `media` load and save, `generic` stands for
//! every other class: it passes on pictures, texts and seeds by the declared types, so that ordinary workflows run.

mod generic;
mod media;
mod pictures;
mod tests;

use super::{
    files::Slot,
    graph::Node,
    life::Life,
    lock, media as bytes,
    pending::Item,
    picture::Picture,
    progress::{Ids, Progress},
    python,
};
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

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

/// What a node may use.
#[derive(Debug)]
pub(super) struct Context {
    pub life: Arc<Life>,
    pub item: Item,
    pub client: Option<String>,
    pub progress: Mutex<Progress>,
}

impl Context {
    /// To the prompt's client; to nobody without one.
    pub(super) fn tell(&self, kind: &str, data: &Value) {
        if self.client.is_some() {
            self.life.hub.send(self.client.as_deref(), kind, data);
        }
    }

    /// To the prompt's client; to all without one.
    pub(super) fn tell_or_all(&self, kind: &str, data: &Value) {
        self.life.hub.send(self.client.as_deref(), kind, data);
    }

    fn tell_state(&self, progress: &Progress) {
        self.life.hub.send_text(self.client.as_deref(), "progress_state", &progress.json(&self.item.id));
    }

    pub(super) fn start(&self, ids: &Ids) {
        let mut progress = lock(&self.progress);
        progress.start(&self.item.id, ids);
        self.tell_state(&progress);
    }

    pub(super) fn finish(&self, ids: &Ids) {
        let mut progress = lock(&self.progress);
        progress.finish(&self.item.id, ids);
        self.tell_state(&progress);
    }

    /// A step of a node's bar, with a preview (format 1 JPEG, 2 PNG) or without.
    fn step(&self, ids: &Ids, value: u64, max: u64, preview: Option<(u32, &[u8])>) -> Result<(), Failed> {
        self.look()?;
        {
            let mut progress = lock(&self.progress);
            progress.update(&self.item.id, ids, value, max);
            self.tell_state(&progress);
        }
        let with_metadata = self.life.hub.wants_metadata(self.client.as_deref());
        if let (Some((format, bytes)), true) = (preview, with_metadata) {
            let about = json!({
                "node_id": ids.node,
                "prompt_id": self.item.id,
                "display_node_id": ids.display,
                "parent_node_id": ids.parent,
                "real_node_id": ids.display,
                "image_type": if format == 2 { "image/png" } else { "image/jpeg" },
            });
            let about = python::dumps(&about);
            let length = u32::try_from(about.len()).unwrap_or(0).to_be_bytes();
            self.life.hub.send_binary(self.client.as_deref(), 4, &[&length, about.as_bytes(), bytes].concat());
        }
        self.tell_or_all("progress", &json!({"value": value, "max": max, "prompt_id": self.item.id, "node": ids.node}));
        if let (Some((format, bytes)), false) = (preview, with_metadata) {
            self.life.hub.send_binary(self.client.as_deref(), 1, &[&format.to_be_bytes(), bytes].concat());
        }
        Ok(())
    }

    /// Looks at the interrupt flag, and takes it down.
    pub(super) fn look(&self) -> Result<(), Failed> {
        if lock(&self.life.shared.faults).interrupt_ignored || !*self.life.interrupt.borrow() {
            return Ok(());
        }
        self.life.interrupt.send_replace(false);
        Err(Failed::Interrupted)
    }

    /// Sleeps and looks.
    async fn wait(&self, seconds: f64) -> Result<(), Failed> {
        self.look()?;
        let seconds = (seconds / self.life.shared.options.speed).clamp(0.0, 1e6);
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut flag = self.life.interrupt.subscribe();
        let is_interrupted = tokio::select! {
            () = tokio::time::sleep_until(end), if seconds > 0.0 => false,
            _ = flag.wait_for(|raised| *raised), if seconds > 0.0 => true,
            else => false,
        };
        if is_interrupted && lock(&self.life.shared.faults).interrupt_ignored {
            tokio::time::sleep_until(end).await;
        }
        self.go_on().await;
        self.look()
    }

    /// Sleeps and never looks.
    async fn sleep(&self, seconds: f64) {
        self.life.pause(seconds).await;
        self.go_on().await;
    }

    /// A frozen instance stands still here, and so does one whose worker is dead.
    async fn go_on(&self) {
        self.life.gate.pass().await;
        if self.life.zombie.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    fn slot(&self, inputs: &Inputs, kind: &'static str, prefix: &str, size: (u32, u32)) -> Result<Slot, Failed> {
        let prefix = if kind == "temp" { prefix.to_owned() } else { inputs.text("filename_prefix", prefix) };
        self.life.shared.files.slot(&prefix, kind, size.0, size.1).map_err(|why| Failed::error("Exception", why))
    }

    /// Writes `NAME_00001_.EXT` and gives its `{filename,subfolder,type}`.
    fn save(
        &self,
        slot: &Slot,
        at: u32,
        kind: &'static str,
        extension: &str,
        content: Vec<u8>,
    ) -> Result<Value, Failed> {
        let counter = slot.counter.saturating_add(u64::from(at));
        let name = slot.name.replace("%batch_num%", &at.to_string());
        let filename = format!("{name}_{counter:05}_.{extension}");
        let key = (kind, slot.subfolder.clone(), filename.clone());
        self.life.shared.files.put(key, content.into()).map_err(|error| Failed::error("OSError", error.to_string()))?;
        Ok(json!({"filename": filename, "subfolder": slot.subfolder, "type": kind}))
    }
}

/// Resolved inputs of a node.
struct Inputs<'a>(&'a HashMap<String, Val>);

impl Inputs<'_> {
    fn get(&self, name: &str) -> Option<&Val> {
        self.0.get(name)
    }

    fn json(&self, name: &str) -> Option<&Value> {
        match self.get(name)? {
            Val::Json(value) => Some(value),
            _ => None,
        }
    }

    fn int(&self, name: &str, default: u64) -> u64 {
        let int = self.json(name).and_then(|value| python::int_of(value).ok());
        int.map_or(default, |int| u64::try_from(int.max(0)).unwrap_or(u64::MAX))
    }

    fn side(&self, name: &str, default: u32) -> u32 {
        u32::try_from(self.int(name, default.into())).unwrap_or(u32::MAX)
    }

    fn float(&self, name: &str, default: f64) -> f64 {
        self.json(name)
            .and_then(|value| python::float_of(value).ok())
            .filter(|float| float.is_finite())
            .unwrap_or(default)
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.json(name).map_or(default, python::truthy)
    }

    fn text(&self, name: &str, default: &str) -> String {
        self.json(name).map_or_else(|| default.to_owned(), python::str_of)
    }

    fn picture(&self, name: &str) -> Option<&Picture> {
        match self.get(name)? {
            Val::Picture(picture) | Val::Film(picture) => Some(picture),
            _ => None,
        }
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

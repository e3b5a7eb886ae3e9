//! Nodes of our test node pack: steps, sleeps, odd ui values, failures.

use crate::sim::{
    engine::progress::NodeIds,
    file_paths::relative,
    nodes::{
        context::Context,
        drawing::Picture,
        inputs::Inputs,
        media_bytes, pictures,
        value::{NodeFailure, NodeResult, NodeValue},
    },
    python::{self, INFINITY, NAN},
};
use serde_json::{Map, Value, json};
use std::time::Duration;

pub(crate) async fn run(
    context: &Context,
    ids: &NodeIds,
    name: &str,
    inputs: &Inputs<'_>,
) -> Result<NodeResult, NodeFailure> {
    Ok(match name {
        "TestSteps" => {
            steps(context, ids, inputs).await?;
            NodeResult::of(vec![image(inputs)])
        }
        "TestStepsImage" => {
            steps(context, ids, inputs).await?;
            let NodeValue::Picture(picture) = image(inputs) else { return Ok(NodeResult::default()) };
            let files = pictures::save_all(context, inputs, &picture, "output", "steps").await?;
            NodeResult::with_ui(vec![], json!({"images": files}))
        }
        "TestStepsText" => {
            steps(context, ids, inputs).await?;
            text(&inputs.text("text", "hello"))
        }
        "TestSleep" => {
            let seconds = inputs.float("seconds", 1.0);
            context.sleep(seconds).await;
            let text = format!("slept {}", python::float_repr(seconds));
            NodeResult::with_ui(vec![image(inputs)], json!({"text": [text]}))
        }
        "SleepSilent" => {
            context.wait(inputs.float("seconds", 1.0)).await?;
            NodeResult::of(vec![image(inputs)])
        }
        "Raises" => {
            return Err(NodeFailure::error(&inputs.text("etype", "RuntimeError"), inputs.text("message", "")));
        }
        "TestAsync" => {
            let count = inputs.int("steps", 4).max(1);
            let seconds = inputs.float("seconds", 0.4);
            for step in 1..=count {
                #[allow(clippy::cast_precision_loss, reason = "at most 10000 steps")]
                context.sleep(seconds / count as f64).await;
                context.step(ids, step, count, None)?;
            }
            NodeResult::with_ui(vec![black()], json!({"text": ["async done"]}))
        }
        "TestAlways" => text(&inputs.text("text", "x")),
        "TestUi" => odd(&inputs.text("kind", "none"))?,
        "TestProgressText" => progress_text(context, ids, inputs),
        "TestExit" => {
            return Err(match inputs.text("how", "").as_str() {
                "kill9" => NodeFailure::ProcessDied,
                _ => NodeFailure::WorkerDied,
            });
        }
        "TestHog" => hog(context, inputs).await,
        "TestBlock" => {
            let message = inputs.text("message", "");
            NodeResult::of(vec![NodeValue::Blocked((!message.is_empty()).then_some(message))])
        }
        "TestExpand" => {
            let mut inner: Map<String, Value> = Map::new();
            inner.insert("steps".to_owned(), json!(inputs.int("steps", 4)));
            inner.insert("seconds".to_owned(), json!(inputs.float("seconds", 0.4)));
            inner.insert("preview".to_owned(), json!(false));
            NodeResult { expand: Some(("TestSteps", inner)), ..NodeResult::default() }
        }
        "UiOut" => ui_out(context, inputs).await?,
        _ => NodeResult::default(),
    })
}

/// Returns the given ui, and makes the files that it names: objects with `filename` (without `"made":false`), and strings that end like 3D files,
/// which are put into `folder`.
async fn ui_out(context: &Context, inputs: &Inputs<'_>) -> Result<NodeResult, NodeFailure> {
    let ui: Value = serde_json::from_str(&inputs.text("ui", "{}"))
        .map_err(|error| NodeFailure::error("json.JSONDecodeError", error.to_string()))?;
    let folder = if inputs.text("folder", "output") == "temp" { "temp" } else { "output" };
    context.wait(inputs.float("seconds", 0.0)).await?;
    let mut rest = vec![&ui];
    while let Some(value) = rest.pop() {
        match value {
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => {
                if let Some(filename) = value["filename"].as_str().filter(|_| value["made"] != false) {
                    let kind = if value["type"] == "temp" { "temp" } else { "output" };
                    let path = format!("{}/{filename}", value["subfolder"].as_str().unwrap_or_default());
                    let path = relative(kind, path.trim_start_matches("//")).trim_matches('/');
                    let (subfolder, filename) = path.rsplit_once('/').unwrap_or(("", path));
                    make_file(context, (kind, subfolder, filename))?;
                }
                rest.extend(members.values());
            }
            Value::String(path) if THREE_D.iter().any(|extension| path.to_lowercase().ends_with(extension)) => {
                let path = relative(folder, path);
                let (subfolder, filename) = path.rsplit_once('/').unwrap_or(("", path));
                make_file(context, (folder, subfolder, filename))?;
            }
            _ => {}
        }
    }
    Ok(NodeResult::with_ui(vec![], ui))
}

/// Endings of 3D files that nodes name by a bare string.
const THREE_D: [&str; 5] = [".glb", ".obj", ".ply", ".spz", ".stl"];

fn make_file(context: &Context, (kind, subfolder, filename): (&'static str, &str, &str)) -> Result<(), NodeFailure> {
    let head: &[u8] = match filename.rsplit('.').next() {
        Some("png") => b"\x89PNG\r\n\x1a\n",
        Some("glb") => b"glTF\x02\0\0\0",
        _ => b"",
    };
    let content = [head, filename.as_bytes()].concat();
    let key = (kind, subfolder.to_owned(), filename.to_owned());
    let put = context.process.instance.files.put(key, content.into());
    put.map_err(|error| NodeFailure::error("OSError", error.to_string()))
}

fn black() -> NodeValue {
    NodeValue::Picture(Picture::flat(16, 16, 1, 0))
}

fn image(inputs: &Inputs<'_>) -> NodeValue {
    inputs.picture("image").map_or_else(black, |picture| NodeValue::Picture(picture.clone()))
}

fn text(text: &str) -> NodeResult {
    NodeResult::with_ui(vec![NodeValue::Json(text.into())], json!({"text": [text]}))
}

async fn steps(context: &Context, ids: &NodeIds, inputs: &Inputs<'_>) -> Result<(), NodeFailure> {
    let count = inputs.int("steps", 4).clamp(1, 1_000_000);
    let (seconds, fail_at) = (inputs.float("seconds", 0.4), inputs.int("fail_at", 0));
    let preview = inputs.flag("preview", true).then_some((1, media_bytes::PREVIEW));
    for step in 1..=count {
        #[allow(clippy::cast_precision_loss, reason = "at most a million steps")]
        context.wait(seconds / count as f64).await?;
        if step == fail_at {
            return Err(if inputs.flag("oom", false) {
                NodeFailure::oom("TestSteps: simulated out of memory")
            } else {
                NodeFailure::error("RuntimeError", format!("TestSteps: told to fail at step {step}"))
            });
        }
        context.step(ids, step, count, preview)?;
    }
    Ok(())
}

fn odd(kind: &str) -> Result<NodeResult, NodeFailure> {
    Ok(match kind {
        "nan" => NodeResult::with_ui(vec![], json!({"value": [NAN, INFINITY]})),
        // Not serializable as JSON: the loop that sends messages raises, and the process ends.
        "bytes" => return Err(NodeFailure::ProcessDied),
        "big" => NodeResult::with_ui(vec![], json!({"text": ["x".repeat(8_000_000)]})),
        _ => NodeResult::default(),
    })
}

fn progress_text(context: &Context, ids: &NodeIds, inputs: &Inputs<'_>) -> NodeResult {
    let text = inputs.text("text", "working");
    let frame = |text: &str| {
        let length = u32::try_from(ids.node.len()).unwrap_or(0).to_be_bytes();
        [&length[..], ids.node.as_bytes(), text.as_bytes()].concat()
    };
    context.process.hub.send_binary(context.client.as_deref(), 3, &frame(&text));
    context.process.hub.send_binary(None, 3, &frame(&format!("{text} (broadcast)")));
    NodeResult::with_ui(vec![], json!({"text": [text]}))
}

async fn hog(context: &Context, inputs: &Inputs<'_>) -> NodeResult {
    let (how, seconds) = (inputs.text("how", ""), inputs.float("seconds", 1.0).clamp(0.0, 3_600.0));
    if how == "hold_gil" {
        let time = Duration::from_secs_f64(seconds / context.process.instance.options.speed);
        context.process.freeze(time);
        context.process.gate.pass().await;
    } else {
        context.sleep(seconds).await;
    }
    NodeResult::with_ui(vec![], json!({"text": [how]}))
}

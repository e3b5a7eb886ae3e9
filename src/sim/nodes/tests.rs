//! The nodes of our own test pack: steps, sleeps, odd ui values, bad ends.

use super::{Context, Failed, Inputs, Made, Val, bytes, pictures};
use crate::sim::{
    engine::progress::Ids,
    nodes::drawing::Picture,
    python::{self, INFINITY, NAN},
};
use serde_json::{Map, Value, json};
use std::time::Duration;

pub(super) async fn run(context: &Context, ids: &Ids, name: &str, inputs: &Inputs<'_>) -> Result<Made, Failed> {
    Ok(match name {
        "TestSteps" => {
            steps(context, ids, inputs).await?;
            Made::of(vec![image(inputs)])
        }
        "TestStepsImage" => {
            steps(context, ids, inputs).await?;
            let Val::Picture(picture) = image(inputs) else { return Ok(Made::default()) };
            let files = pictures::save_all(context, inputs, &picture, "output", "steps").await?;
            Made::with_ui(vec![], json!({"images": files}))
        }
        "TestStepsText" => {
            steps(context, ids, inputs).await?;
            text(&inputs.text("text", "hello"))
        }
        "TestSleep" => {
            let seconds = inputs.float("seconds", 1.0);
            context.sleep(seconds).await;
            let told = format!("slept {}", python::float_repr(seconds));
            Made::with_ui(vec![image(inputs)], json!({"text": [told]}))
        }
        "TestAsync" => {
            let count = inputs.int("steps", 4).max(1);
            let seconds = inputs.float("seconds", 0.4);
            for step in 1..=count {
                #[allow(clippy::cast_precision_loss, reason = "at most 10000 steps")]
                context.sleep(seconds / count as f64).await;
                context.step(ids, step, count, None)?;
            }
            Made::with_ui(vec![black()], json!({"text": ["async done"]}))
        }
        "TestAlways" => text(&inputs.text("text", "x")),
        "TestUi" => odd(&inputs.text("kind", "none"))?,
        "TestProgressText" => progress_text(context, ids, inputs),
        "TestExit" => {
            return Err(match inputs.text("how", "").as_str() {
                "kill9" => Failed::ProcessDied,
                _ => Failed::WorkerDied,
            });
        }
        "TestHog" => hog(context, inputs).await,
        "TestBlock" => {
            let message = inputs.text("message", "");
            Made::of(vec![Val::Blocked((!message.is_empty()).then_some(message))])
        }
        "TestExpand" => {
            let mut inner: Map<String, Value> = Map::new();
            inner.insert("steps".to_owned(), json!(inputs.int("steps", 4)));
            inner.insert("seconds".to_owned(), json!(inputs.float("seconds", 0.4)));
            inner.insert("preview".to_owned(), json!(false));
            Made { expand: Some(("TestSteps", inner)), ..Made::default() }
        }
        _ => Made::default(),
    })
}

fn black() -> Val {
    Val::Picture(Picture::flat(16, 16, 1, 0))
}

fn image(inputs: &Inputs<'_>) -> Val {
    inputs.picture("image").map_or_else(black, |picture| Val::Picture(picture.clone()))
}

fn text(text: &str) -> Made {
    Made::with_ui(vec![Val::Json(text.into())], json!({"text": [text]}))
}

async fn steps(context: &Context, ids: &Ids, inputs: &Inputs<'_>) -> Result<(), Failed> {
    let count = inputs.int("steps", 4).clamp(1, 1_000_000);
    let (seconds, fail_at) = (inputs.float("seconds", 0.4), inputs.int("fail_at", 0));
    let preview = inputs.flag("preview", true).then_some((1, bytes::PREVIEW));
    for step in 1..=count {
        #[allow(clippy::cast_precision_loss, reason = "at most a million steps")]
        context.wait(seconds / count as f64).await?;
        if step == fail_at {
            return Err(if inputs.flag("oom", false) {
                Failed::oom("TestSteps: simulated out of memory")
            } else {
                Failed::error("RuntimeError", format!("TestSteps: told to fail at step {step}"))
            });
        }
        context.step(ids, step, count, preview)?;
    }
    Ok(())
}

fn odd(kind: &str) -> Result<Made, Failed> {
    Ok(match kind {
        "nan" => Made::with_ui(vec![], json!({"value": [NAN, INFINITY]})),
        // Not JSON: the loop that sends messages raises, and the process ends.
        "bytes" => return Err(Failed::ProcessDied),
        "big" => Made::with_ui(vec![], json!({"text": ["x".repeat(8_000_000)]})),
        _ => Made::default(),
    })
}

fn progress_text(context: &Context, ids: &Ids, inputs: &Inputs<'_>) -> Made {
    let told = inputs.text("text", "working");
    let frame = |text: &str| {
        let length = u32::try_from(ids.node.len()).unwrap_or(0).to_be_bytes();
        [&length[..], ids.node.as_bytes(), text.as_bytes()].concat()
    };
    context.life.hub.send_binary(context.client.as_deref(), 3, &frame(&told));
    context.life.hub.send_binary(None, 3, &frame(&format!("{told} (broadcast)")));
    Made::with_ui(vec![], json!({"text": [told]}))
}

async fn hog(context: &Context, inputs: &Inputs<'_>) -> Made {
    let (how, seconds) = (inputs.text("how", ""), inputs.float("seconds", 1.0).clamp(0.0, 3_600.0));
    if how == "hold_gil" {
        let time = Duration::from_secs_f64(seconds / context.life.shared.options.speed);
        context.life.freeze(time);
        context.life.gate.pass().await;
    } else {
        context.sleep(seconds).await;
    }
    Made::with_ui(vec![], json!({"text": [how]}))
}

//! Nodes that load and save audio, video, animations and latents.

use crate::sim::{
    limits::PIXELS_MAX,
    nodes::{
        context::Context,
        drawing::Picture,
        inputs::Inputs,
        media_bytes,
        value::{NodeFailure, NodeResult, NodeValue},
    },
};
use serde_json::json;

/// Pixels of an animated PNG, which is drawn in one go.
const ANIMATED_PIXELS_MAX: u64 = PIXELS_MAX / 16;

pub(crate) async fn run(context: &Context, name: &str, inputs: &Inputs<'_>) -> Result<NodeResult, NodeFailure> {
    let picture = inputs.picture("images").or_else(|| inputs.picture("video")).or_else(|| inputs.picture("samples"));
    let picture = picture.cloned().unwrap_or_else(|| Picture::flat(512, 512, 1, 0));
    let size = (picture.width, picture.height);
    let (rate, channels) = match inputs.get("audio") {
        Some(NodeValue::Sound(rate, channels)) => (*rate, *channels),
        _ => (44_100, 2),
    };
    let write = |kind: &'static str, prefix: &str, extension: &str, content: Vec<u8>| {
        let slot = context.save_path(inputs, kind, prefix, size)?;
        context.save(&slot, 0, kind, extension, content)
    };
    let film = |extension: &str, content| -> Result<NodeResult, NodeFailure> {
        let file = write("output", "ComfyUI", extension, content)?;
        Ok(NodeResult::with_ui(vec![], json!({"images": [file], "animated": [true]})))
    };
    let sound = |kind, prefix: &str, extension: &str, content| -> Result<NodeResult, NodeFailure> {
        Ok(NodeResult::with_ui(vec![], json!({"audio": [write(kind, prefix, extension, content)?]})))
    };
    match name {
        "SaveAudio" => sound("output", "audio/ComfyUI", "flac", media_bytes::flac(rate, channels)),
        "SaveAudioMP3" => sound("output", "audio/ComfyUI", "mp3", media_bytes::mp3()),
        "SaveAudioOpus" => sound("output", "audio/ComfyUI", "opus", media_bytes::opus(channels)),
        "PreviewAudio" => sound("temp", "ComfyUI_temp_audio", "flac", media_bytes::flac(rate, channels)),
        "SaveVideo" => film("mp4", media_bytes::mp4()),
        "SaveWEBM" => film("webm", media_bytes::webm()),
        "SaveAnimatedWEBP" => film("webp", media_bytes::webp(size.0, size.1, picture.batch.max(2))),
        "SaveAnimatedPNG" => film("png", animated(picture, inputs).await?),
        "SaveLatent" => {
            let file =
                write("output", "latents/ComfyUI", "latent", media_bytes::latent(size.0, size.1, picture.batch))?;
            Ok(NodeResult::with_ui(vec![], json!({"latents": [file]})))
        }
        "EmptyAudio" => {
            Ok(NodeResult::of(vec![NodeValue::Sound(inputs.side("sample_rate", 44_100), inputs.side("channels", 2))]))
        }
        "LoadAudio" => Ok(NodeResult::of(vec![NodeValue::Sound(44_100, 2)])),
        "LoadVideo" | "CreateVideo" => Ok(NodeResult::of(vec![NodeValue::Film(picture)])),
        _ => Ok(NodeResult::of(vec![
            NodeValue::Picture(picture),
            NodeValue::Sound(rate, channels),
            NodeValue::Json(json!(24.0)),
        ])),
    }
}

async fn animated(picture: Picture, inputs: &Inputs<'_>) -> Result<Vec<u8>, NodeFailure> {
    if picture.pixels() > ANIMATED_PIXELS_MAX {
        return Err(NodeFailure::oom("Allocation on device"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let fps = inputs.float("fps", 6.0).clamp(1.0, 1_000.0) as u16;
    match tokio::task::spawn_blocking(move || picture.animated_png(fps)).await {
        Ok(Ok(content)) => Ok(content),
        Ok(Err(error)) => Err(NodeFailure::error("OSError", error.to_string())),
        Err(error) => Err(NodeFailure::error("RuntimeError", error.to_string())),
    }
}

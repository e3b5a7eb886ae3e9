//! Nodes that load and save sound, film, animations and latents.

use super::{Context, Failed, Inputs, Made, Val, bytes};
use crate::sim::{PIXELS_MAX, nodes::drawing::Picture};
use serde_json::json;

/// Pixels of an animated PNG, which is drawn at once.
const ANIMATED_PIXELS_MAX: u64 = PIXELS_MAX / 16;

pub(super) async fn run(context: &Context, name: &str, inputs: &Inputs<'_>) -> Result<Made, Failed> {
    let picture = inputs.picture("images").or_else(|| inputs.picture("video")).or_else(|| inputs.picture("samples"));
    let picture = picture.cloned().unwrap_or_else(|| Picture::flat(512, 512, 1, 0));
    let size = (picture.width, picture.height);
    let (rate, channels) = match inputs.get("audio") {
        Some(Val::Sound(rate, channels)) => (*rate, *channels),
        _ => (44_100, 2),
    };
    let write = |kind: &'static str, prefix: &str, extension: &str, content: Vec<u8>| {
        let slot = context.slot(inputs, kind, prefix, size)?;
        context.save(&slot, 0, kind, extension, content)
    };
    let film = |extension: &str, content| -> Result<Made, Failed> {
        let file = write("output", "ComfyUI", extension, content)?;
        Ok(Made::with_ui(vec![], json!({"images": [file], "animated": [true]})))
    };
    let sound = |kind, prefix: &str, extension: &str, content| -> Result<Made, Failed> {
        Ok(Made::with_ui(vec![], json!({"audio": [write(kind, prefix, extension, content)?]})))
    };
    match name {
        "SaveAudio" => sound("output", "audio/ComfyUI", "flac", bytes::flac(rate, channels)),
        "SaveAudioMP3" => sound("output", "audio/ComfyUI", "mp3", bytes::mp3()),
        "SaveAudioOpus" => sound("output", "audio/ComfyUI", "opus", bytes::opus(channels)),
        "PreviewAudio" => sound("temp", "ComfyUI_temp_audio", "flac", bytes::flac(rate, channels)),
        "SaveVideo" => film("mp4", bytes::mp4()),
        "SaveWEBM" => film("webm", bytes::webm()),
        "SaveAnimatedWEBP" => film("webp", bytes::webp(size.0, size.1, picture.batch.max(2))),
        "SaveAnimatedPNG" => film("png", animated(picture, inputs).await?),
        "SaveLatent" => {
            let file = write("output", "latents/ComfyUI", "latent", bytes::latent(size.0, size.1, picture.batch))?;
            Ok(Made::with_ui(vec![], json!({"latents": [file]})))
        }
        "EmptyAudio" => Ok(Made::of(vec![Val::Sound(inputs.side("sample_rate", 44_100), inputs.side("channels", 2))])),
        "LoadAudio" => Ok(Made::of(vec![Val::Sound(44_100, 2)])),
        "LoadVideo" | "CreateVideo" => Ok(Made::of(vec![Val::Film(picture)])),
        _ => Ok(Made::of(vec![Val::Picture(picture), Val::Sound(rate, channels), Val::Json(json!(24.0))])),
    }
}

async fn animated(picture: Picture, inputs: &Inputs<'_>) -> Result<Vec<u8>, Failed> {
    if picture.pixels() > ANIMATED_PIXELS_MAX {
        return Err(Failed::oom("Allocation on device"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let fps = inputs.float("fps", 6.0).clamp(1.0, 1_000.0) as u16;
    match tokio::task::spawn_blocking(move || picture.animated_png(fps)).await {
        Ok(Ok(content)) => Ok(content),
        Ok(Err(error)) => Err(Failed::error("OSError", error.to_string())),
        Err(error) => Err(Failed::error("RuntimeError", error.to_string())),
    }
}

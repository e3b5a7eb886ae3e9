//! Nodes that make, load, change and save pictures, and the few that handle plain values.

use super::{Context, Failed, Inputs, Made, Val};
use crate::sim::{
    PIXELS_MAX,
    engine::{progress::Ids, validate_input},
    nodes::drawing::{Ink, Picture},
    python,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// `None` for a class that is not handled here.
pub(super) async fn run(context: &Context, ids: &Ids, name: &str, inputs: &Inputs<'_>) -> Result<Option<Made>, Failed> {
    let one = |value: Val| Some(Made::of(vec![value]));
    Ok(match name {
        "EmptyImage" => {
            let colour = u32::try_from(inputs.int("color", 0)).unwrap_or(0) & 0x00ff_ffff;
            one(Val::Picture(Picture::flat(
                inputs.side("width", 512),
                inputs.side("height", 512),
                inputs.side("batch_size", 1),
                colour,
            )))
        }
        "LoadImage" | "LoadImageMask" | "LoadImageOutput" => {
            let picture = load(context, inputs).await?;
            let mask = Picture::flat(picture.width, picture.height, 1, 0);
            let first = if name == "LoadImageMask" { mask.clone() } else { picture };
            Some(Made::of(vec![Val::Picture(first), Val::Picture(mask)]))
        }
        "ImageScale" | "ImageScaleBy" | "LatentUpscale" | "LatentUpscaleBy" | "ImageCrop" | "ImagePadForOutpaint" => {
            source(inputs).map(|picture| Made::of(vec![Val::Picture(resized(name, picture, inputs)), Val::Opaque]))
        }
        "ImageInvert" | "InvertMask" => source(inputs)
            .and_then(|picture| one(Val::Picture(Picture { is_inverted: !picture.is_inverted, ..picture.clone() }))),
        "SaveImage" => Some(saved(context, inputs, "output", "ComfyUI").await?),
        "PreviewImage" => Some(saved(context, inputs, "temp", &format!("ComfyUI_temp_{}", letters())).await?),
        "SaveImageWebsocket" => Some(to_socket(context, ids, inputs).await?),
        "PreviewAny" => Some(preview_any(inputs)),
        "PrimitiveInt" | "PrimitiveFloat" | "PrimitiveString" | "PrimitiveStringMultiline" | "PrimitiveBoolean" => {
            one(inputs.get("value").cloned().unwrap_or(Val::Opaque))
        }
        "StringConcatenate" => {
            let parts = [inputs.text("string_a", ""), inputs.text("delimiter", ""), inputs.text("string_b", "")];
            one(Val::Json(Value::from([&parts[0], &parts[1], &parts[2]].map(String::as_str).concat())))
        }
        "GetImageSize" => {
            let Some(picture) = source(inputs) else { return Ok(None) };
            let sides = [picture.width, picture.height, picture.batch];
            Some(Made::of(sides.map(|side| Val::Json(side.into())).to_vec()))
        }
        _ => None,
    })
}

fn source<'a>(inputs: &'a Inputs<'_>) -> Option<&'a Picture> {
    ["image", "images", "samples", "mask", "pixels"].into_iter().find_map(|name| inputs.picture(name))
}

fn resized(name: &str, picture: &Picture, inputs: &Inputs<'_>) -> Picture {
    let by = inputs.float("scale_by", 1.0).clamp(0.0, 64.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above; float casts saturate")]
    let scaled = |side: u32| ((f64::from(side) * by).round() as u32).max(1);
    let (width, height) = match name {
        "ImageScaleBy" | "LatentUpscaleBy" => (scaled(picture.width), scaled(picture.height)),
        "ImagePadForOutpaint" => {
            let more = |a: &str, b: &str| inputs.side(a, 0).saturating_add(inputs.side(b, 0));
            (picture.width.saturating_add(more("left", "right")), picture.height.saturating_add(more("top", "bottom")))
        }
        _ => (inputs.side("width", picture.width), inputs.side("height", picture.height)),
    };
    let or = |side: u32, other: u32| if side == 0 { other } else { side };
    Picture { width: or(width, picture.width), height: or(height, picture.height), ..picture.clone() }
}

async fn load(context: &Context, inputs: &Inputs<'_>) -> Result<Picture, Failed> {
    let name = inputs.text("image", "");
    let key = validate_input::locate(&name);
    let content = match &key {
        Some(key) => context.life.shared.files.read(key).await,
        None => None,
    };
    let content = content
        .ok_or_else(|| Failed::error("FileNotFoundError", format!("[Errno 2] No such file or directory: '{name}'")))?;
    if let Some(picture) = Picture::load(&content) {
        return Ok(picture);
    }
    // A picture we cannot decode (JPEG, WebP): something of the usual size stands for it.
    let is_png = content.starts_with(b"\x89PNG");
    if infer::is_image(&content) && !is_png {
        let ink = Ink::Drawn { seed: content.len() as u64, text: name.into() };
        return Ok(Picture { width: 512, height: 512, batch: 1, ink, is_inverted: false });
    }
    Err(Failed::error("PIL.UnidentifiedImageError", format!("cannot identify image file '{name}'")))
}

async fn saved(context: &Context, inputs: &Inputs<'_>, kind: &'static str, prefix: &str) -> Result<Made, Failed> {
    let picture = inputs.needed_picture("images")?;
    let files = save_all(context, inputs, picture, kind, prefix).await?;
    Ok(Made::with_ui(vec![], json!({"images": files})))
}

/// Saves a batch as PNGs; gives the ui items.
pub(super) async fn save_all(
    context: &Context,
    inputs: &Inputs<'_>,
    picture: &Picture,
    kind: &'static str,
    prefix: &str,
) -> Result<Vec<Value>, Failed> {
    if picture.pixels() > PIXELS_MAX {
        return Err(Failed::oom(format!("Allocation of {} pixels on device", picture.pixels())));
    }
    let slot = context.slot(inputs, kind, prefix, (picture.width, picture.height))?;
    let texts = Arc::new(metadata(context));
    let mut files = Vec::new();
    for at in 0..picture.batch.max(1) {
        let content = png(picture, at, Arc::clone(&texts)).await?;
        files.push(context.save(&slot, at, kind, "png", content)?);
    }
    Ok(files)
}

/// The graph and what the client wants kept, as ComfyUI embeds them.
fn metadata(context: &Context) -> Vec<(String, String)> {
    let mut texts = vec![("prompt".to_owned(), python::dumps(&context.item.prompt))];
    for (key, value) in context.item.extra["extra_pnginfo"].as_object().into_iter().flatten() {
        // A PNG keyword is 1 to 79 Latin-1 letters.
        if (1..80).contains(&key.len()) && key.is_ascii() {
            texts.push((key.clone(), python::dumps(value)));
        }
    }
    texts
}

/// Drawing takes a while: not on the threads that serve.
pub(super) async fn png(picture: &Picture, at: u32, texts: Arc<Vec<(String, String)>>) -> Result<Vec<u8>, Failed> {
    let picture = picture.clone();
    let drawn = tokio::task::spawn_blocking(move || picture.png(at, &texts)).await;
    match drawn {
        Ok(Ok(content)) => Ok(content),
        Ok(Err(error)) => Err(Failed::error("OSError", error.to_string())),
        Err(error) => Err(Failed::error("RuntimeError", error.to_string())),
    }
}

async fn to_socket(context: &Context, ids: &Ids, inputs: &Inputs<'_>) -> Result<Made, Failed> {
    let picture = inputs.needed_picture("images")?;
    if picture.pixels() > PIXELS_MAX {
        return Err(Failed::oom("Allocation on device"));
    }
    let texts = Arc::new(Vec::new());
    for at in 0..picture.batch {
        let content = png(picture, at, Arc::clone(&texts)).await?;
        context.step(ids, at.into(), picture.batch.into(), Some((2, &content)))?;
    }
    Ok(Made::default())
}

fn preview_any(inputs: &Inputs<'_>) -> Made {
    let text = match inputs.get("source") {
        Some(Val::Json(value @ (Value::Array(_) | Value::Object(_)))) => python::dumps(value),
        Some(Val::Json(value)) => python::str_of(value),
        Some(_) => "source exists, but could not be serialized.".to_owned(),
        None => "None".to_owned(),
    };
    Made::with_ui(vec![], json!({"text": [text]}))
}

/// Five random letters.
fn letters() -> String {
    let bytes = *uuid::Uuid::new_v4().as_bytes();
    bytes.iter().take(5).map(|byte| char::from(b'a' + byte % 26)).collect()
}

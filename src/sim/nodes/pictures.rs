//! Nodes that create, load, transform and save pictures, and those for plain values.

use crate::sim::{
    engine::progress::NodeIds,
    file_paths,
    limits::PIXELS_MAX,
    nodes::{
        context::Context,
        drawing::{Ink, Picture},
        inputs::Inputs,
        value::{NodeFailure, NodeResult, NodeValue},
    },
    python,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Runs a node; `None` for a class that is not implemented here.
pub(crate) async fn run(
    context: &Context,
    ids: &NodeIds,
    name: &str,
    inputs: &Inputs<'_>,
) -> Result<Option<NodeResult>, NodeFailure> {
    let one = |value: NodeValue| Some(NodeResult::of(vec![value]));
    Ok(match name {
        "EmptyImage" => {
            let colour = u32::try_from(inputs.int("color", 0)).unwrap_or(0) & 0x00ff_ffff;
            one(NodeValue::Picture(Picture::flat(
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
            Some(NodeResult::of(vec![NodeValue::Picture(first), NodeValue::Picture(mask)]))
        }
        "ImageScale" | "ImageScaleBy" | "LatentUpscale" | "LatentUpscaleBy" | "ImageCrop" | "ImagePadForOutpaint" => {
            source(inputs).map(|picture| {
                NodeResult::of(vec![NodeValue::Picture(resized(name, picture, inputs)), NodeValue::Opaque])
            })
        }
        "ImageInvert" | "InvertMask" => source(inputs).and_then(|picture| {
            one(NodeValue::Picture(Picture { is_inverted: !picture.is_inverted, ..picture.clone() }))
        }),
        "SaveImage" => Some(saved(context, inputs, "output", "ComfyUI").await?),
        "PreviewImage" => Some(saved(context, inputs, "temp", &format!("ComfyUI_temp_{}", letters())).await?),
        "SaveImageWebsocket" => Some(to_socket(context, ids, inputs).await?),
        "PreviewAny" => Some(preview_any(inputs)),
        "PrimitiveInt" | "PrimitiveFloat" | "PrimitiveString" | "PrimitiveStringMultiline" | "PrimitiveBoolean" => {
            one(inputs.get("value").cloned().unwrap_or(NodeValue::Opaque))
        }
        "StringConcatenate" => {
            let parts = [inputs.text("string_a", ""), inputs.text("delimiter", ""), inputs.text("string_b", "")];
            one(NodeValue::Json(Value::from([&parts[0], &parts[1], &parts[2]].map(String::as_str).concat())))
        }
        "GetImageSize" => {
            let Some(picture) = source(inputs) else { return Ok(None) };
            let sides = [picture.width, picture.height, picture.batch];
            Some(NodeResult::of(sides.map(|side| NodeValue::Json(side.into())).to_vec()))
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

async fn load(context: &Context, inputs: &Inputs<'_>) -> Result<Picture, NodeFailure> {
    let name = inputs.text("image", "");
    let key = file_paths::locate(&name);
    let content = match &key {
        Some(key) => context.process.instance.files.read(key).await,
        None => None,
    };
    let content = content.ok_or_else(|| {
        NodeFailure::error("FileNotFoundError", format!("[Errno 2] No such file or directory: '{name}'"))
    })?;
    if let Some(picture) = Picture::load(&content) {
        return Ok(picture);
    }
    // A picture that we cannot decode (JPEG, WebP) is replaced by a drawn one of the usual size.
    let is_png = content.starts_with(b"\x89PNG");
    if infer::is_image(&content) && !is_png {
        let ink = Ink::Drawn { seed: content.len() as u64, text: name.into() };
        return Ok(Picture { width: 512, height: 512, batch: 1, ink, is_inverted: false });
    }
    Err(NodeFailure::error("PIL.UnidentifiedImageError", format!("cannot identify image file '{name}'")))
}

async fn saved(
    context: &Context,
    inputs: &Inputs<'_>,
    kind: &'static str,
    prefix: &str,
) -> Result<NodeResult, NodeFailure> {
    let picture = inputs.needed_picture("images")?;
    let files = save_all(context, inputs, picture, kind, prefix).await?;
    Ok(NodeResult::with_ui(vec![], json!({"images": files})))
}

/// Saves a batch as PNG files and returns the ui items.
pub(crate) async fn save_all(
    context: &Context,
    inputs: &Inputs<'_>,
    picture: &Picture,
    kind: &'static str,
    prefix: &str,
) -> Result<Vec<Value>, NodeFailure> {
    if picture.pixels() > PIXELS_MAX {
        return Err(NodeFailure::oom(format!("Allocation of {} pixels on device", picture.pixels())));
    }
    let slot = context.save_path(inputs, kind, prefix, (picture.width, picture.height))?;
    let texts = Arc::new(metadata(context));
    let mut files = Vec::new();
    for at in 0..picture.batch.max(1) {
        let content = png(picture, at, Arc::clone(&texts)).await?;
        files.push(context.save(&slot, at, kind, "png", content)?);
    }
    Ok(files)
}

/// Returns the graph and `extra_pnginfo` as the text chunks that ComfyUI embeds.
fn metadata(context: &Context) -> Vec<(String, String)> {
    let mut texts = vec![("prompt".to_owned(), python::dumps(&context.item.prompt))];
    for (key, value) in context.item.extra["extra_pnginfo"].as_object().into_iter().flatten() {
        // A PNG keyword has 1 to 79 Latin-1 characters.
        if (1..80).contains(&key.len()) && key.is_ascii() {
            texts.push((key.clone(), python::dumps(value)));
        }
    }
    texts
}

/// Draws a PNG on a blocking thread, because it takes a while.
pub(crate) async fn png(picture: &Picture, at: u32, texts: Arc<Vec<(String, String)>>) -> Result<Vec<u8>, NodeFailure> {
    let picture = picture.clone();
    let drawn = tokio::task::spawn_blocking(move || picture.png(at, &texts)).await;
    match drawn {
        Ok(Ok(content)) => Ok(content),
        Ok(Err(error)) => Err(NodeFailure::error("OSError", error.to_string())),
        Err(error) => Err(NodeFailure::error("RuntimeError", error.to_string())),
    }
}

async fn to_socket(context: &Context, ids: &NodeIds, inputs: &Inputs<'_>) -> Result<NodeResult, NodeFailure> {
    let picture = inputs.needed_picture("images")?;
    if picture.pixels() > PIXELS_MAX {
        return Err(NodeFailure::oom("Allocation on device"));
    }
    let texts = Arc::new(Vec::new());
    for at in 0..picture.batch {
        let content = png(picture, at, Arc::clone(&texts)).await?;
        context.step(ids, at.into(), picture.batch.into(), Some((2, &content)))?;
    }
    Ok(NodeResult::default())
}

fn preview_any(inputs: &Inputs<'_>) -> NodeResult {
    let text = match inputs.get("source") {
        Some(NodeValue::Json(value @ (Value::Array(_) | Value::Object(_)))) => python::dumps(value),
        Some(NodeValue::Json(value)) => python::str_of(value),
        Some(_) => "source exists, but could not be serialized.".to_owned(),
        None => "None".to_owned(),
    };
    NodeResult::with_ui(vec![], json!({"text": [text]}))
}

/// Returns five random letters.
fn letters() -> String {
    let bytes = *uuid::Uuid::new_v4().as_bytes();
    bytes.iter().take(5).map(|byte| char::from(b'a' + byte % 26)).collect()
}

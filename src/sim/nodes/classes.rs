//! The known node classes with their inputs, outputs and defaults, from the `/object_info` of a real server
//! (`classes.json`).
//!
//! In that file a combo `["$checkpoints"]` stands for the models of that folder, and `["$input"]` for the files in the
//! input folder, because both differ from server to server.

use crate::sim::{engine::process::Instance, lock::lock};
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

/// Available model files by folder: those named by the stock workflows.
pub(crate) const MODELS: &[(&str, &[&str])] = &[
    (
        "checkpoints",
        &[
            "v1-5-pruned-emaonly-fp16.safetensors",
            "v1-5-pruned-emaonly.safetensors",
            "v1-5-pruned-emaonly.ckpt",
            "dreamshaper_8.safetensors",
            "sd_xl_base_1.0.safetensors",
            "sd_xl_refiner_1.0.safetensors",
            "sd_xl_turbo_1.0_fp16.safetensors",
            "sd3.5_large_fp8_scaled.safetensors",
            "flux1-dev-fp8.safetensors",
            "flux1-schnell-fp8.safetensors",
        ],
    ),
    ("vae", &["vae-ft-mse-840000-ema-pruned.safetensors", "sdxl_vae.safetensors", "ae.safetensors", "pixel_space"]),
    ("loras", &["epiNoiseoffset_v2.safetensors", "lcm-lora-sdv1-5.safetensors"]),
    ("diffusion_models", &["flux1-dev.safetensors", "flux1-schnell.safetensors", "z_image_turbo_bf16.safetensors"]),
    (
        "text_encoders",
        &["clip_l.safetensors", "clip_g.safetensors", "t5xxl_fp16.safetensors", "t5xxl_fp8_e4m3fn.safetensors"],
    ),
    ("controlnet", &["control_v11p_sd15_canny.pth", "control_v11p_sd15_openpose.pth"]),
    ("upscale_models", &["RealESRGAN_x4plus.pth", "4x-UltraSharp.pth"]),
];

/// A declared input.
#[derive(Debug)]
pub(crate) struct Declared {
    pub name: String,
    /// `"INT"`, or the list of a combo.
    pub kind: Value,
    /// `{"default":…,"min":…}`.
    pub options: Value,
    pub is_required: bool,
    /// The model folder whose files the combo offers.
    pub folder: Option<String>,
}

/// A node class.
#[derive(Debug)]
pub(crate) struct Class {
    pub info: Value,
    pub inputs: Vec<Declared>,
    /// Types of the outputs.
    pub outputs: Vec<String>,
    pub is_output: bool,
    /// Whether the class receives its node's id, which is then part of its cache key.
    pub knows_its_id: bool,
}

static TABLE: OnceLock<Vec<(String, Class)>> = OnceLock::new();

fn table() -> &'static [(String, Class)] {
    TABLE.get_or_init(|| {
        let all: Map<String, Value> = serde_json::from_str(include_str!("classes.json")).unwrap_or_default();
        all.into_iter().map(|(name, info)| (name, class(info))).collect()
    })
}

fn class(info: Value) -> Class {
    let mut inputs = Vec::new();
    for (section, is_required) in [("required", true), ("optional", false)] {
        for (name, declared) in info["input"][section].as_object().into_iter().flatten() {
            let kind = declared[0].clone();
            let options = declared.get(1).cloned().unwrap_or_else(|| json!({}));
            let folder = kind[0].as_str().and_then(|first| first.strip_prefix('$')).map(str::to_owned);
            inputs.push(Declared { name: name.clone(), kind, options, is_required, folder });
        }
    }
    let outputs =
        info["output"].as_array().into_iter().flatten().map(|kind| kind.as_str().unwrap_or("*").to_owned()).collect();
    let is_output = info["output_node"] == true;
    let hidden = info["input"]["hidden"].as_object();
    let knows_its_id = hidden.is_some_and(|hidden| hidden.values().any(|kind| kind == "UNIQUE_ID"));
    Class { info, inputs, outputs, is_output, knows_its_id }
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    table().iter().map(|(name, _)| name.as_str())
}

pub(crate) fn find(name: &str) -> Option<&'static Class> {
    table().iter().find(|(known, _)| known == name).map(|(_, class)| class)
}

/// Returns the files in a model folder; `None` if there is no such folder.
pub(crate) fn models_in(folder: &str, instance: &Instance) -> Option<Vec<String>> {
    let (_, names) = MODELS.iter().find(|(known, _)| *known == folder)?;
    let faults = lock(&instance.faults);
    let more = instance.options.models.iter().chain(&faults.models_added).cloned();
    let all = names.iter().map(|name| (*name).to_owned()).chain(more);
    Some(all.filter(|name| !faults.models_removed.contains(name)).collect())
}

/// Returns the choices of a combo on this server: its own list, a model folder, or the input folder.
pub(crate) fn choices(input: &Declared, instance: &Instance) -> Vec<Value> {
    match input.folder.as_deref() {
        Some("input") => instance.files.top_level("input").into_iter().map(Value::from).collect(),
        Some(folder) => models_in(folder, instance).unwrap_or_default().into_iter().map(Value::from).collect(),
        None => input.kind.as_array().cloned().unwrap_or_default(),
    }
}

/// Returns the `/object_info` entry of a class.
pub(crate) fn info(name: &str, instance: &Instance) -> Value {
    let Some(class) = find(name) else { return Value::Null };
    let mut info = class.info.clone();
    for input in class.inputs.iter().filter(|input| input.folder.is_some()) {
        let section = if input.is_required { "required" } else { "optional" };
        info["input"][section][&input.name][0] = Value::Array(choices(input, instance));
    }
    info
}

#[cfg(test)]
mod tests {
    use super::{find, names};

    #[test]
    fn the_table_is_whole() {
        assert!(names().count() > 90);
        let sampler = find("KSampler").unwrap();
        assert_eq!(sampler.outputs, ["LATENT"]);
        let seed = sampler.inputs.iter().find(|input| input.name == "seed").unwrap();
        assert_eq!(seed.options["max"], u64::MAX);
        assert!(find("SaveImage").unwrap().is_output && !find("VAEDecode").unwrap().is_output);
        assert_eq!(find("CheckpointLoaderSimple").unwrap().inputs[0].folder.as_deref(), Some("checkpoints"));
        assert!(find("TestProgressText").unwrap().knows_its_id);
    }
}

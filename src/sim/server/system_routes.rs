//! Routes about the instance itself: `/features`, `/system_stats`, `/object_info`, `/models`, `/internal`.

use crate::sim::{
    engine::{process::Process, validate},
    lock::lock,
    nodes::classes,
    options::{Mode, SimOptions},
    server::aiohttp,
};
use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Map, Value, json};
use std::sync::{Arc, atomic::Ordering};

/// Returns `{"supports_preview_metadata":true,"max_upload_size":N}`, and more in newer versions.
pub(crate) fn server_features(process: &Process) -> Value {
    let SimOptions { mode, upload_bytes_max, .. } = &process.instance.options;
    let mut features = json!({"supports_preview_metadata": true, "max_upload_size": upload_bytes_max});
    if *mode == Mode::V038 {
        features["extension"] = json!({"manager": {"supports_v4": true}});
        features["node_replacements"] = json!(true);
        features["assets"] = json!(false);
    }
    features
}

pub(crate) async fn features(State(process): State<Arc<Process>>) -> Response {
    aiohttp::json(&server_features(&process))
}

pub(crate) async fn system_stats(State(process): State<Arc<Process>>) -> Response {
    let is_new = process.instance.options.mode == Mode::V038;
    let (total, free) = (25_276_063_744_u64, 23_709_396_992_u64);
    let addr = process.instance.addr();
    let mut stats = json!({
        "system": {
            "os": if is_new { "linux" } else { "posix" },
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": if is_new { "0.38.1" } else { "0.3.64" },
            "required_frontend_version": "1.27.10",
            "installed_templates_version": "0.1.95",
            "required_templates_version": "0.1.95",
            "python_version": "3.11.7 (stand-in)",
            "pytorch_version": "2.15.0+cpu",
            "embedded_python": false,
            "argv": ["main.py", "--cpu", "--listen", addr.ip().to_string(), "--port", addr.port().to_string()],
        },
        "devices": [{
            "name": "cpu", "type": "cpu", "index": null,
            "vram_total": total, "vram_free": free, "torch_vram_total": total, "torch_vram_free": free,
        }],
    });
    if is_new {
        stats["system"]["comfy_package_versions"] = json!({});
        stats["system"]["deploy_environment"] = json!("local");
    }
    aiohttp::json(&stats)
}

pub(crate) async fn object_info(State(process): State<Arc<Process>>) -> Response {
    process.instance.catalog_reads.fetch_add(1, Ordering::Relaxed);
    let all: Map<String, Value> =
        classes::names().map(|name| (name.to_owned(), classes::info(name, &process.instance))).collect();
    aiohttp::json(&Value::Object(all))
}

/// Old classes that the server replaces by others, in newer versions.
pub(crate) async fn node_replacements(State(process): State<Arc<Process>>) -> Response {
    if process.instance.options.mode != Mode::V038 {
        return aiohttp::empty(StatusCode::NOT_FOUND);
    }
    let (old, new) = validate::REPLACED;
    aiohttp::json(
        &json!({old: [{"old_node_id": old, "new_node_id": new, "input_mapping": null, "output_mapping": null}]}),
    )
}

pub(crate) async fn object_info_of(State(process): State<Arc<Process>>, Path(class): Path<String>) -> Response {
    let mut found = Map::new();
    if classes::find(&class).is_some() {
        found.insert(class.clone(), classes::info(&class, &process.instance));
    }
    aiohttp::json(&Value::Object(found))
}

pub(crate) async fn models() -> Response {
    let mut folders: Vec<&str> = classes::MODELS.iter().map(|(folder, _)| *folder).collect();
    folders.extend(["configs", "clip_vision", "style_models", "embeddings", "diffusers", "vae_approx", "gligen"]);
    aiohttp::json(&json!(folders))
}

pub(crate) async fn models_of(State(process): State<Arc<Process>>, Path(folder): Path<String>) -> Response {
    match classes::models_in(&folder, &process.instance) {
        Some(names) => aiohttp::json(&json!(names)),
        None if ["configs", "clip_vision", "style_models", "embeddings", "diffusers", "vae_approx", "gligen"]
            .contains(&folder.as_str()) =>
        {
            aiohttp::json(&json!([]))
        }
        None => aiohttp::empty(StatusCode::NOT_FOUND),
    }
}

pub(crate) async fn internal(State(process): State<Arc<Process>>, request: Request) -> Response {
    let path = request.uri().path();
    if let Some(kind) = path.strip_prefix("/internal/files/") {
        return match kind {
            "output" | "input" | "temp" => aiohttp::json(&json!(process.instance.files.top_level(kind))),
            _ => aiohttp::json_status(StatusCode::BAD_REQUEST, "{\"error\": \"Invalid directory type\"}".to_owned()),
        };
    }
    if path.ends_with("/logs") {
        let count = lock(&process.queue).counter;
        return aiohttp::json(&Value::from(format!("stand-in, {count} prompts so far\n")));
    }
    let folders: Map<String, Value> =
        classes::MODELS.iter().map(|(folder, _)| ((*folder).to_owned(), json!([format!("models/{folder}")]))).collect();
    aiohttp::json(&Value::Object(folders))
}

//! Who answers what: every route with and without `/api`, the Origin check, the faults that strike any route.

use super::{aiohttp, control, jobs, prompt_route, queue_routes, socket, upload, view};
use crate::sim::{Mode, SimOptions, engine::incarnation::Life, lock, nodes::classes};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::Response,
    routing::{MethodRouter, get, post},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// All routes of one life.
pub(crate) fn router(life: Arc<Life>) -> Router {
    let mut router = Router::new().merge(control::router());
    for (path, methods) in table(life.shared.options.mode) {
        router = router.route(path, methods.clone());
        if path != "/" {
            router = router.route(&format!("/api{path}"), methods);
        }
    }
    for path in ["/internal/logs", "/internal/folder_paths", "/internal/files/{kind}"] {
        router = router.route(path, get(internal));
    }
    router
        .route("/api/", get(root))
        .fallback(missing)
        .method_not_allowed_fallback(missing)
        .layer(middleware::from_fn_with_state(Arc::clone(&life), front))
        .layer(DefaultBodyLimit::disable())
        .with_state(life)
}

/// Behind all routes the real server looks for a file of its web page: that knows only GET, also where a route has only POST.
async fn missing(method: Method, uri: Uri) -> Response {
    let text = "text/plain; charset=utf-8";
    if uri.path().starts_with("/internal/") {
        return aiohttp::with(StatusCode::NOT_FOUND, text, "404: Not Found");
    }
    match method {
        Method::GET | Method::HEAD => aiohttp::with(StatusCode::NOT_FOUND, "application/octet-stream", ""),
        _ => aiohttp::with(StatusCode::METHOD_NOT_ALLOWED, text, "405: Method Not Allowed"),
    }
}

fn table(mode: Mode) -> Vec<(&'static str, MethodRouter<Arc<Life>>)> {
    let mut table = vec![
        ("/", get(root)),
        ("/ws", get(socket::upgrade)),
        ("/prompt", get(queue_routes::remaining).post(prompt_route::prompt)),
        ("/queue", get(queue_routes::queue).post(queue_routes::change_queue)),
        ("/history", get(queue_routes::history).post(queue_routes::change_history)),
        ("/history/{id}", get(queue_routes::history_of)),
        ("/interrupt", post(queue_routes::interrupt)),
        ("/free", post(queue_routes::free)),
        ("/system_stats", get(system_stats)),
        ("/features", get(features)),
        ("/object_info", get(object_info)),
        ("/object_info/{class}", get(object_info_of)),
        ("/models", get(models)),
        ("/models/{folder}", get(models_of)),
        ("/embeddings", get(|| async { aiohttp::json(&json!([])) })),
        ("/extensions", get(|| async { aiohttp::json(&json!([])) })),
        ("/view", get(view::view)),
        ("/view_metadata/{folder}", get(|| async { aiohttp::empty(StatusCode::NOT_FOUND) })),
        ("/upload/image", post(upload::image)),
        ("/upload/mask", post(upload::mask)),
        ("/users", get(|| async { aiohttp::json(&json!({"storage": "server", "migrated": false})) })),
        ("/workflow_templates", get(|| async { aiohttp::json(&json!({})) })),
    ];
    if mode == Mode::V038 {
        table.push(("/jobs", get(jobs::list)));
        table.push(("/jobs/cancel", post(jobs::cancel_many)));
        table.push(("/jobs/{id}", get(jobs::one)));
        table.push(("/jobs/{id}/cancel", post(jobs::cancel)));
    }
    table
}

/// Before every route but the control routes.
async fn front(State(life): State<Arc<Life>>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/sim/") {
        return next.run(request).await;
    }
    life.gate.pass().await;
    if origin_is_foreign(&request) {
        return aiohttp::empty(StatusCode::FORBIDDEN);
    }
    if request.method() == Method::OPTIONS {
        return aiohttp::empty(StatusCode::OK);
    }
    if life.shared.strikes(|faults| &mut faults.http_drop) {
        return aiohttp::cut();
    }
    if life.shared.strikes(|faults| &mut faults.http_500) {
        return aiohttp::trouble();
    }
    if life.shared.strikes(|faults| &mut faults.http_garbage) {
        return aiohttp::json_text("{\"exec_info\": <garbage \u{fffd} not json".to_owned());
    }
    let response = next.run(request).await;
    // A freeze that began meanwhile holds the reply back too.
    life.gate.pass().await;
    response
}

/// A loopback `Host` with an `Origin` of another host or port is refused.
fn origin_is_foreign(request: &Request) -> bool {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_lowercase);
    let (Some(host), Some(origin)) = (text(header::HOST), text(header::ORIGIN)) else { return false };
    let (Ok(host), Ok(origin)) = (url::Url::parse(&format!("sim://{host}")), url::Url::parse(&origin)) else {
        return false;
    };
    let (Some(host_name), Some(origin_name)) = (host.host_str(), origin.host_str()) else { return false };
    let bare = host_name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let ports_differ = matches!((host.port(), origin.port()), (Some(a), Some(b)) if a != b);
    is_loopback && (host_name != origin_name || ports_differ)
}

async fn root() -> Response {
    let page = "<!doctype html><html lang=\"en\"><head><meta charset=\"UTF-8\"><title>ComfyUI stand-in</title></head>\
                <body>This is a stand-in for ComfyUI: it speaks its protocol and draws pictures of your prompts.</body></html>";
    aiohttp::with(StatusCode::OK, "text/html", page)
}

/// `{"supports_preview_metadata":true,"max_upload_size":N}`, more in newer versions.
pub(crate) fn server_features(life: &Life) -> Value {
    let SimOptions { mode, upload_bytes_max, .. } = &life.shared.options;
    let mut features = json!({"supports_preview_metadata": true, "max_upload_size": upload_bytes_max});
    if *mode == Mode::V038 {
        features["extension"] = json!({"manager": {"supports_v4": true}});
        features["node_replacements"] = json!(true);
        features["assets"] = json!(false);
    }
    features
}

async fn features(State(life): State<Arc<Life>>) -> Response {
    aiohttp::json(&server_features(&life))
}

async fn system_stats(State(life): State<Arc<Life>>) -> Response {
    let is_new = life.shared.options.mode == Mode::V038;
    let (total, free) = (25_276_063_744_u64, 23_709_396_992_u64);
    let addr = life.shared.addr();
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

async fn object_info(State(life): State<Arc<Life>>) -> Response {
    let all: Map<String, Value> =
        classes::names().map(|name| (name.to_owned(), classes::info(name, &life.shared))).collect();
    aiohttp::json(&Value::Object(all))
}

async fn object_info_of(State(life): State<Arc<Life>>, Path(class): Path<String>) -> Response {
    let mut found = Map::new();
    if classes::find(&class).is_some() {
        found.insert(class.clone(), classes::info(&class, &life.shared));
    }
    aiohttp::json(&Value::Object(found))
}

async fn models() -> Response {
    let mut folders: Vec<&str> = classes::MODELS.iter().map(|(folder, _)| *folder).collect();
    folders.extend(["configs", "clip_vision", "style_models", "embeddings", "diffusers", "vae_approx", "gligen"]);
    aiohttp::json(&json!(folders))
}

async fn models_of(State(life): State<Arc<Life>>, Path(folder): Path<String>) -> Response {
    match classes::models_in(&folder, &life.shared.options.models) {
        Some(names) => aiohttp::json(&json!(names)),
        None if ["configs", "clip_vision", "style_models", "embeddings", "diffusers", "vae_approx", "gligen"]
            .contains(&folder.as_str()) =>
        {
            aiohttp::json(&json!([]))
        }
        None => aiohttp::empty(StatusCode::NOT_FOUND),
    }
}

async fn internal(State(life): State<Arc<Life>>, request: Request) -> Response {
    let path = request.uri().path();
    if let Some(kind) = path.strip_prefix("/internal/files/") {
        return match kind {
            "output" | "input" | "temp" => aiohttp::json(&json!(life.shared.files.top_level(kind))),
            _ => aiohttp::json_status(StatusCode::BAD_REQUEST, "{\"error\": \"Invalid directory type\"}".to_owned()),
        };
    }
    if path.ends_with("/logs") {
        let count = lock(&life.queue).counter;
        return aiohttp::json(&Value::from(format!("stand-in, {count} prompts so far\n")));
    }
    let folders: Map<String, Value> =
        classes::MODELS.iter().map(|(folder, _)| ((*folder).to_owned(), json!([format!("models/{folder}")]))).collect();
    aiohttp::json(&Value::Object(folders))
}

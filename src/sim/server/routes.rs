//! All routes with and without `/api`, the Origin check, and the faults that affect any route.

use crate::sim::{
    engine::process::Process,
    options::Mode,
    server::{aiohttp, control, jobs, prompt_route, queue_routes, socket, system_routes, upload, view},
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::Response,
    routing::{MethodRouter, get, post},
};
use serde_json::json;
use std::sync::Arc;

/// Returns all routes of a process.
pub(crate) fn router(process: Arc<Process>) -> Router {
    let mut router = Router::new().merge(control::router());
    for (path, methods) in table(process.instance.options.mode) {
        router = router.route(path, methods.clone());
        if path != "/" {
            router = router.route(&format!("/api{path}"), methods);
        }
    }
    for path in ["/internal/logs", "/internal/folder_paths", "/internal/files/{kind}"] {
        router = router.route(path, get(system_routes::internal));
    }
    router
        .route("/api/", get(root))
        .fallback(missing)
        .method_not_allowed_fallback(missing)
        .layer(middleware::from_fn_with_state(Arc::clone(&process), front))
        .layer(DefaultBodyLimit::disable())
        .with_state(process)
}

/// After all routes the real server looks for a file of its web page, with GET only, even where a route accepts only
/// POST.
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

fn table(mode: Mode) -> Vec<(&'static str, MethodRouter<Arc<Process>>)> {
    let mut table = vec![
        ("/", get(root)),
        ("/ws", get(socket::upgrade)),
        ("/prompt", get(queue_routes::remaining).post(prompt_route::prompt)),
        ("/queue", get(queue_routes::queue).post(queue_routes::change_queue)),
        ("/history", get(queue_routes::history).post(queue_routes::change_history)),
        ("/history/{id}", get(queue_routes::history_of)),
        ("/interrupt", post(queue_routes::interrupt)),
        ("/free", post(queue_routes::free)),
        ("/system_stats", get(system_routes::system_stats)),
        ("/features", get(system_routes::features)),
        ("/object_info", get(system_routes::object_info)),
        ("/node_replacements", get(system_routes::node_replacements)),
        ("/object_info/{class}", get(system_routes::object_info_of)),
        ("/models", get(system_routes::models)),
        ("/models/{folder}", get(system_routes::models_of)),
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

/// Runs before every route except the control routes.
async fn front(State(process): State<Arc<Process>>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/sim/") {
        return next.run(request).await;
    }
    process.gate.pass().await;
    if origin_is_foreign(&request) {
        return aiohttp::empty(StatusCode::FORBIDDEN);
    }
    if request.method() == Method::OPTIONS {
        return aiohttp::empty(StatusCode::OK);
    }
    if process.instance.strikes(|faults| &mut faults.http_drop) {
        return aiohttp::cut();
    }
    if process.instance.strikes(|faults| &mut faults.http_500) {
        return aiohttp::internal_error();
    }
    if process.instance.strikes(|faults| &mut faults.http_garbage) {
        return aiohttp::json_text("{\"exec_info\": <garbage \u{fffd} not json".to_owned());
    }
    let response = next.run(request).await;
    // A freeze that began meanwhile also delays the reply.
    process.gate.pass().await;
    response
}

/// Whether an `Origin` of another host or port comes with a loopback `Host`. Such a request is refused.
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

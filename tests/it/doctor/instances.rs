//! Instances that are down, are another service, or are behind a proxy without WebSocket.

use super::{diagnose, storage};
use crate::support::{TestRedis, stack::free_port};
use axum::{Json, Router, routing::get};
use serde_json::json;
use shuzhiren::sim::{self, SimOptions};

/// Serves these routes on a free port, until the runtime of the test ends.
async fn serve(router: Router) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn each_instance_is_checked_like_a_dispatcher_uses_it() {
    let up = sim::start(SimOptions { listen: ([127, 0, 0, 1], 0).into(), ..SimOptions::default() }).await.unwrap();
    let down = free_port();
    let other = serve(Router::new().fallback(|| async { "hello" })).await;
    let answers = Router::new()
        .route("/system_stats", get(|| async { Json(json!({"system": {"comfyui_version": "0.2.9"}, "devices": []})) }))
        .route("/prompt", get(|| async { Json(json!({"exec_info": {"queue_remaining": 0}})) }))
        .route("/object_info", get(|| async { Json(json!({"KSampler": {}, "VAEDecode": {}})) }));
    let mute = serve(answers.clone()).await;
    let old = serve(
        answers.route("/ws", get(|socket: axum::extract::WebSocketUpgrade| async { socket.on_upgrade(|_| async {}) })),
    )
    .await;
    let switched_off = free_port();

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("fleet.json");
    let fleet = json!({
        "servers": [
            {"id": "a", "name": "a", "ip": "127.0.0.1", "ports": [up.addr().port(), down, other, mute, old]},
            {"id": "b", "name": "b", "ip": "127.0.0.1", "ports": [switched_off], "enabled": false}
        ],
        "healthCheck": {"interval": 1000, "timeout": 2000}
    });
    std::fs::write(&config, fleet.to_string()).unwrap();
    let redis = TestRedis::start();
    let files = tempfile::tempdir().unwrap();
    let found = diagnose(
        &["--config-file", &config.display().to_string()],
        &[("REDIS_URL", &redis.url()), ("SHUZHIREN_STORAGE_URL", &storage(files.path()))],
    )
    .await;
    for (port, level, word, advice) in [
        (up.addr().port(), "ok", "nodes", ""),
        (down, "fail", "cannot connect", "--listen"),
        (other, "fail", "does not answer as ComfyUI does", "something else answers"),
        (mute, "fail", "WebSocket does not open", "upgrades"),
        (old, "warn", "ComfyUI 0.2.9, 2 nodes", "update it"),
        (switched_off, "warn", "its server is switched off", "--listen"),
    ] {
        let (seen, said, todo) = found.of(&format!("instance 127.0.0.1:{port}"));
        assert!(seen == level && said.contains(word) && todo.contains(advice), "{port}: {seen}: {said} → {todo}");
    }
    assert_eq!(found.code, 1);
    assert_eq!(found.with_level("fail").len(), 3, "{:#}", found.report);
}

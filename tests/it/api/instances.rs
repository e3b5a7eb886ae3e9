//! `/api/instances` and `/api/monitor/overview`.

use super::server::{Api, INSTANCE, assert_refused, assert_time, data};
use serde_json::{Value, json};
use shuzhiren::fleet::{Device, InstanceReport, Phase, PhaseChange};

fn report() -> InstanceReport {
    InstanceReport {
        alive: true,
        phase: Phase::Up,
        version: Some("0.3.64".to_owned()),
        queue_depth: 1,
        last_error: None,
        catalog: None,
        catalog_read_ms: None,
        device: Some(Device { name: "cuda:0".to_owned(), vram_total: 24, vram_free: 12 }),
        last_heartbeat_ms: 1_704_067_200_000,
        history: vec![PhaseChange { at_ms: 1_704_067_200_000, phase: Phase::Up, reason: None }],
        ..InstanceReport::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_shown_as_the_document_says() {
    let api = Api::with_instance().await;
    let unseen = data(&api.get("/api/instances").await);
    assert_eq!(unseen.as_array().unwrap().len(), 1);
    assert_eq!(
        (&unseen[0]["alive"], &unseen[0]["lastHeartbeat"], &unseen[0]["phase"]),
        (&json!(false), &Value::Null, &json!("down"))
    );
    let lease = api.lease().await;
    api.queue.report(&lease, &report(), true).await.unwrap();
    let task = api.submit().await;
    api.claim(&lease).await;
    let shown = data(&api.get("/api/instances").await);
    assert_time(&shown[0]["lastHeartbeat"]);
    let expected = json!({"id": INSTANCE, "serverId": "server-1", "serverName": "主服务器", "ip": "127.0.0.1", "port": 8001, "enabled": true,
        "alive": true, "busy": true, "lastHeartbeat": shown[0]["lastHeartbeat"], "version": "0.3.64", "queueDepth": 1,
        "currentTaskId": task, "phase": "up", "lastError": null, "device": {"name": "cuda:0", "vramTotal": 24, "vramFree": 12}});
    assert_eq!(shown, json!([expected]));
    for id in [INSTANCE, "127.0.0.1%3A8001", "127%2E0.0.1%3a8001"] {
        let mut detail = data(&api.get(&format!("/api/instances/{id}")).await);
        let history = detail.as_object_mut().unwrap().remove("history").unwrap();
        assert_eq!(detail, expected, "{id}");
        assert_eq!(history, json!([{"at": "2024-01-01T00:00:00.000Z", "phase": "up"}]));
        assert_time(&history[0]["at"]);
    }
    assert_refused(&api.get("/api/instances/127.0.0.1:8002").await, 404, "not_found", "not in the config");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_instance_has_brackets_in_its_id() {
    let api = Api::start().await;
    let config = json!({"servers": [{"id": "s", "ip": "0:0:0:0:0:0:0:1", "ports": [8001]}]});
    assert_eq!(api.put("/api/config", &config).await.status, 200);
    for id in ["[::1]:8001", "%5B%3A%3A1%5D%3A8001"] {
        assert_eq!(data(&api.get(&format!("/api/instances/{id}")).await)["id"], "[::1]:8001");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_is_strictly_a_boolean() {
    let api = Api::with_instance().await;
    let path = format!("/api/instances/{INSTANCE}");
    let before = api.snapshot();
    for (body, word) in [
        (json!({}), "invalid_request"),
        (json!({"enabled": null}), "invalid_request"),
        (json!({"enabled": "true"}), "invalid_request"),
        (json!({"enabled": 1}), "invalid_request"),
        (json!({"enabled": 0}), "invalid_request"),
        (json!({"enabled": []}), "invalid_request"),
        (json!({"enable": true}), "unknown_field"),
        (json!({"enabled": true, "port": 1}), "unknown_field"),
    ] {
        assert_refused(&api.put(&path, &body).await, 400, word, &body.to_string());
    }
    assert_eq!(api.snapshot(), before);
    let lease = api.lease().await;
    api.queue.report(&lease, &report(), false).await.unwrap();
    for (enabled, phase) in [(false, "draining"), (true, "up")] {
        let shown = data(&api.put(&path, &json!({"enabled": enabled})).await);
        assert_eq!((&shown["enabled"], &shown["phase"]), (&json!(enabled), &json!(phase)));
        assert_eq!(data(&api.get(&path).await)["enabled"], enabled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_holds_for_an_instance_that_nobody_has_seen() {
    let api = Api::with_instance().await;
    let path = "/api/instances/127.0.0.1%3A8001";
    assert_eq!(data(&api.put(path, &json!({"enabled": false})).await)["enabled"], false);
    assert_eq!(data(&api.get("/api/instances").await)[0]["enabled"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_counts() {
    let api = Api::with_instance().await;
    let config = json!({"servers": [{"id": "server-1", "ip": "127.0.0.1", "ports": [8001, 8002]}]});
    assert_eq!(api.put("/api/config", &config).await.status, 200);
    let lease = api.lease().await;
    api.queue.report(&lease, &report(), false).await.unwrap();
    let cancelled = api.submit().await;
    api.delete(&format!("/api/tasks/{cancelled}")).await;
    api.submit().await;
    let claim = api.claim(&lease).await;
    api.queue.start(&lease, claim.task, claim.attempt).await.unwrap();
    api.submit().await;
    let nothing = json!({"count": 0, "bytes": 0});
    let mut overview = data(&api.get("/api/monitor/overview").await);
    assert!(overview.as_object_mut().unwrap().remove("oldestWaitingMs").unwrap().is_u64());
    assert_eq!(
        overview,
        json!({"totalInstances": 2, "aliveInstances": 1, "busyInstances": 1, "freeInstances": 0, "pendingTasks": 1, "runningTasks": 1, "completedTasks": 0,
            "failedTasks": 0, "cancelledTasks": 1, "throughputPerMinute": 0,
            "files": {"uploads": nothing, "outputs": nothing, "stored": nothing}, "warnings": []})
    );
}

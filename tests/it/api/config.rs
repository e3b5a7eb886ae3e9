//! `GET|PUT /api/config` (safety.md §2.4); the single rules have their tests beside `fleet::parse_config`.

use super::server::{Api, assert_refused, data};
use serde_json::{Value, json};

fn server(id: &str, ip: &str, ports: Value) -> Value {
    json!({"id": id, "name": id, "ip": ip, "ports": ports})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_replaced_and_read_back() {
    let api = Api::start().await;
    let empty = data(&api.get("/api/config").await);
    assert_eq!(
        empty,
        json!({"servers": [], "healthCheck": {"interval": 30_000, "timeout": 10_000, "failuresToDown": 3}, "version": 0})
    );
    let put = json!({"servers": [{"id": "server-1", "name": "主服务器", "ip": "127.0.0.1", "ports": [8001, 8002], "enabled": true,
        "scheme": "http", "basePath": "", "headers": {}, "extraData": {}}], "healthCheck": {"interval": 200, "timeout": 5_000, "failuresToDown": 2}});
    let answer = api.put("/api/config", &put).await;
    let written = data(&answer);
    assert_eq!((&written["servers"], &written["healthCheck"]), (&put["servers"], &put["healthCheck"]));
    assert_eq!((&written["version"], answer.header("etag")), (&json!(1), "\"1\""));
    assert_eq!(data(&api.get("/api/config").await), written);
    let only_interval = data(&api.put("/api/config", &json!({"healthCheck": {"interval": 30_000}})).await);
    assert_eq!((&only_interval["servers"], &only_interval["healthCheck"]["timeout"]), (&put["servers"], &json!(5_000)));
    let ids: Vec<Value> =
        data(&api.get("/api/instances").await).as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, ["127.0.0.1:8001", "127.0.0.1:8002"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_never_come_back_and_their_mask_keeps_them() {
    let api = Api::start().await;
    let mut config =
        json!({"servers": [{"id": "s", "ip": "h", "ports": [1], "headers": {"Authorization": "Bearer hush"}}]});
    for _ in 0..2 {
        let answer = api.put("/api/config", &config).await;
        config = data(&answer);
        assert!(!String::from_utf8_lossy(&answer.body).contains("hush"));
        assert!(!String::from_utf8_lossy(&api.get("/api/config").await.body).contains("hush"));
        assert_eq!(config["servers"][0]["headers"]["Authorization"], "***");
        assert_eq!(api.queue.config().await.unwrap().servers[0].headers["Authorization"], "Bearer hush");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_version_is_409_and_changes_nothing() {
    let api = Api::with_instance().await;
    let version = data(&api.get("/api/config").await)["version"].as_u64().unwrap();
    let change = json!({"healthCheck": {"interval": 1_000}});
    let mut old = change.clone();
    old["version"] = json!(version - 1);
    let before = api.snapshot();
    assert_refused(&api.put("/api/config", &old).await, 409, "version_conflict", "old version");
    let matched =
        async |value: &str| api.json("PUT", "/api/config", &[("if-match", value)], change.to_string().as_bytes()).await;
    assert_refused(&matched(&format!("\"{}\"", version - 1)).await, 409, "version_conflict", "old If-Match");
    assert_refused(&matched("W/\"x\"").await, 400, "invalid_header", "If-Match that is none");
    assert_eq!(api.snapshot(), before);
    assert_eq!(data(&matched(&format!("\"{version}\"")).await)["version"], version + 1);
    old["version"] = json!(version + 1);
    assert_eq!(data(&api.put("/api/config", &old).await)["version"], version + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_without_a_version_lose_nothing_of_one_another() {
    let api = Api::with_instance().await;
    for round in 1..=20_u64 {
        let servers = json!({"servers": [server(&format!("a{round}"), "h", json!([round]))]});
        let health = json!({"healthCheck": {"interval": 500 + round}});
        let (one, two) = tokio::join!(api.put("/api/config", &servers), api.put("/api/config", &health));
        assert_eq!((one.status, two.status), (200, 200));
        let config = data(&api.get("/api/config").await);
        assert_eq!(config["servers"][0]["id"], format!("a{round}"), "the other writer took it back");
        assert_eq!(config["healthCheck"]["interval"], 500 + round, "the other writer took it back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_that_do_not_hold_are_refused_whole() {
    let api = Api::with_instance().await;
    let before = api.snapshot();
    let good = server("good", "10.0.0.1", json!([8188]));
    for (body, status) in [
        (json!({}), 400),
        (json!({"servers": {}}), 400),
        (json!({"servers": null}), 400),
        (json!({"servers": [good, null]}), 400),
        (json!({"servers": [good, {}]}), 400),
        (json!({"servers": [good, good]}), 422),
        (json!({"servers": [good, server("b", "10.0.0.1", json!([8188]))]}), 422),
        (json!({"servers": vec![Value::Null; 20_000]}), 422),
        (json!({"servers": [good, server("b", "http://10.0.0.2", json!([1]))]}), 422),
        (json!({"servers": [good, server("b", "user@h", json!([1]))]}), 422),
        (json!({"servers": [good, server("b", "h:1", json!([1]))]}), 422),
        (json!({"servers": [good, server("b", "169.254.169.254", json!([80]))]}), 422),
        (json!({"servers": [good, server("b", "::ffff:169.254.169.254", json!([80]))]}), 422),
        (json!({"servers": [good, server("b", "0.0.0.0", json!([80]))]}), 422),
        (json!({"servers": [good, server("b", "fd20:ce::254", json!([80]))]}), 422),
        (json!({"servers": [good, server("b", "192.0.0.192", json!([80]))]}), 422),
        (json!({"servers": [good, server("b", "h", json!([0]))]}), 422),
        (json!({"servers": [good, server("b", "h", json!([65536]))]}), 422),
        (json!({"servers": [good, server("b", "h", json!([1.5]))]}), 400),
        (json!({"servers": [good, server("b", "h", json!(["1"]))]}), 400),
        (json!({"servers": [good], "healthCheck": {"interval": 0}}), 422),
        (json!({"servers": [good], "healthCheck": {"interval": -1}}), 422),
        (json!({"servers": [good], "healthCheck": {"interval": 199}}), 422),
        (json!({"servers": [good], "healthCheck": {"interval": 1.5}}), 400),
        (json!({"servers": [good], "healthCheck": {"interval": "30000"}}), 400),
        (json!({"servers": [good], "healthCheck": {"interval": 1e18}}), 400),
        (json!({"servers": [good], "healthcheck": {}}), 400),
        (json!({"servers": [good], "version": "1"}), 400),
    ] {
        let answer = api.put("/api/config", &body).await;
        let shown: String = body.to_string().chars().take(120).collect();
        assert_refused(&answer, status, "invalid_config", &shown);
        let details = answer.json()["error"]["details"].clone();
        assert!(
            details
                .as_array()
                .is_some_and(|list| !list.is_empty() && list.iter().all(|one| one["pointer"].is_string())),
            "{details}"
        );
    }
    assert_refused(
        &api.json("PUT", "/api/config", &[], b"{\"servers\":[],\"servers\":[]}").await,
        400,
        "invalid_json",
        "twice",
    );
    assert_eq!(api.snapshot(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_lists_every_problem() {
    let api = Api::start().await;
    let body = json!({"servers": [server("", "http://x", json!([0]))], "healthCheck": {"interval": 1}});
    let answer = api.put("/api/config", &body).await.json();
    let pointers: Vec<&str> =
        answer["error"]["details"].as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap()).collect();
    assert_eq!(
        pointers,
        ["/servers/0/id", "/servers/0/name", "/servers/0/ip", "/servers/0/ports/0", "/healthCheck/interval"]
    );
    assert!(answer["message"].as_str().unwrap().ends_with("(and 4 more problems)"), "{answer}");

    // What is of the wrong shape does not hide what is there twice.
    let twice = json!({"servers": [server("a", "10.0.0.1", json!([8001, "x"])), server("a", "10.0.0.1", json!([8001, 8002]))],
        "healthCheck": {"interval": "often"}, "helthCheck": {}});
    let answer = api.put("/api/config", &twice).await;
    let body = answer.json();
    let codes: std::collections::BTreeSet<(&str, &str)> = body["error"]["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["pointer"].as_str().unwrap(), one["code"].as_str().unwrap()))
        .collect();
    for (pointer, code) in [
        ("/servers/1/id", "duplicate_id"),
        ("/servers/1/ports/0", "duplicate_instance"),
        ("/healthCheck/interval", "not_an_integer"),
    ] {
        assert!(codes.contains(&(pointer, code)), "{pointer}: {body}");
    }
    assert!(codes.iter().any(|(pointer, _)| *pointer == "/servers/0/ports/1"), "{body}");
    assert!(codes.iter().any(|(pointer, _)| *pointer == "/helthCheck"), "{body}");
    assert_eq!(answer.status, 400);
}

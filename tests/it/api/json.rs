//! safety.md §2.2: bodies.

use super::server::{Api, Options, assert_refused, data};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_json_are_refused_everywhere() {
    let api = Api::with_instance().await;
    let before = api.snapshot();
    let deep = format!("{{\"workflow\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let unclosed = "[".repeat(50_000);
    let bodies: Vec<&[u8]> = vec![
        b"",
        b" ",
        b"{",
        b"{\"workflow\":{},}",
        b"{\"workflow\":{}}x",
        b"{}{}",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b"{'a':1}",
        b"{\"a\":1 /* no */}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\0\"}",
        b"{\"a\":\"\n\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":NaN}",
        b"{\"a\":-Infinity}",
        b"{\"a\":01}",
        b"{\"a\":0x1}",
        b"{\"a\":1e999999}",
        b"{\"enabled\":true,\"enabled\":false}",
        b"{\"workflow\":{},\"workflow\":{}}",
        deep.as_bytes(),
        unclosed.as_bytes(),
    ];
    for (method, path) in [
        ("POST", "/api/tasks"),
        ("POST", "/api/auth/login"),
        ("PUT", "/api/config"),
        ("PUT", "/api/instances/127.0.0.1:8001"),
    ] {
        for body in &bodies {
            let about = format!("{method} {path} {:?}", String::from_utf8_lossy(&body[..body.len().min(60)]));
            assert_refused(&api.json(method, path, &[], body).await, 400, "invalid_json", &about);
        }
        for body in ["null", "[]", "1", "\"x\"", "true"] {
            let answer = api.json(method, path, &[], body.as_bytes()).await;
            assert_refused(&answer, 400, "invalid_request", &format!("{method} {path} {body}"));
        }
    }
    assert_eq!(api.snapshot(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_key_at_any_depth_is_refused_with_its_pointer() {
    let api = Api::with_instance().await;
    let before = api.snapshot();
    let with = |members: &str| format!(r#"{{"workflow":{{"1":{{"class_type":"X","inputs":{{}}}}}},{members}}}"#);
    let graph = r#"{"workflow":{"1":{"class_type":"X","inputs":{"a":1,"a":2}}}}"#;
    for (method, path, body, word, pointer) in [
        ("POST", "/api/auth/login", r#"{"username":"a","password":"b","password":"c"}"#, "invalid_json", "/password"),
        ("POST", "/api/auth/login", r#"{"username":"a","password":{"b":1,"b":2}}"#, "invalid_json", "/password/b"),
        ("PUT", "/api/instances/127.0.0.1:8001", r#"{"enabled":true,"enabled":false}"#, "invalid_json", "/enabled"),
        (
            "PUT",
            "/api/config",
            r#"{"healthCheck":{"interval":1000,"interval":5000}}"#,
            "invalid_json",
            "/healthCheck/interval",
        ),
        (
            "PUT",
            "/api/config",
            r#"{"servers":[{"id":"a","ip":"h","ports":[1],"headers":{"X":"1","\u0058":"2"}}]}"#,
            "invalid_json",
            "/servers/0/headers/X",
        ),
        ("POST", "/api/tasks", &with(r#""metadata":{"a":1,"a":2}"#), "invalid_json", "/metadata/a"),
        (
            "POST",
            "/api/tasks?dryRun=true",
            &with(r#""metadata":{"a":[{"b":1,"b":2}]}"#),
            "invalid_json",
            "/metadata/a/0/b",
        ),
        ("POST", "/api/tasks", &with(r#""sweep":{"1.a":[{"b":1,"b":2}]}"#), "invalid_json", "/sweep/1.a/0/b"),
        ("PUT", "/api/workflows/w", &with(r#""description":"x","description":"y""#), "invalid_json", "/description"),
        // Duplicate keys of a graph and of params are reported together with their other problems.
        ("POST", "/api/tasks", graph, "invalid_workflow", "/workflow/1/inputs/a"),
        ("PUT", "/api/workflows/w", graph, "invalid_workflow", "/workflow/1/inputs/a"),
        ("POST", "/api/tasks", &with(r#""params":{"1":{"b":1,"b":2}}"#), "invalid_params", "/params/1/b"),
    ] {
        let answer = api.json(method, path, &[], body.as_bytes()).await;
        assert_refused(&answer, 400, word, body);
        assert_eq!(answer.json()["error"]["details"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(api.snapshot(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_plain_json_is_taken() {
    let api = Api::start().await;
    let (bearer, body) = (api.bearer(), br#"{"workflow":{"1":{"class_type":"X","inputs":{}}}}"#);
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "",
    ] {
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type)];
        assert_refused(
            &api.send("POST", "/api/tasks", &headers, body).await,
            415,
            "unsupported_media_type",
            content_type,
        );
    }
    let answer = api.send("POST", "/api/tasks", &[("authorization", &bearer)], body).await;
    assert_refused(&answer, 415, "unsupported_media_type", "no content type");
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"] {
        let answer = api.json("POST", "/api/tasks", &[("content-encoding", encoding)], body).await;
        assert_refused(&answer, 415, "unsupported_media_type", encoding);
    }
    assert_eq!(data(&api.get("/api/tasks").await)["total"], 0);
    let utf8 = [("authorization", bearer.as_str()), ("content-type", "Application/JSON; charset=UTF-8")];
    assert_eq!(api.send("POST", "/api/tasks", &utf8, body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_are_refused_at_once_or_at_the_limit() {
    let api = Api::start_with(Options { task_bytes_max: 4_096, ..Options::default() }).await;
    let begun = Instant::now();
    let declared =
        api.json("POST", "/api/tasks", &[("content-length", "1073741824"), ("expect", "100-continue")], b"").await;
    assert_refused(&declared, 413, "too_large", "declared");
    assert!(begun.elapsed() < Duration::from_secs(1), "waited for a body that it refuses");
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(4_096));
    let chunked = api
        .json("POST", "/api/tasks", &[("transfer-encoding", "chunked")], format!("{chunk}{chunk}0\r\n\r\n").as_bytes())
        .await;
    assert_refused(&chunked, 413, "too_large", "chunked");
    let exact =
        format!("{{\"workflow\":{{\"1\":{{\"class_type\":\"X\",\"inputs\":{{}}}}}}{}}}", " ".repeat(4_096 - 51));
    let length = exact.len();
    assert!(length <= 4_096, "{length}");
    assert_eq!(api.json("POST", "/api/tasks", &[], exact.as_bytes()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_order_of_a_workflow_survive_to_the_byte() {
    let api = Api::start().await;
    let inputs = r#"{"z":18446744073709551615,"y":18446744073709551616,"x":123456789012345678901234567890,"w":0.1,"v":1.0,"u":1e2,"t":1E+2,"s":1e-7,"r":-0.0,"q":1.10,"p":3.141592653589793238,"a":"\u00e9\ud83d\ude00 主"}"#;
    let body = format!(
        r#"{{"workflow":{{"9":{{"class_type":"X","inputs":{inputs}}},"1":{{"class_type":"Y","inputs":{{}}}}}},"params":{{ }},"metadata":{{"n":1.10}}}}"#
    );
    let id = data(&api.json("POST", "/api/tasks", &[], body.as_bytes()).await)["id"].as_str().unwrap().to_owned();
    let answer = api.get(&format!("/api/tasks/{id}?include=workflow")).await;
    let text = String::from_utf8(answer.body.clone()).unwrap();
    for number in inputs.trim_matches(['{', '}']).split(',') {
        assert!(text.contains(number), "{number} is not in {text}");
    }
    assert!(text.find(r#""9":"#).unwrap() < text.find(r#""1":"#).unwrap(), "the order changed");
    assert!(text.contains(r#""metadata":{"n":1.10}"#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_take_linear_time() {
    let api = Api::start_with(Options { task_bytes_max: 8 << 20, ..Options::default() }).await;
    let keys: Vec<String> = (0..20_000).map(|n| format!("\"key-{n}\":{n}")).collect();
    let begun = Instant::now();
    let inside = format!(r#"{{"workflow":{{"1":{{"class_type":"X","inputs":{{{}}}}}}}}}"#, keys.join(","));
    let answer = api.json("POST", "/api/tasks", &[], inside.as_bytes()).await;
    assert!(matches!(answer.status, 200 | 400 | 422), "{}", answer.status);
    assert_refused(
        &api.json("POST", "/api/tasks", &[], format!("{{{}}}", keys.join(",")).as_bytes()).await,
        400,
        "invalid_json",
        "top",
    );
    let long = json!({"workflow": {"1": {"class_type": "X", "inputs": {"text": "x".repeat(4 << 20)}}}});
    assert_eq!(api.post("/api/tasks", &long).await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_members_are_named() {
    let api = Api::start().await;
    let body = json!({"workflow": {}, "prams": {}, "client_id": "x", "extra_data": 5, "front": true, "number": -1, "prompt_id": "x"});
    let answer = api.post("/api/tasks", &body).await;
    assert_refused(&answer, 400, "unknown_field", "unknown members");
    let body = answer.json();
    let details = body["error"]["details"].as_array().unwrap();
    let pointers: Vec<&str> = details.iter().map(|one| one["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/prams", "/client_id", "/extra_data", "/front", "/number", "/prompt_id"]);
    assert_eq!(details[0]["candidates"], json!(["params"]));
    assert_eq!(details[1].get("candidates"), None::<&Value>);
}

/// Bug report 19: a picture as base64 inside the graph.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_too_large_is_told_how_to_send_files() {
    let api = Api::start().await;
    let body = json!({"workflow": {"1": {"class_type": "X", "inputs": {"image": "A".repeat(100 * 1024)}}}}).to_string();
    for path in ["/api/tasks", "/api/tasks?dryRun=true"] {
        let answer = api.json("POST", path, &[], body.as_bytes()).await;
        assert_refused(&answer, 413, "too_large", path);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        for word in ["65536 bytes", "SHUZHIREN_TASK_BYTES_MAX", "/api/files/upload", "$file"] {
            assert!(message.contains(word), "{message}");
        }
    }
}

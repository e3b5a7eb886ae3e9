//! safety.md §2.6 as far as REST goes: unknown paths and methods, other origins, raw requests.

use super::server::{Api, assert_refused, data};
use crate::support::http::{Response, exchange};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_have_the_envelope() {
    let api = Api::start().await;
    for path in [
        "/",
        "/api",
        "/api/",
        "/api/nothing",
        "/api/tasks/",
        "/api/tasks/a/b",
        "//api/tasks",
        "/api/../api/tasks",
        "/API/TASKS",
        "/upload/file/",
        "/.env",
    ] {
        assert_refused(&api.get(path).await, 404, "not_found", path);
    }
    for (method, path, allow) in [
        ("DELETE", "/api/tasks", "GET,HEAD,POST"),
        ("PATCH", "/api/tasks/x", "GET,HEAD,DELETE"),
        ("GET", "/api/auth/login", "POST"),
        ("GET", "/api/files/upload", "POST"),
        ("POST", "/api/config", "GET,HEAD,PUT"),
        ("POST", "/upload/file/x", "GET,HEAD"),
        ("OPTIONS", "/api/tasks", "GET,HEAD,POST"),
        ("TRACE", "/api/tasks", "GET,HEAD,POST"),
        ("FOO", "/api/health", "GET,HEAD"),
    ] {
        let answer = api.send(method, path, &[("x-secret", "echo-me")], b"").await;
        let about = format!("{method} {path}");
        if (method, path) == ("GET", "/api/files/upload") {
            // `DELETE /api/files/{id}` and the upload share no route.
            assert_eq!(answer.status, 405, "{about}");
        }
        assert_refused(&answer, 405, "method_not_allowed", &about);
        assert_eq!(answer.header("allow"), allow, "{about}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("echo-me"), "{about}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_origin_is_let_in() {
    let api = Api::start().await;
    for origin in ["https://evil.example", "null", "http://localhost:3000"] {
        let bearer = api.bearer();
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ];
        for answer in [
            api.send("OPTIONS", "/api/tasks", &preflight, b"").await,
            api.send("GET", "/api/tasks", &[("origin", origin), ("authorization", &bearer)], b"").await,
        ] {
            assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{origin}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_not_cached_and_head_has_no_body() {
    let api = Api::start().await;
    for path in ["/api/tasks", "/api/config", "/api/health", "/api/monitor/overview"] {
        let answer = api.get(path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{path}");
        let head = api.send("HEAD", path, &[("authorization", &api.bearer())], b"").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_requests_never_give_a_5xx() {
    let api = Api::start().await;
    let bearer = api.bearer();
    let long = "x".repeat(600_000);
    let requests: Vec<String> = [
        "POST /api/tasks HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef".to_owned(),
        format!("POST /api/tasks HTTP/1.1\r\nhost: t\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("POST /api/tasks HTTP/1.1\r\nhost: t\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n"),
        format!("POST /api/tasks HTTP/1.1\r\nhost: t\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\ncontent-length: -1\r\n\r\n"),
        "GET /api/health HTTP/1.1\r\nhost: t\r\nx: a\0b\r\n\r\n".to_owned(),
        "GET /api/health HTTP/1.1\r\nhost: t\r\nx: a\r\n b\r\n\r\n".to_owned(),
        "GET http://example.com/api/health HTTP/1.1\r\nhost: t\r\n\r\n".to_owned(),
        "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nhost: t\r\n\r\n".to_owned(),
        format!("GET /api/health HTTP/1.1\r\nhost: t\r\nx: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nhost: t\r\n\r\n"),
        format!("GET /api/health HTTP/1.1\r\nhost: t\r\n{}\r\n", "a: b\r\n".repeat(2_000)),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "*1\r\n$8\r\nFLUSHALL\r\n".to_owned(),
        "FLUSHALL\r\n".to_owned(),
        "GET /api/tasks HTTP/1.1\r\nhost: t\r\nauthorization: Bearer \u{1}\r\n\r\n".to_owned(),
        "GET /%00 HTTP/1.1\r\nhost: t\r\n\r\n".to_owned(),
        "GET /api/tasks?%ff=%zz&a=%00 HTTP/1.1\r\nhost: t\r\n\r\n".to_owned(),
    ]
    .into();
    for request in &requests {
        let bytes = exchange(api.address, request.as_bytes(), Duration::from_millis(700)).await;
        let shown = &request[..request.len().min(100)];
        if let Some(answer) = Response::parse(&bytes) {
            assert!((400..500).contains(&answer.status), "{shown:?}: {}", answer.status);
        }
    }
    assert_eq!(data(&api.get("/api/tasks").await)["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_requests_of_one_caller_pass() {
    let api = Api::start().await;
    let begun = Instant::now();
    let body = br#"{"workflow":{"1":{"class_type":"X","inputs":{}}}}"#;
    let request = format!(
        "POST /api/tasks HTTP/1.1\r\nhost: t\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
        api.bearer(),
        body.len(),
        String::from_utf8_lossy(body)
    );
    // Ten connections, each with its requests one behind another.
    let last = request.replacen("host: t", "host: t\r\nconnection: close", 1);
    let bytes = format!("{}{last}", request.repeat(199));
    let all = (0..10).map(|_| exchange(api.address, bytes.as_bytes(), Duration::from_secs(60)));
    for answers in futures_util::future::join_all(all).await {
        let text = String::from_utf8_lossy(&answers);
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 200, "not all passed");
    }
    assert_eq!(data(&api.get("/api/tasks?limit=1").await)["total"], 2_000);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

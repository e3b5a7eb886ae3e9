//! safety.md §2.1: who is let in.

use super::server::{Api, assert_refused, assert_time, data, signed, token_of};
use serde_json::json;
use std::time::{Duration, Instant};

const NOW_ISH: u64 = 4_000_000_000;

/// `{"alg":…}.claims` with the signature of a good token.
fn with_header(header: &str) -> String {
    let good = token_of("admin", "admin");
    let (_, rest) = good.split_once('.').unwrap();
    format!("{}.{rest}", base64url(header.as_bytes()))
}

fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..=three.len()).for_each(|at| text.push(LETTERS[(bits >> (18 - 6 * at) & 63) as usize].into()));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_but_login_health_and_links_needs_a_token() {
    let api = Api::start().await;
    for (method, path) in [
        ("GET", "/api/instances"),
        ("GET", "/api/instances/127.0.0.1:8001"),
        ("PUT", "/api/instances/127.0.0.1:8001"),
        ("GET", "/api/tasks"),
        ("POST", "/api/tasks"),
        ("GET", "/api/tasks/x"),
        ("DELETE", "/api/tasks/x"),
        ("POST", "/api/tasks/x/retry"),
        ("POST", "/api/files/upload"),
        ("GET", "/api/files"),
        ("DELETE", "/api/files/x"),
        ("GET", "/api/config"),
        ("PUT", "/api/config"),
        ("GET", "/api/monitor/overview"),
    ] {
        assert_refused(&api.send(method, path, &[], b"").await, 401, "unauthorized", &format!("{method} {path}"));
    }
    assert_eq!(data(&api.send("GET", "/api/health", &[], b"").await), json!({"status": "ok", "redis": "connected"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_ours_are_refused() {
    let api = Api::start().await;
    let good = token_of("admin", "admin");
    let parts: Vec<&str> = good.split('.').collect();
    let (cut, flipped) =
        (&good[..good.len() - 2], format!("{}.{}.{}A", parts[0], parts[1], &parts[2][..parts[2].len() - 1]));
    let other_claims = base64url(json!({"sub": "root", "role": "admin", "exp": NOW_ISH}).to_string().as_bytes());
    let mut bad: Vec<String> = vec![
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        "Basic YWRtaW46YWRtaW4xMjM=".into(),
        good.clone(),
        "Bearer garbage".into(),
        "Bearer a b".into(),
        format!("Bearer {good} {good}"),
        format!("Bearer  {good}"),
        "bearer rubbish".into(),
        format!("Token {good}"),
        format!("Bearer {cut}"),
        format!("Bearer {}.{}", parts[0], parts[1]),
        format!("Bearer {}.{}.", parts[0], parts[1]),
        format!("Bearer {good}.x"),
        format!("Bearer {}.{other_claims}.{}", parts[0], parts[2]),
        format!("Bearer {}", "a".repeat(6_000)),
    ];
    if flipped != good {
        bad.push(format!("Bearer {flipped}"));
    }
    for header in [
        r#"{"alg":"none","typ":"JWT"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":"nOnE"}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":1}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"HS256","kid":"/dev/null"}"#,
        r#"{"alg":"HS256","kid":"' or 1=1"}"#,
        r#"{"alg":"HS256","jku":"http://127.0.0.1:1/"}"#,
        r#"{"alg":"HS256","jwk":{"kty":"oct","k":""}}"#,
        r#"{"alg":"HS256","crit":["x"]}"#,
        "[]",
        "x",
    ] {
        bad.push(format!("Bearer {}", with_header(header)));
        bad.push(format!("Bearer {}.{}.", base64url(header.as_bytes()), parts[1]));
    }
    for claims in [
        json!({"sub": "admin", "role": "admin"}),
        json!({"sub": "admin", "role": "admin", "exp": jiff::Timestamp::now().as_second() - 120}),
        json!({"sub": "admin", "role": "admin", "exp": NOW_ISH.to_string()}),
        json!({"sub": "admin", "role": "admin", "exp": NOW_ISH, "nbf": NOW_ISH}),
        json!({"role": "admin", "exp": NOW_ISH}),
        json!({"sub": "admin", "exp": NOW_ISH}),
    ] {
        bad.push(format!("Bearer {}", signed(&claims)));
    }
    for value in &bad {
        let answer = api.send("GET", "/api/tasks", &[("authorization", value)], b"").await;
        assert_refused(&answer, 401, "unauthorized", value);
    }
    assert_eq!(api.send("GET", "/api/tasks", &[("authorization", &format!("bearer {good}"))], b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_authorization_header_counts() {
    let api = Api::start().await;
    let (bearer, token) = (api.bearer(), api.token.clone());
    for (path, headers) in [
        (format!("/api/tasks?token={token}"), vec![]),
        (format!("/api/tasks?access_token={token}"), vec![]),
        ("/api/tasks".into(), vec![("cookie", format!("token={token}"))]),
        ("/api/tasks".into(), vec![("x-access-token", token.clone())]),
        ("/api/tasks".into(), vec![("authorization", bearer.clone()), ("authorization", bearer.clone())]),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_refused(
            &api.send("GET", &path, &headers, b"").await,
            401,
            "unauthorized",
            &format!("{path} {headers:?}"),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_answers_as_the_document_says() {
    let api = Api::start().await;
    let answer = api.post("/api/auth/login", &json!({"username": "admin", "password": "admin123"})).await;
    let login = data(&answer);
    assert_eq!(login["user"], json!({"username": "admin", "role": "admin"}));
    assert_time(&login["expiresAt"]);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!String::from_utf8_lossy(&answer.body).contains("admin123"));
    let bearer = format!("Bearer {}", login["token"].as_str().unwrap());
    assert_eq!(api.send("GET", "/api/tasks", &[("authorization", &bearer)], b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_of_the_wrong_shape_are_400_and_wrong_ones_401() {
    let api = Api::start().await;
    for body in [
        json!({}),
        json!({"username": "admin"}),
        json!({"password": "admin123"}),
        json!({"username": 1, "password": "admin123"}),
        json!({"username": "admin", "password": 987_654_321}),
        json!({"username": {"$ne": null}, "password": {"$ne": null}}),
        json!({"username": ["admin"], "password": ["admin123"]}),
        json!({"username": null, "password": null}),
        json!([]),
        json!("admin"),
    ] {
        let answer = api.post("/api/auth/login", &body).await;
        assert_refused(&answer, 400, "invalid_request", &body.to_string());
        assert!(!String::from_utf8_lossy(&answer.body).contains("987654321"), "a password came back");
    }
    for (username, password) in [
        ("admin", "Admin123"),
        ("admin ", "admin123"),
        ("ADMIN", "admin123"),
        ("admin", "admin123\0"),
        ("admin\0", "admin123"),
        ("admin' or '1'='1", "x"),
        ("admin\r\nx", "admin123"),
        ("\u{202e}nimda", "admin123"),
        ("", ""),
        ("admin", &"x".repeat(100_000)),
        ("nobody", "admin123"),
    ] {
        let begun = Instant::now();
        let answer = api.post("/api/auth/login", &json!({"username": username, "password": password})).await;
        assert_refused(&answer, 401, "invalid_credentials", username);
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_is_told_nothing_by_text_or_time() {
    let api = Api::start().await;
    let (mut texts, mut medians) = (Vec::new(), Vec::new());
    for username in ["admin", "nobody"] {
        let mut times = Vec::new();
        for _ in 0..5 {
            let begun = Instant::now();
            let answer = api.post("/api/auth/login", &json!({"username": username, "password": "wrong"})).await;
            times.push(begun.elapsed());
            let mut body = answer.json();
            body["error"]["requestId"] = json!("");
            texts.push(body);
        }
        times.sort();
        medians.push(times[2]);
    }
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    let (low, high) = (medians[0].min(medians[1]), medians[0].max(medians[1]));
    assert!(high < low.mul_f64(2.5) || high - low < Duration::from_millis(20), "{medians:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_are_limited_and_nothing_else_is() {
    let api = Api::start().await;
    for _ in 0..21 {
        let answer = api.post("/api/auth/login", &json!({"username": "admin", "password": "admin123"})).await;
        assert_eq!(answer.status, 200, "good logins do not count");
    }
    let mut tries = 0;
    let limited = loop {
        let answer = api.post("/api/auth/login", &json!({"username": format!("u{tries}"), "password": "x"})).await;
        tries += 1;
        assert!(tries < 60, "60 tries went through");
        if answer.status != 401 {
            break answer;
        }
    };
    assert_refused(&limited, 429, "too_many_logins", "brute force");
    assert!(limited.header("retry-after").parse::<u64>().unwrap() <= 60, "nobody is locked out for long");
    assert_eq!(api.get("/api/tasks").await.status, 200, "who is in stays in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_own_tasks_and_changes_no_fleet() {
    let mut api = Api::with_instance().await;
    let admins = api.submit().await;
    api.token = token_of("lin", "user");
    let own = api.submit().await;
    for (method, path) in [
        ("GET", "/api/config"),
        ("PUT", "/api/config"),
        ("PUT", "/api/instances/127.0.0.1:8001"),
        ("GET", "/api/files"),
    ] {
        let answer = api.json(method, path, &[], b"{}").await;
        assert_refused(&answer, 403, "forbidden", &format!("{method} {path}"));
    }
    let list = data(&api.get("/api/tasks").await);
    assert_eq!((list["total"].as_u64(), list["items"][0]["id"].as_str()), (Some(1), Some(own.as_str())));
    assert_eq!(list["items"][0]["owner"], "lin");
    assert_refused(&api.get(&format!("/api/tasks/{admins}")).await, 404, "not_found", "another's task");
    assert_refused(&api.delete(&format!("/api/tasks/{admins}")).await, 404, "not_found", "another's task");
    assert_eq!(api.delete(&format!("/api/tasks/{own}")).await.status, 200);
    api.token = token_of("admin", "admin");
    assert_eq!(data(&api.get(&format!("/api/tasks/{admins}")).await)["status"], "pending");
    assert_eq!(data(&api.get("/api/tasks").await)["total"], 2);
}

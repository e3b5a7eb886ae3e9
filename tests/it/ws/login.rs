//! Login to the WebSocket: accepted and refused handshakes, and the lifetime of a session.

use super::{
    client::{Client, raw_close_code, upgraded},
    stage::{Stage, user_token},
};
use serde_json::{Value, json};
use shuzhiren::ws::Timing;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

fn quick(login: Duration) -> Timing {
    Timing { login, ..Timing::default() }
}

fn envelope(body: &Option<Vec<u8>>) -> Value {
    serde_json::from_slice(body.as_deref().expect("a refusal has a body")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_or_the_first_message_logs_in() {
    let stage = Stage::start().await;
    let token = stage.admin_token(Duration::from_secs(60)).await;
    for scheme in ["Bearer", "bearer"] {
        let header = format!("{scheme} {token}");
        let mut client = Client::connect(stage.address, &[("authorization", &header)]).await.unwrap();
        let status = client.next().await.unwrap();
        assert_eq!(status["type"], "global_status");
        assert_eq!(status["data"]["totalInstances"], 2);
    }
    let mut client = Client::connect(stage.address, &[]).await.unwrap();
    client.send(json!({"type": "auth", "timestamp": 1, "data": {"token": token}, "requestId": "r-1"})).await;
    let auth_ok = client.next().await.unwrap();
    assert_eq!((&auth_ok["type"], &auth_ok["requestId"]), (&json!("auth_ok"), &json!("r-1")));
    assert_eq!(auth_ok["data"]["user"], json!({"username": "admin", "role": "admin"}));
    assert_eq!(client.next().await.unwrap()["type"], "global_status");
    assert_eq!(client.ask("auth", json!({"token": token})).await["data"]["type"], "already_logged_in");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_header_is_refused_at_the_handshake() {
    let stage = Stage::start().await;
    let token = stage.admin_token(Duration::from_secs(60)).await;
    let forged = format!("Bearer {}x", token);
    for header in ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", &token, &forged] {
        let refused = Client::connect(stage.address, &[("authorization", header)]).await.err().expect(header);
        assert_eq!(refused.status(), 401, "{header}");
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        let body = envelope(refused.body());
        assert_eq!((&body["code"], &body["error"]["type"]), (&json!(401), &json!("unauthorized")));
    }
    let good = format!("Bearer {token}");
    let twice = Client::connect(stage.address, &[("authorization", &good), ("authorization", &good)]).await;
    assert_eq!(twice.err().unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_login_gets_only_errors_and_is_closed() {
    let stage = Stage::start_with(quick(Duration::from_millis(600)), |_| {}).await;
    let mut silent = Client::connect(stage.address, &[]).await.unwrap();
    let begun = Instant::now();
    assert_eq!(silent.close_code().await, 4408);
    assert!(begun.elapsed() < Duration::from_secs(5));

    let mut asking = Client::connect(stage.address, &[]).await.unwrap();
    stage.submit("admin").await;
    for message in [json!({"type": "ping"}), json!({"type": "subscribe", "data": {"all": true}}), json!(5)] {
        asking.send(message).await;
        assert_eq!(asking.next().await.unwrap()["type"], "error");
    }
    assert_eq!(asking.next().await, Err(4408));

    let mut forger = Client::connect(stage.address, &[]).await.unwrap();
    forger.send(json!({"type": "auth", "data": {"token": "a.b.c"}, "requestId": "r"})).await;
    let error = forger.next().await.unwrap();
    assert_eq!((&error["type"], &error["requestId"]), (&json!("error"), &json!("r")));
    assert_eq!(error["data"]["type"], "unauthorized");
    assert_eq!(forger.next().await, Err(4401));

    let mut noisy = Client::connect(stage.address, &[]).await.unwrap();
    for _ in 0..20 {
        noisy.send_raw(Message::text("x")).await;
    }
    assert!(matches!(noisy.close_code().await, 4401 | 1006));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_subprotocol_is_no_login() {
    let stage = Stage::start_with(quick(Duration::from_millis(300)), |_| {}).await;
    let token = stage.admin_token(Duration::from_secs(60)).await;
    let mut stream = upgraded(stage.address, &format!("sec-websocket-protocol: {token}\r\n")).await;
    assert_eq!(raw_close_code(&mut stream).await, Some(4408));
}

/// Bug report 27: the client is answered at once, not after the time limit of the login.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_url_is_answered_at_once_with_the_right_way() {
    let stage = Stage::start_with(quick(Duration::from_secs(600)), |_| {}).await;
    let token = stage.admin_token(Duration::from_secs(60)).await;
    for query in
        [format!("token={token}"), "token=".to_owned(), "a=b&Access_Token=x".to_owned(), "%74oken=x".to_owned()]
    {
        let url = format!("ws://{}/ws?{query}", stage.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut client = Client { socket };
        let error = client.next().await.unwrap();
        let message = error["data"]["message"].as_str().unwrap();
        assert_eq!((&error["type"], &error["data"]["type"]), (&json!("error"), &json!("unauthorized")), "{query}");
        assert!(message.contains("Authorization: Bearer") && message.contains("first message"), "{message}");
        assert!(!message.contains(&token), "the token is not repeated");
        assert_eq!(client.next().await, Err(4401), "{query}");
    }
    // Logged in by the header, the query says nothing.
    let mut request = format!("ws://{}/ws?token=x", stage.address).into_client_request().unwrap();
    request.headers_mut().append("authorization", format!("Bearer {token}").parse().unwrap());
    let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(Client { socket }.next().await.unwrap()["type"], "global_status");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_are_refused() {
    let stage =
        Stage::start_with(Timing::default(), |front| front.allowed_origins = vec!["https://ui.example".to_owned()])
            .await;
    let ours = format!("http://{}", stage.address);
    for origin in [ours.as_str(), "https://ui.example"] {
        Client::connect(stage.address, &[("origin", origin)]).await.expect(origin);
    }
    let token = format!("Bearer {}", stage.admin_token(Duration::from_secs(60)).await);
    for origin in ["https://evil.example", "null"] {
        let headers = [("origin", origin), ("authorization", token.as_str())];
        let refused = Client::connect(stage.address, &headers).await.err().expect(origin);
        assert_eq!(refused.status(), 403);
        assert_eq!(envelope(refused.body())["error"]["type"], "origin_forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_request_is_answered_with_an_envelope() {
    let stage = Stage::start().await;
    for (request, status) in [
        ("GET /ws HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "426"),
        ("POST /ws HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "405"),
        ("GET /ws HTTP/1.1\r\nhost: x\r\nconnection: close, upgrade\r\nupgrade: websocket\r\n\r\n", "400"),
        (
            "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            "400",
        ),
        (
            "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 8\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            "400",
        ),
    ] {
        let mut stream = tokio::net::TcpStream::connect(stage.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let body: Value = loop {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{request}: {}", String::from_utf8_lossy(&answer));
            let text = str::from_utf8(&answer).unwrap();
            if let Some(body) = text.split("\r\n\r\n").nth(1).and_then(|body| serde_json::from_str(body).ok()) {
                assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {text}");
                break body;
            }
        };
        assert_eq!(body["code"].to_string(), status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_without_login_are_limited_per_address_and_others_are_not() {
    let stage = Stage::start_with(Timing::default(), |front| front.ws_pending_max = 2).await;
    let first = Client::connect(stage.address, &[]).await.unwrap();
    let mut second = Client::connect(stage.address, &[]).await.unwrap();
    let refused = Client::connect(stage.address, &[]).await.err().expect("a third socket without login");
    assert_eq!(refused.status(), 429);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u32>().is_ok());
    assert_eq!(envelope(refused.body())["error"]["type"], "too_many_sockets");
    stage.client().await;
    let token = stage.admin_token(Duration::from_secs(60)).await;
    second.send(json!({"type": "auth", "data": {"token": token}})).await;
    second.until_type("auth_ok").await;
    Client::connect(stage.address, &[]).await.expect("a login frees its place");
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_ends_with_its_token() {
    let stage = Stage::start().await;
    let token = stage.admin_token(Duration::from_secs(2)).await;
    let mut client = Client::connect(stage.address, &[("authorization", &format!("Bearer {token}"))]).await.unwrap();
    let mut other = stage.client().await;
    let begun = Instant::now();
    assert_eq!(client.close_code().await, 4401);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    other.ask("ping", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_only_own_tasks() {
    let stage = Stage::start().await;
    let header = format!("Bearer {}", user_token("eve"));
    let mut eve = Client::connect(stage.address, &[("authorization", &header)]).await.unwrap();
    let mut admin = stage.client().await;
    let (foreign, own) = (stage.submit("admin").await, stage.submit("eve").await);
    let dispatcher = stage.dispatcher().await;
    dispatcher.run_one().await;
    dispatcher.run_one().await;
    admin.until_ended(own).await;
    assert_eq!(eve.ask("get_task", json!({"taskId": foreign})).await["data"]["type"], "not_found");
    let subscribed = eve.ask("subscribe", json!({"taskIds": [foreign, own]})).await;
    assert_eq!(subscribed["data"]["unknown"], json!([foreign]));
    assert_eq!(subscribed["data"]["taskIds"], json!([own]));
    let mut fresh = Client::connect(stage.address, &[("authorization", &header)]).await.unwrap();
    let third = stage.submit("admin").await;
    let fourth = stage.submit("eve").await;
    dispatcher.run_one().await;
    dispatcher.run_one().await;
    loop {
        let message = fresh.next().await.unwrap();
        assert_ne!(message["data"]["taskId"], third.to_string());
        if message["type"] == "task_completed" {
            assert_eq!(message["data"]["taskId"], fourth.to_string());
            break;
        }
    }
}

//! A server that is busy, loses an answer, or is another program: which requests are retried.

use super::Shell;
use crate::support::stack::workflow;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::sync::{Arc, Mutex};

/// Reaction of the stand-in server to successive requests; the last one is repeated.
#[derive(Debug, Clone, Copy)]
enum Reaction {
    Busy(StatusCode),
    /// Takes the request and hangs up.
    HangUp,
    Html,
    Redirect,
    Accept,
}

#[derive(Clone, Default)]
struct Server {
    reactions: Arc<Mutex<Vec<Reaction>>>,
    /// Method, path and key of each request, and its body.
    requests: Arc<Mutex<Vec<(String, String, Bytes)>>>,
}

const ID: &str = "01a20ad8-50a6-74e5-b6f1-083609404e43";

async fn answer(State(server): State<Server>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned()).unwrap_or_default();
    server.requests.lock().unwrap().push((format!("{method} {uri}"), key, body));
    let reaction = {
        let mut reactions = server.reactions.lock().unwrap();
        if reactions.len() > 1 { reactions.remove(0) } else { reactions[0] }
    };
    let error = json!({"code": 503, "message": "too busy", "error": {"type": "busy", "details": [], "requestId": "r"}});
    match reaction {
        Reaction::Busy(status) => (status, [(header::RETRY_AFTER, "1")], axum::Json(error)).into_response(),
        Reaction::HangUp => panic!("this connection ends here"),
        Reaction::Html => (StatusCode::OK, "<html>welcome</html>").into_response(),
        Reaction::Redirect => {
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, "https://elsewhere/x")]).into_response()
        }
        Reaction::Accept => axum::Json(json!({"code": 200, "data": {"id": ID, "status": "pending"}})).into_response(),
    }
}

async fn server(reactions: &[Reaction]) -> (Server, Shell) {
    let server = Server { reactions: Arc::new(Mutex::new(reactions.to_vec())), ..Server::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut shell = Shell::new(&format!("http://{}", listener.local_addr().unwrap()));
    shell.variables.push(("SHUZHIREN_TOKEN".to_owned(), "t".to_owned()));
    let router = Router::new().fallback(answer).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (server, shell)
}

#[tokio::test]
async fn a_busy_server_is_retried_with_the_same_idempotency_key() {
    let reactions = [
        Reaction::Busy(StatusCode::SERVICE_UNAVAILABLE),
        Reaction::Busy(StatusCode::TOO_MANY_REQUESTS),
        Reaction::HangUp,
        Reaction::Accept,
    ];
    let (server, shell) = server(&reactions).await;
    let file = shell.workflow(&workflow::quick(1));
    let began = std::time::Instant::now();
    let ran = shell.run(&["submit", &file]).await;
    assert_eq!((ran.code, ran.out.trim_end()), (0, ID), "{ran:?}");
    assert!(began.elapsed() >= std::time::Duration::from_secs(2), "Retry-After is kept: {:?}", began.elapsed());
    assert_eq!(ran.err.matches("waiting:").count(), 1, "{ran:?}");
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.len(), 4);
    assert!(!requests[0].1.is_empty() && requests.iter().all(|request| request == &requests[0]), "{requests:?}");
}

#[tokio::test]
async fn busy_for_too_long_is_code_5() {
    let (_server, shell) = server(&[Reaction::Busy(StatusCode::SERVICE_UNAVAILABLE)]).await;
    let ran = shell.run(&["tasks", "--wait-for-server", "1500ms"]).await;
    assert_eq!((ran.code, ran.err.contains("too busy")), (5, true), "{ran:?}");
}

#[tokio::test]
async fn a_request_that_may_take_effect_twice_is_not_retried() {
    let (server, shell) = server(&[Reaction::HangUp]).await;
    shell.write("a.txt", "a");
    let ran = shell.run(&["upload", "a.txt"]).await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn another_program_at_the_address_is_reported() {
    let (_server, shell) = server(&[Reaction::Html]).await;
    let ran = shell.run(&["tasks"]).await;
    assert_eq!((ran.code, ran.err.contains("does not answer like shuzhiren")), (5, true), "{ran:?}");
    let (_server, shell) = self::server(&[Reaction::Redirect]).await;
    let ran = shell.run(&["tasks"]).await;
    assert_eq!((ran.code, ran.err.contains("https://elsewhere/x")), (2, true), "{ran:?}");
}

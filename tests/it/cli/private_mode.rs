//! Downloads of private mode: with the login, or with a signed link; the token stays with the system.

use super::{PASSWORD, Shell, Stack};
use crate::support::{
    stack::workflow,
    web::{PNG, Web},
};
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::any,
};
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;

#[tokio::test]
async fn files_of_private_mode_come_with_a_login_or_a_signed_link() {
    let stack = Stack::start_with_files(1, vec![("SHUZHIREN_LINK_TTL".into(), "60s".into())]).await;
    let shell = Shell::logged_in(&stack).await;
    let file = shell.workflow(&workflow::quick(3));
    let ran = shell.run(&["submit", &file, "--out", "out"]).await;
    assert!(ran.code == 0 && ran.out.contains("saved out/"), "{ran:?}");
    let task = ran.out.lines().next().unwrap();
    shell.ok(&["download", task, "--out", "of-task"]).await;
    let output = stack.client.task(task).await["result"]["outputs"][0].clone();
    let (id, link) = (output["fileId"].as_str().unwrap(), output["url"].as_str().unwrap());
    shell.ok(&["download", id, "--out", "by-id"]).await;

    // `sample` names a link that opens, for it is shown to be clicked on.
    let sample = ["sample", "--password", PASSWORD];
    let said = shell.ok(&sample).await;
    assert!(std::fs::read(shell.folder().join("sample.png")).unwrap().starts_with(b"\x89PNG"), "{said}");
    let shown = said.lines().find_map(|line| line.strip_prefix("picture ")).unwrap();
    assert!(stack.client.download(shown).await.starts_with(b"\x89PNG"), "{said}");

    let stranger = Shell::new(&stack.client.base);
    stranger.ok(&["download", link, "--out", "."]).await;
    let saved = std::fs::read(stranger.folder().join(output["filename"].as_str().unwrap())).unwrap();
    assert!(saved.starts_with(b"\x89PNG"));
    let ran = stranger.run(&["download", id]).await;
    assert_eq!((ran.code, ran.err.contains("shuzhiren login --url")), (3, true), "{ran:?}");
}

/// A file in the bucket, and one that the bucket does not give.
const FILE: &str = "3b241101-e2bb-4255-8caf-4136c566a962";
const REFUSED: &str = "3b241101-e2bb-4255-8caf-4136c566a963";

/// Answers like a system whose files are in a bucket: who may read them is sent there.
async fn system(bucket: &Web) -> (String, AbortOnDropHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/upload/file/{id}", any(answer)).with_state(bucket.url(""));
    (url, AbortOnDropHandle::new(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })))
}

async fn answer(method: Method, Path(id): Path<String>, State(bucket): State<String>, sent: HeaderMap) -> Response {
    match sent.get(header::AUTHORIZATION) {
        _ if method == Method::HEAD => StatusCode::OK.into_response(),
        Some(token) if token == "Bearer good" => {
            // By way of another place, as stores do.
            let place = if id == REFUSED { "status/403" } else { "to//file" };
            (StatusCode::FOUND, [(header::LOCATION, format!("{bucket}{place}"))]).into_response()
        }
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

#[tokio::test]
async fn a_token_goes_to_no_bucket_and_a_refusal_is_final() {
    let bucket = Web::start().await;
    let (url, _system) = system(&bucket).await;
    let shell = Shell::new(&url);
    shell.ok(&["download", FILE, "--token", "good"]).await;
    assert_eq!(std::fs::read(shell.folder().join(FILE)).unwrap(), PNG);
    let began = Instant::now();
    for (id, token, code) in [(FILE, "bad", 3), (REFUSED, "good", 6)] {
        let ran = shell.run(&["download", id, "--token", token, "--out", "refused"]).await;
        assert_eq!((ran.code, ran.err.contains("retrying")), (code, false), "{ran:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "nothing is waited for: {:?}", began.elapsed());
    let heads = bucket.heads();
    assert_eq!(heads.len(), 3, "there, on to the file, and once refused: {heads:?}");
    assert!(!heads.concat().to_lowercase().contains("authorization"), "{heads:?}");
}

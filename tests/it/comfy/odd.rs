//! The client against misbehaving servers: no panic, no conclusion from malformed answers, no exceeded timeout.

use super::{
    TIMEOUT, chunks, client_of, file,
    peer::{Peer, ReceivedRequest, reply},
    target,
};
use axum::{body::Body, response::Response};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{json, value::RawValue};
use shuzhiren::comfy::{Client, Error, NodeOutput, PromptStatus, Submitted};
use std::{io, time::Duration};
use uuid::Uuid;

const SHORT: Duration = Duration::from_millis(400);
const GRAPH: &str = r#"{"1":{"class_type":"A","inputs":{"seed":18446744073709551615, "x":1e-7}}}"#;

fn graph() -> Box<RawValue> {
    RawValue::from_string(GRAPH.to_owned()).unwrap()
}

/// Results of calling every method.
struct Answers {
    errors: Vec<Option<Error>>,
    viewed: Result<(), Error>,
    connected: bool,
}

async fn call_everything(client: &Client, timeout: Duration) -> Answers {
    let prompt = Uuid::new_v4();
    let errors = vec![
        client.probe(timeout).await.err(),
        client.queue_remaining(timeout).await.err(),
        client.queue().await.err(),
        client.status(prompt).await.err(),
        client.submit(prompt, &graph(), "c").await.err(),
        client.cancel(prompt).await.err(),
        client.upload("", "a.png", 4, chunks(&["abcd"])).await.err(),
    ];
    let viewed = match client.view(&file("a.png", "")).await {
        Ok(download) => download.bytes.try_for_each(|_| async { Ok(()) }).await,
        Err(error) => Err(error),
    };
    let connected = client.connect("c", timeout).await.is_ok();
    Answers { errors, viewed, connected }
}

/// The most important test: none of these answers may be taken for "unknown", "accepted" or "success".
#[tokio::test]
async fn a_malformed_answer_is_an_error() {
    let bodies: [(u16, &str); 19] = [
        (500, "500 Internal Server Error\n\nServer got itself in trouble"),
        (502, "<html><h1>502 Bad Gateway</h1></html>"),
        (503, ""),
        (200, "<!doctype html><title>Login</title>"),
        (200, ""),
        (200, "null"),
        (200, "[]"),
        (200, "7"),
        (200, "\"text\""),
        (200, "{\"queue_running\":[],\"queue_pend"),
        (200, "{\"queue_running\":{},\"queue_pending\":null,\"exec_info\":5,\"system\":[]}"),
        (200, "{\"queue_running\":[[]],\"queue_pending\":[],\"exec_info\":{\"queue_remaining\":\"x\"}}"),
        (200, "\u{0}\u{1}\u{2}"),
        (204, ""),
        (400, "<html>bad request</html>"),
        (401, "who are you"),
        (403, ""),
        (404, ""),
        (429, "{}"),
    ];
    for (status, body) in bodies {
        let peer = Peer::start(move |_| reply(status, body)).await;
        let client = client_of(peer.addr, TIMEOUT);
        let answers = call_everything(&client, TIMEOUT).await;
        for (call, error) in answers.errors.iter().enumerate() {
            assert!(error.is_some(), "call {call} accepted {status} {body:?} as an answer");
        }
        assert!(status == 200 || answers.viewed.is_err(), "{status}");
        assert!(!answers.connected);
        client.delete_history(Uuid::nil()).await.err();
        client.free_memory().await.err();
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Peer::start(|_| reply(200, "{\"queue_running\":[],\"queue_pending\":[]}")).await;
    let location = format!("http://{}/queue", elsewhere.addr);
    let peer = Peer::start(move |_| {
        Response::builder().status(307).header("location", location.as_str()).body(Body::empty()).unwrap()
    })
    .await;
    let answers = call_everything(&client_of(peer.addr, TIMEOUT), TIMEOUT).await;
    assert!(answers.errors.iter().all(|error| matches!(error, Some(Error::Broken(_)))), "{:?}", answers.errors);
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_peer_that_hangs_or_disconnects_is_unreachable_in_time() {
    let cases: [(&'static [u8], bool); 6] = [
        (b"", true),
        (b"", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"queue_running\"", true),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"queue_running\"", false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"que\r\n", false),
        (b"nonsense\r\n\r\n", false),
    ];
    for (bytes, hangs) in cases {
        let peer = Peer::raw(bytes, hangs).await;
        let client = client_of(peer.addr, SHORT);
        let started = tokio::time::Instant::now();
        let answers = call_everything(&client, SHORT).await;
        // Ten calls, at most two timeouts each.
        assert!(started.elapsed() < SHORT * 20, "{:?}", started.elapsed());
        assert!(
            answers.errors.iter().all(|error| matches!(error, Some(Error::Unreachable(_)))),
            "{hangs}: {:?}",
            answers.errors
        );
        assert!(answers.viewed.is_err() && !answers.connected);
    }
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let answers = call_everything(&client_of(addr, SHORT), SHORT).await;
    for error in answers.errors {
        let Some(Error::Unreachable(why)) = error else { panic!("{error:?}") };
        assert!(why.contains("connect") && !why.contains("http://"), "{why}");
    }
}

/// A POST without an answer is not repeated, because the prompt may be queued.
#[tokio::test]
async fn a_prompt_is_never_sent_twice() {
    let peer = Peer::raw(b"", false).await;
    let client = client_of(peer.addr, TIMEOUT);
    assert!(matches!(client.submit(Uuid::new_v4(), &graph(), "c").await, Err(Error::Unreachable(_))));
    assert_eq!(peer.lines(), ["POST /prompt HTTP/1.1"]);
    let peer = Peer::start(|_| reply(503, "busy")).await;
    let client = client_of(peer.addr, TIMEOUT);
    assert!(matches!(client.submit(Uuid::new_v4(), &graph(), "c").await, Err(Error::Broken(_))));
    assert_eq!(peer.lines(), ["POST /prompt"]);
}

#[tokio::test]
async fn the_body_contains_the_graph_unchanged() {
    let prompt = Uuid::new_v4();
    let peer =
        Peer::start(move |_| reply(200, format!("{{\"prompt_id\":\"{prompt}\",\"number\":1,\"node_errors\":{{}}}}")))
            .await;
    let client = client_of(peer.addr, TIMEOUT);
    assert!(matches!(client.submit(prompt, &graph(), "me").await.unwrap(), Submitted::Accepted));
    let request = &peer.requests()[0];
    let wanted = format!(
        r#"{{"prompt":{GRAPH},"prompt_id":"{prompt}","client_id":"me","extra_data":{{"extra_pnginfo":{{}}}}}}"#
    );
    assert_eq!(request.body, wanted);
    assert_eq!(request.headers["content-type"], "application/json");
}

/// Old versions assign their own id; the prompt must not run under an id that we do not know.
#[tokio::test]
async fn a_prompt_under_another_id_is_deleted() {
    let peer = Peer::start(|_| reply(200, r#"{"prompt_id":"theirs","number":1,"node_errors":{}}"#)).await;
    let client = client_of(peer.addr, TIMEOUT);
    assert!(matches!(client.submit(Uuid::new_v4(), &graph(), "c").await, Err(Error::Broken(_))));
    let last = peer.requests().pop().unwrap();
    assert_eq!((last.line.as_str(), &last.body[..]), ("POST /queue", &br#"{"delete":["theirs"]}"#[..]));
}

#[tokio::test]
async fn a_prompt_that_is_too_large_is_refused() {
    let peer = Peer::start(|_| reply(413, "Maximum request body size 104857600 exceeded.")).await;
    let client = client_of(peer.addr, TIMEOUT);
    assert!(matches!(client.submit(Uuid::new_v4(), &graph(), "c").await, Err(Error::Refused(_))));
    assert!(matches!(client.upload("", "a", 4, chunks(&["abcd"])).await, Err(Error::Refused(_))));
}

/// These replies never end: the client must stop reading.
#[tokio::test]
async fn an_endless_answer_is_aborted() {
    for status in [200, 400] {
        let peer = Peer::start(move |_| {
            let endless = stream::repeat_with(|| Ok::<_, io::Error>(bytes::Bytes::from(vec![b' '; 1 << 20])));
            reply(status, Body::from_stream(endless))
        })
        .await;
        let client = client_of(peer.addr, Duration::from_secs(60));
        let prompt = Uuid::new_v4();
        for error in [
            client.queue().await.err(),
            client.status(prompt).await.err(),
            client.submit(prompt, &graph(), "c").await.err(),
            client.probe(Duration::from_secs(60)).await.err(),
            client.free_memory().await.err(),
            client.upload("", "a", 4, chunks(&["abcd"])).await.err(),
        ] {
            assert!(matches!(error, Some(Error::Broken(_))), "{error:?}");
        }
    }
}

#[tokio::test]
async fn every_request_has_the_headers_and_base_path_but_no_origin() {
    let peer = Peer::start(|_| reply(200, "{}")).await;
    let mut target = target(format!("http://{}/comfy/", peer.addr));
    for (name, value) in
        [("X-Key", "s3cret"), ("Authorization", "Bearer t"), ("Origin", "http://evil"), ("Host", "evil")]
    {
        target.headers.insert(name.to_owned(), value.to_owned());
    }
    let client = Client::new(&target, TIMEOUT).unwrap();
    assert!(!format!("{client:?}").contains("s3cret"));
    call_everything(&client, TIMEOUT).await;
    let requests = peer.requests();
    assert!(requests.len() >= 8);
    assert!(requests.iter().any(|request| request.line.starts_with("GET /comfy/ws?clientId=c")), "{:?}", peer.lines());
    for ReceivedRequest { line, headers, .. } in requests {
        assert!(line.split(' ').nth(1).unwrap().starts_with("/comfy/"), "{line}");
        assert_eq!(
            (&headers["x-key"], &headers["authorization"]),
            (&"s3cret".parse().unwrap(), &"Bearer t".parse().unwrap())
        );
        assert!(!headers.contains_key("origin") && headers["host"] == peer.addr.to_string().as_str(), "{line}");
    }
}

#[tokio::test]
async fn an_unusable_target_is_refused_on_creation() {
    for base_url in ["", "ftp://a", "http://", "not a url"] {
        assert!(matches!(Client::new(&target(base_url.to_owned()), TIMEOUT), Err(Error::Refused(_))), "{base_url}");
    }
    let mut target = target("http://127.0.0.1:1".to_owned());
    target.headers.insert("bad name".to_owned(), "x".to_owned());
    assert!(Client::new(&target, TIMEOUT).is_err());
}

/// The history contains JSON that a strict parser refuses.
#[tokio::test]
async fn nan_in_the_history_is_tolerated() {
    let prompt = Uuid::new_v4();
    let peer = Peer::start(move |line| {
        if line == "GET /queue" {
            return reply(200, r#"{"queue_running":[],"queue_pending":[[1,"x",{"1":{"inputs":{"v":NaN}}},{},[]]]}"#);
        }
        reply(
            200,
            format!(
                r#"{{"{prompt}":{{"prompt":[1,"{prompt}",{{}},{{}},[]],"outputs":{{"1":{{"value":[NaN,-Infinity],"text":["\udce4"]}}}},
                "status":{{"status_str":"success","completed":true,"messages":[]}}}}}}"#
            ),
        )
    })
    .await;
    let PromptStatus::Ended(ending) = client_of(peer.addr, TIMEOUT).status(prompt).await.unwrap() else {
        panic!("the prompt has not ended")
    };
    let texts: Vec<&str> = ending
        .outputs
        .iter()
        .filter_map(|output| if let NodeOutput::Value { text, .. } = output { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(texts, ["NaN", "-Infinity", "\u{fffd}"]);
    assert_eq!(
        peer.lines(),
        ["GET /queue".to_owned(), format!("GET /history/{prompt}")],
        "the queue must be read first"
    );
}

/// The jobs API does not know the job, but the queue does: the queue decides.
#[tokio::test]
async fn unknown_is_never_concluded_from_the_jobs_api_alone() {
    let prompt = Uuid::new_v4();
    let peer = Peer::start(move |line| match line {
        "GET /system_stats" => reply(200, r#"{"system":{"comfyui_version":"0.38.1"},"devices":[]}"#),
        "GET /api/jobs?limit=1" => reply(200, r#"{"jobs":[],"pagination":{}}"#),
        "GET /queue" => {
            reply(200, json!({"queue_running": [[0, prompt, {}, {}, []]], "queue_pending": []}).to_string())
        }
        line if line.starts_with("GET /api/jobs/") => reply(404, r#"{"error":"Job not found"}"#),
        _ => reply(404, ""),
    })
    .await;
    let client = client_of(peer.addr, TIMEOUT);
    assert!(client.probe(TIMEOUT).await.unwrap().has_jobs);
    assert!(matches!(client.status(prompt).await.unwrap(), PromptStatus::Running));
}

/// The entry of a prompt may be 8 MiB long, and longer by the echo of its graph.
#[tokio::test]
async fn a_history_entry_that_is_too_long_is_an_error_of_its_own() {
    let prompt = Uuid::new_v4();
    let peer = Peer::start(move |line| {
        if line == "GET /queue" {
            return reply(200, r#"{"queue_running":[],"queue_pending":[]}"#);
        }
        let graph = format!(r#"{{"1":{{"x":"{}"}}}}"#, "x".repeat(9 << 20));
        let status = r#"{"status_str":"success","completed":true,"messages":[]}"#;
        reply(
            200,
            format!(r#"{{"{prompt}":{{"prompt":[1,"{prompt}",{graph},{{}},[]],"outputs":{{}},"status":{status}}}}}"#),
        )
    })
    .await;
    let client = client_of(peer.addr, TIMEOUT);
    assert!(matches!(client.status(prompt).await, Err(Error::TooLong(_))));
    assert!(matches!(client.result(prompt).await, Err(Error::TooLong(_))), "and is not asked for again");
    assert_eq!(peer.lines().iter().filter(|line| line.starts_with("GET /history")).count(), 2);
    assert!(matches!(client.for_graph(9 << 20).status(prompt).await, Ok(PromptStatus::Ended(_))));
}

/// Garbage instead of an entry, while the queue is ComfyUI's: the prompt has ended, and nothing says how.
#[tokio::test]
async fn a_history_that_is_not_comfyui_s_is_unreadable() {
    let peer = Peer::start(|line| match line {
        "GET /queue" => reply(200, r#"{"queue_running":[],"queue_pending":[]}"#),
        _ => reply(200, "[".repeat(300_000)),
    })
    .await;
    assert!(matches!(client_of(peer.addr, TIMEOUT).status(Uuid::new_v4()).await, Err(Error::Unreadable(_))));
}

/// A single large reply is in memory; small ones do not wait for it.
#[tokio::test]
async fn small_replies_do_not_wait_for_a_large_one() {
    let peer = Peer::start(|line| match line {
        "GET /object_info" => {
            let start = stream::iter([Ok::<_, io::Error>(bytes::Bytes::from(vec![b' '; 1 << 20]))]);
            reply(200, Body::from_stream(start.chain(stream::pending())))
        }
        "GET /queue" => reply(200, format!(r#"{{"queue_running":[],"queue_pending":[]{}}}"#, " ".repeat(1 << 20))),
        _ => reply(200, r#"{"exec_info":{"queue_remaining":3}}"#),
    })
    .await;
    let client = client_of(peer.addr, TIMEOUT);
    let other = client.clone();
    let large = tokio::spawn(async move { other.object_info(Duration::from_secs(3)).await });
    let queue = async {
        while !peer.lines().contains(&"GET /object_info".to_owned()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(client.queue_remaining(TIMEOUT).await.unwrap(), 3);
        client.queue().await
    };
    assert!(queue.await.is_ok(), "it waits for the large reply, and still has its own time");
    assert!(large.await.unwrap().is_err());
}

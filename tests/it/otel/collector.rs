//! A collector: takes OTLP over HTTP as protobuf, and can be silent or broken.

use crate::support::{eventually, stack::WAIT_MAX};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode as SpanStatus},
};
use prost::Message as _;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio_util::task::AbortOnDropHandle;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mood {
    Well,
    /// Never.
    Silent,
    /// 500.
    Broken,
}

/// A span as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty: none.
    pub parent: String,
    /// Unix ns.
    pub begun: u64,
    pub ended: u64,
    pub is_error: bool,
    /// Name and time.
    pub events: Vec<(String, u64)>,
    /// `trace-span`
    pub links: Vec<String>,
    attributes: BTreeMap<String, String>,
    resource: BTreeMap<String, String>,
}

impl Seen {
    /// An attribute, or nothing.
    pub fn says(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// An attribute of the process it is from.
    pub fn of(&self, key: &str) -> &str {
        self.resource.get(key).map_or("", String::as_str)
    }
}

struct Inside {
    mood: Mood,
    spans: Vec<Seen>,
    bodies: Vec<Bytes>,
    heads: Vec<String>,
}

/// Stops with the test.
pub struct Collector {
    address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
    _server: AbortOnDropHandle<()>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inside = Inside { mood: Mood::Well, spans: Vec::new(), bodies: Vec::new(), heads: Vec::new() };
        let inside = Arc::new(Mutex::new(inside));
        let router = Router::new().route("/v1/traces", post(take)).with_state(inside.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, inside, _server: AbortOnDropHandle::new(server) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, mood: Mood) {
        self.inside.lock().unwrap().mood = mood;
    }

    /// Values of the header `x-api-key`.
    pub fn heads(&self) -> Vec<String> {
        self.inside.lock().unwrap().heads.clone()
    }

    /// Whether any body had this text in it.
    pub fn got(&self, text: &str) -> bool {
        let has = |body: &Bytes| body.windows(text.len()).any(|window| window == text.as_bytes());
        self.inside.lock().unwrap().bodies.iter().any(has)
    }

    /// Waits until so many requests have come, answered or not.
    pub async fn asked(&self, times: usize) {
        let asked = || async { (self.heads().len() >= times).then_some(()) };
        eventually("a request to the collector", WAIT_MAX, asked).await;
    }

    /// Waits until the task's trace has spans of these names; gives those, in the order of the names.
    pub async fn trace(&self, task: &str, names: &[&str]) -> Vec<Seen> {
        let trace = task.replace('-', "");
        let seen = || -> Vec<Seen> {
            let mut seen = self.inside.lock().unwrap().spans.clone();
            seen.retain(|span| span.trace == trace);
            seen.sort_by_key(|span| span.begun);
            seen
        };
        let give_up = tokio::time::Instant::now() + WAIT_MAX;
        eventually(&format!("spans {names:?}"), WAIT_MAX * 2, || async {
            let mut left = seen();
            let take = |name: &&str| left.iter().position(|span| span.name == **name).map(|at| left.remove(at));
            let found: Option<Vec<Seen>> = names.iter().map(take).collect();
            assert!(found.is_some() || tokio::time::Instant::now() < give_up, "no {names:?} in {:#?}", seen());
            found
        })
        .await
    }
}

async fn take(State(inside): State<Arc<Mutex<Inside>>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    let mood = {
        let mut inside = inside.lock().unwrap();
        inside.heads.push(headers.get("x-api-key").map_or("", |value| value.to_str().unwrap()).to_owned());
        inside.mood
    };
    match mood {
        Mood::Well => {}
        Mood::Silent => std::future::pending().await,
        Mood::Broken => return (StatusCode::INTERNAL_SERVER_ERROR, Vec::new()),
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let mut inside = inside.lock().unwrap();
    inside.bodies.push(body);
    for of_process in request.resource_spans {
        let resource = texts(of_process.resource.unwrap().attributes);
        for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            inside.spans.push(seen(span, resource.clone()));
        }
    }
    (StatusCode::OK, Vec::new())
}

fn seen(span: Span, resource: BTreeMap<String, String>) -> Seen {
    Seen {
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        begun: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
        is_error: span.status.is_some_and(|status| status.code == SpanStatus::Error as i32),
        events: span.events.into_iter().map(|event| (event.name, event.time_unix_nano)).collect(),
        links: span.links.iter().map(|link| format!("{}-{}", hex(&link.trace_id), hex(&link.span_id))).collect(),
        attributes: texts(span.attributes),
        resource,
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(truth) => truth.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .into_iter()
        .map(|one| (one.key, one.value.and_then(|any| any.value).map_or(String::new(), text)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

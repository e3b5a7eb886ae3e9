//! Stand-in collector: takes OTLP over HTTP as protobuf, and can be silent or failing.

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

/// Behaviour of the collector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Behaviour {
    Normal,
    /// Never answers.
    Silent,
    /// Answers 500.
    Failing,
}

/// A received span.
#[derive(Debug, Clone)]
pub struct ReceivedSpan {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Id of the parent; empty = none.
    pub parent: String,
    /// Start, Unix ns.
    pub begun: u64,
    pub ended: u64,
    pub is_error: bool,
    /// Names and times of the events.
    pub events: Vec<(String, u64)>,
    /// Links as `trace-span`.
    pub links: Vec<String>,
    attributes: BTreeMap<String, String>,
    resource: BTreeMap<String, String>,
}

impl ReceivedSpan {
    /// Returns an attribute, or an empty text.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// Returns an attribute of the sending process, or an empty text.
    pub fn resource_attribute(&self, key: &str) -> &str {
        self.resource.get(key).map_or("", String::as_str)
    }
}

struct Received {
    behaviour: Behaviour,
    spans: Vec<ReceivedSpan>,
    bodies: Vec<Bytes>,
    api_keys: Vec<String>,
}

/// A running collector; stops when dropped.
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    _server: AbortOnDropHandle<()>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received =
            Received { behaviour: Behaviour::Normal, spans: Vec::new(), bodies: Vec::new(), api_keys: Vec::new() };
        let received = Arc::new(Mutex::new(received));
        let router = Router::new().route("/v1/traces", post(take)).with_state(received.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, received, _server: AbortOnDropHandle::new(server) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, behaviour: Behaviour) {
        self.received.lock().unwrap().behaviour = behaviour;
    }

    /// Returns the values of the header `x-api-key`.
    pub fn api_keys(&self) -> Vec<String> {
        self.received.lock().unwrap().api_keys.clone()
    }

    /// Whether any body contained this text.
    pub fn has_received(&self, text: &str) -> bool {
        let has = |body: &Bytes| body.windows(text.len()).any(|window| window == text.as_bytes());
        self.received.lock().unwrap().bodies.iter().any(has)
    }

    /// Waits until the collector has got this number of requests, answered or not.
    pub async fn wait_for_requests(&self, times: usize) {
        let asked = || async { (self.api_keys().len() >= times).then_some(()) };
        eventually("a request to the collector", WAIT_MAX, asked).await;
    }

    /// Waits until the task's trace has spans with these names, and returns them in the order of the names.
    pub async fn trace(&self, task: &str, names: &[&str]) -> Vec<ReceivedSpan> {
        let trace = task.replace('-', "");
        let seen = || -> Vec<ReceivedSpan> {
            let mut seen = self.received.lock().unwrap().spans.clone();
            seen.retain(|span| span.trace == trace);
            seen.sort_by_key(|span| span.begun);
            seen
        };
        let give_up = tokio::time::Instant::now() + WAIT_MAX;
        eventually(&format!("spans {names:?}"), WAIT_MAX * 2, || async {
            let mut left = seen();
            let take = |name: &&str| left.iter().position(|span| span.name == **name).map(|at| left.remove(at));
            let found: Option<Vec<ReceivedSpan>> = names.iter().map(take).collect();
            assert!(found.is_some() || tokio::time::Instant::now() < give_up, "no {names:?} in {:#?}", seen());
            found
        })
        .await
    }
}

async fn take(State(received): State<Arc<Mutex<Received>>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    let behaviour = {
        let mut received = received.lock().unwrap();
        received.api_keys.push(headers.get("x-api-key").map_or("", |value| value.to_str().unwrap()).to_owned());
        received.behaviour
    };
    match behaviour {
        Behaviour::Normal => {}
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Failing => return (StatusCode::INTERNAL_SERVER_ERROR, Vec::new()),
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let mut received = received.lock().unwrap();
    received.bodies.push(body);
    for of_process in request.resource_spans {
        let resource = texts(of_process.resource.unwrap().attributes);
        for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            received.spans.push(seen(span, resource.clone()));
        }
    }
    (StatusCode::OK, Vec::new())
}

fn seen(span: Span, resource: BTreeMap<String, String>) -> ReceivedSpan {
    ReceivedSpan {
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

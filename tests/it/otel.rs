//! Traces received by a collector from real processes: one trace per task, with the task's id. Only with the feature
//! `otel`, which `bin/test` enables.

mod collector;

use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
    web::PNG,
};
use collector::{Behaviour, Collector, ReceivedSpan};
use serde_json::{Value, json};
use shuzhiren::task::{Attempt, TaskId};
use std::time::{Duration, Instant};

/// Starts a stand-in, an api and a dispatcher that trace to this collector.
async fn traced(collector: &Collector) -> Stack {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=a%20secret".to_owned()),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test".to_owned()),
        ("NO_PROXY", "127.0.0.1".to_owned()),
    ];
    Stack::start_with_files(1, variables.map(|(name, value)| (name.to_owned(), value)).to_vec()).await
}

/// Returns the prompt id of an attempt.
fn prompt(task: &str, attempt: u32) -> String {
    task.parse::<TaskId>().unwrap().prompt_id(Attempt::new(attempt)).to_string()
}

/// Makes the graph of [`workflow::steps`] with a text and a file of the user.
fn with_texts(file: &Value) -> Value {
    json!({
        "workflow": {
            "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
            "a lighthouse": {"class_type": "TestSteps", "inputs": {"steps": 3, "seconds": 0.2, "image": ["1", 0], "seed": 1}},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["a lighthouse", 0], "filename_prefix": "a lighthouse"}}
        },
        "params": {"1.image": {"$file": file["fileId"]}},
        "metadata": {"about": "a lighthouse"}
    })
}

#[tokio::test]
async fn a_task_is_one_trace_from_the_request_to_the_instance() {
    let collector = Collector::start().await;
    let stack = traced(&collector).await;
    let file = stack.client.upload("a lighthouse.png", PNG.to_vec()).await;
    let request = stack.client.http().post(format!("{}/api/tasks", stack.client.base)).bearer_auth(&stack.client.token);
    let request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let answer: Value = request.json(&with_texts(&file)).send().await.unwrap().json().await.unwrap();
    let id = answer["data"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed", "{}", stack.log());

    let spans = collector.trace(&id, &["submit", "wait", "attempt", "upload", "run", "collect"]).await;
    let [submit, wait, attempt, upload, run, collect] = spans.try_into().unwrap();
    // The id of the root span is computed from the task's id.
    let root = id.replace('-', "")[16..].to_owned();
    assert_eq!((submit.id.as_str(), submit.parent.as_str()), (root.as_str(), ""));
    for under in [&wait, &attempt] {
        assert_eq!(under.parent, root, "{under:?}");
    }
    for stage in [&upload, &run, &collect] {
        assert_eq!(stage.parent, attempt.id, "{stage:?}");
        assert!(attempt.begun <= stage.begun && stage.ended <= attempt.ended, "{stage:?} in {attempt:?}");
    }
    assert!(upload.ended <= run.begun && run.ended <= collect.begun);
    // One machine has one clock: accepted, then claimed at the end of the wait. Redis' time is in ms.
    let ms = |nanos: u64| nanos / 1_000_000;
    assert!(ms(submit.begun) <= ms(wait.begun) + 2, "{submit:?} {wait:?}");
    assert!(wait.begun <= wait.ended && wait.ended <= attempt.begun, "{wait:?} {attempt:?}");
    assert!(run.ended - run.begun >= 200_000_000, "the steps take 0.2 s: {run:?}");

    let names: Vec<&str> = run.events.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.starts_with(&["accepted"]) && names.contains(&"started"), "{names:?}");
    assert!(names.iter().filter(|name| **name == "node").count() >= 2, "{names:?}");
    assert_eq!(run.attribute("shuzhiren.prompt"), prompt(&id, 1));
    assert_eq!((upload.attribute("shuzhiren.files"), upload.attribute("shuzhiren.files.known")), ("1", "0"));
    assert_eq!(collect.attribute("shuzhiren.outputs"), "1");
    assert_eq!((attempt.attribute("shuzhiren.outcome"), attempt.attribute("shuzhiren.settled")), ("completed", "done"));
    assert_eq!(attempt.attribute("shuzhiren.instance"), stack.sims[0].addr().to_string());
    assert_eq!((attempt.attribute("shuzhiren.attempt"), attempt.attribute("shuzhiren.takeover")), ("1", ""));
    assert_eq!(submit.links, ["0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"]);
    assert!([&submit, &wait, &attempt, &run].iter().all(|span| !span.is_error), "{attempt:?}");
    for (span, role) in [(&submit, "api"), (&wait, "dispatcher"), (&run, "dispatcher")] {
        assert_eq!(span.resource_attribute("service.name"), format!("shuzhiren-{role}"));
        assert_eq!(span.resource_attribute("service.version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(span.resource_attribute("deployment.environment"), "test");
    }

    assert_failed_retried_and_cancelled_tasks_are_traced(&stack, &collector).await;

    assert!(!collector.has_received("lighthouse"), "no text of a user is exported");
    assert!(collector.api_keys().iter().all(|head| head == "a secret"), "requests carry the configured header");
    assert!(!stack.log().contains("a secret") && !stack.log().contains("a%20secret"), "{}", stack.log());
}

async fn assert_failed_retried_and_cancelled_tasks_are_traced(stack: &Stack, collector: &Collector) {
    let mut failing = workflow::steps(4, 0.1);
    failing["2"]["inputs"]["fail_at"] = json!(2);
    let id = stack.client.submit(json!({"workflow": failing})).await;
    assert_eq!(stack.client.wait_ended(&id).await["status"], "failed");
    stack.client.call(reqwest::Method::POST, &format!("/api/tasks/{id}/retry"), None).await;
    stack.client.wait_for(&id, &["failed"]).await;
    let spans = collector.trace(&id, &["wait", "attempt", "run", "retry", "wait", "attempt", "run"]).await;
    for failed in spans.iter().filter(|span| matches!(span.name.as_str(), "attempt" | "run")) {
        assert!(failed.is_error && failed.attribute("error.type") == "node_error", "{failed:?}");
    }
    let attempts: Vec<&ReceivedSpan> = spans.iter().filter(|span| span.name == "attempt").collect();
    assert_eq!(attempts.iter().map(|span| span.attribute("shuzhiren.attempt")).collect::<Vec<_>>(), ["1", "2"]);
    // The second wait starts with the second life, not with the submit.
    let second = &spans[spans.iter().rposition(|span| span.name == "wait").unwrap()];
    assert!(second.begun >= attempts[0].ended, "{second:?} after {:?}", attempts[0]);

    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.client.delete(&format!("/api/tasks/{id}")).await;
    let spans = collector.trace(&id, &["submit", "wait", "attempt", "run", "cancel"]).await;
    assert_eq!(spans[2].attribute("shuzhiren.outcome"), "cancelled");
}

#[tokio::test]
async fn an_attempt_that_is_handed_over_has_a_span_from_both_dispatchers() {
    let collector = Collector::start().await;
    let mut stack = traced(&collector).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(20, 2.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.add_dispatcher();
    assert_eq!(stack.dispatchers[0].terminate(Duration::from_secs(4)).await, Some(0));
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed", "{}", stack.log());
    let spans = collector.trace(&id, &["submit", "wait", "attempt", "run", "attempt", "run", "collect"]).await;
    let attempts: Vec<&ReceivedSpan> = spans.iter().filter(|span| span.name == "attempt").collect();
    let said = |key| attempts.iter().map(|span| span.attribute(key)).collect::<Vec<_>>();
    assert_eq!(said("shuzhiren.attempt"), ["1", "1"], "a takeover uses no attempt");
    assert_eq!(said("shuzhiren.outcome"), ["handed_over", "completed"]);
    assert_eq!(said("shuzhiren.takeover"), ["", "true"]);
    assert_ne!(said("shuzhiren.dispatcher")[0], said("shuzhiren.dispatcher")[1]);
}

/// The collector first answers 500, then accepts requests and never answers.
#[tokio::test]
async fn a_failing_or_silent_collector_delays_nothing_and_lost_spans_are_counted() {
    let collector = Collector::start().await;
    collector.set(Behaviour::Failing);
    let mut stack = traced(&collector).await;
    let quick = async |seed: u64| {
        let begun = Instant::now();
        let id = stack.client.submit(json!({"workflow": workflow::quick(seed)})).await;
        assert_eq!(stack.client.wait_ended(&id).await["status"], "completed", "{}", stack.log());
        // The exporter waits ten seconds for a response.
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    };
    quick(1).await;
    eventually("lost spans are counted", WAIT_MAX, || async {
        let page = stack.client.http().get(format!("{}/metrics", stack.client.base)).send().await.ok()?;
        let text = page.text().await.ok()?;
        let line = text.lines().find(|line| line.starts_with("shuzhiren_trace_spans_total{result=\"failed\"}"))?;
        (line.rsplit(' ').next()?.parse::<f64>().ok()? > 0.0).then_some(())
    })
    .await;
    collector.set(Behaviour::Silent);
    let before = collector.api_keys().len();
    quick(2).await;
    collector.wait_for_requests(before + 2).await;
    quick(3).await;
    let begun = Instant::now();
    assert_eq!(stack.dispatchers[0].terminate(Duration::from_secs(6)).await, Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "the stop does not wait for the last spans: {:?}",
        begun.elapsed()
    );
}

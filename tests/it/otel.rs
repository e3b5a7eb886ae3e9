//! Traces as a collector gets them, from real processes: one trace a task, under the task's id. Only with the feature `otel`,
//! which `bin/test` has on.

mod collector;

use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
    web::PNG,
};
use collector::{Collector, Mood, Seen};
use serde_json::{Value, json};
use shuzhiren::task::{Attempt, TaskId};
use std::time::{Duration, Instant};

/// One stand-in, one dispatcher; api and dispatcher trace to this collector.
async fn traced(collector: &Collector) -> Stack {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=a%20secret".to_owned()),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test".to_owned()),
        ("NO_PROXY", "127.0.0.1".to_owned()),
    ];
    Stack::start_with_files(1, variables.map(|(name, value)| (name.to_owned(), value)).to_vec()).await
}

/// The instance's own name of an attempt.
fn prompt(task: &str, attempt: u32) -> String {
    task.parse::<TaskId>().unwrap().prompt_id(Attempt::new(attempt)).to_string()
}

/// The graph of [`workflow::steps`] with a text of the user's, and its file.
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
    // The root is known from the task's id alone.
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
    // One machine, one clock: accepted, then claimed at the end of the wait. Redis tells ms.
    let ms = |nanos: u64| nanos / 1_000_000;
    assert!(ms(submit.begun) <= ms(wait.begun) + 2, "{submit:?} {wait:?}");
    assert!(wait.begun <= wait.ended && wait.ended <= attempt.begun, "{wait:?} {attempt:?}");
    assert!(run.ended - run.begun >= 200_000_000, "the steps take 0.2 s: {run:?}");

    let names: Vec<&str> = run.events.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.starts_with(&["accepted"]) && names.contains(&"started"), "{names:?}");
    assert!(names.iter().filter(|name| **name == "node").count() >= 2, "{names:?}");
    assert_eq!(run.says("shuzhiren.prompt"), prompt(&id, 1));
    assert_eq!((upload.says("shuzhiren.files"), upload.says("shuzhiren.files.known")), ("1", "0"));
    assert_eq!(collect.says("shuzhiren.outputs"), "1");
    assert_eq!((attempt.says("shuzhiren.outcome"), attempt.says("shuzhiren.settled")), ("completed", "done"));
    assert_eq!(attempt.says("shuzhiren.instance"), stack.sims[0].addr().to_string());
    assert_eq!((attempt.says("shuzhiren.attempt"), attempt.says("shuzhiren.takeover")), ("1", ""));
    assert_eq!(submit.links, ["0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"]);
    assert!([&submit, &wait, &attempt, &run].iter().all(|span| !span.is_error), "{attempt:?}");
    for (span, role) in [(&submit, "api"), (&wait, "dispatcher"), (&run, "dispatcher")] {
        assert_eq!(span.of("service.name"), format!("shuzhiren-{role}"));
        assert_eq!(span.of("service.version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(span.of("deployment.environment"), "test");
    }

    failed_retried_and_cancelled_tasks_tell_it(&stack, &collector).await;

    assert!(!collector.got("lighthouse"), "no text of a user leaves");
    assert!(collector.heads().iter().all(|head| head == "a secret"), "the collector knows us by its headers");
    assert!(!stack.log().contains("a secret") && !stack.log().contains("a%20secret"), "{}", stack.log());
}

async fn failed_retried_and_cancelled_tasks_tell_it(stack: &Stack, collector: &Collector) {
    let mut failing = workflow::steps(4, 0.1);
    failing["2"]["inputs"]["fail_at"] = json!(2);
    let id = stack.client.submit(json!({"workflow": failing})).await;
    assert_eq!(stack.client.wait_ended(&id).await["status"], "failed");
    stack.client.call(reqwest::Method::POST, &format!("/api/tasks/{id}/retry"), None).await;
    stack.client.wait_for(&id, &["failed"]).await;
    let spans = collector.trace(&id, &["wait", "attempt", "run", "retry", "wait", "attempt", "run"]).await;
    for failed in spans.iter().filter(|span| matches!(span.name.as_str(), "attempt" | "run")) {
        assert!(failed.is_error && failed.says("error.type") == "node_error", "{failed:?}");
    }
    let attempts: Vec<&Seen> = spans.iter().filter(|span| span.name == "attempt").collect();
    assert_eq!(attempts.iter().map(|span| span.says("shuzhiren.attempt")).collect::<Vec<_>>(), ["1", "2"]);
    // The second wait is that of the second life, not from the beginning.
    let second = &spans[spans.iter().rposition(|span| span.name == "wait").unwrap()];
    assert!(second.begun >= attempts[0].ended, "{second:?} after {:?}", attempts[0]);

    let id = stack.client.submit(json!({"workflow": workflow::steps(300, 30.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.client.delete(&format!("/api/tasks/{id}")).await;
    let spans = collector.trace(&id, &["submit", "wait", "attempt", "run", "cancel"]).await;
    assert_eq!(spans[2].says("shuzhiren.outcome"), "cancelled");
}

#[tokio::test]
async fn an_attempt_that_is_handed_over_is_told_by_both() {
    let collector = Collector::start().await;
    let mut stack = traced(&collector).await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(20, 2.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    stack.add_dispatcher();
    assert_eq!(stack.dispatchers[0].terminate(Duration::from_secs(4)).await, Some(0));
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed", "{}", stack.log());
    let spans = collector.trace(&id, &["submit", "wait", "attempt", "run", "attempt", "run", "collect"]).await;
    let attempts: Vec<&Seen> = spans.iter().filter(|span| span.name == "attempt").collect();
    let said = |key| attempts.iter().map(|span| span.says(key)).collect::<Vec<_>>();
    assert_eq!(said("shuzhiren.attempt"), ["1", "1"], "a takeover uses no attempt");
    assert_eq!(said("shuzhiren.outcome"), ["handed_over", "completed"]);
    assert_eq!(said("shuzhiren.takeover"), ["", "true"]);
    assert_ne!(said("shuzhiren.dispatcher")[0], said("shuzhiren.dispatcher")[1]);
}

/// A collector that answers 500, then one that accepts and never answers.
#[tokio::test]
async fn a_collector_that_is_broken_or_silent_delays_nothing_and_its_loss_is_counted() {
    let collector = Collector::start().await;
    collector.set(Mood::Broken);
    let mut stack = traced(&collector).await;
    let quick = async |seed: u64| {
        let begun = Instant::now();
        let id = stack.client.submit(json!({"workflow": workflow::quick(seed)})).await;
        assert_eq!(stack.client.wait_ended(&id).await["status"], "completed", "{}", stack.log());
        // The exporter waits ten seconds for an answer.
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
    collector.set(Mood::Silent);
    let before = collector.heads().len();
    quick(2).await;
    collector.asked(before + 2).await;
    quick(3).await;
    let begun = Instant::now();
    assert_eq!(stack.dispatchers[0].terminate(Duration::from_secs(6)).await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(4), "the last spans are not waited for: {:?}", begun.elapsed());
}

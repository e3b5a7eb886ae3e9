//! The client against the stand-in in both modes, with and without faults.

use super::{TIMEOUT, client_of};
use crate::support::eventually;
use futures_util::TryStreamExt;
use serde_json::{json, value::RawValue};
use shuzhiren::{
    comfy::{
        Client, Error, NodeOutput, PromptEvent, PromptOutcome, PromptResult, PromptStatus, RemoteFile, Socket,
        Submitted,
    },
    sim::{self, LogEvent, Mode, Sim, SimOptions, Times},
    task::FailureKind,
};
use std::time::{Duration, Instant};
use uuid::Uuid;

const MODES: [Mode; 2] = [Mode::V03, Mode::V038];

async fn stand_in(mode: Mode) -> (Sim, Client) {
    let sim = sim::start(SimOptions { mode, ..SimOptions::default() }).await.unwrap();
    let client = client_of(sim.addr(), TIMEOUT);
    assert_eq!(client.probe(TIMEOUT).await.unwrap().has_jobs, mode == Mode::V038);
    (sim, client)
}

/// Returns a graph that saves a picture after `seconds`.
fn picture(seconds: f64) -> Box<RawValue> {
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 7}},
        "2": {"class_type": "TestSteps", "inputs": {"steps": 20, "seconds": seconds, "image": ["1", 0], "preview": false}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": Uuid::new_v4().to_string()}},
    });
    RawValue::from_string(graph.to_string()).unwrap()
}

async fn submit(client: &Client, seconds: f64) -> Uuid {
    let prompt = Uuid::new_v4();
    let submitted = client.submit(prompt, &picture(seconds), "c").await.unwrap();
    assert!(matches!(submitted, Submitted::Accepted), "{submitted:?}");
    prompt
}

async fn ended(client: &Client, prompt: Uuid) -> PromptResult {
    eventually("an ending", TIMEOUT, || async {
        match client.status(prompt).await.unwrap() {
            PromptStatus::Ended(ending) => Some(*ending),
            PromptStatus::Pending | PromptStatus::Running => None,
            PromptStatus::Unknown => panic!("the prompt is unknown"),
        }
    })
    .await
}

async fn until(client: &Client, prompt: Uuid, wanted: fn(&PromptStatus) -> bool) {
    eventually("the prompt has the wanted status", TIMEOUT, || async {
        wanted(&client.status(prompt).await.unwrap()).then_some(())
    })
    .await;
}

fn file(ending: &PromptResult) -> &RemoteFile {
    match &ending.outputs[..] {
        [NodeOutput::File { file, .. }] => file,
        other => panic!("{other:?}"),
    }
}

async fn next(socket: &mut Socket) -> Option<PromptEvent> {
    tokio::time::timeout(TIMEOUT, socket.next()).await.expect("no event in time")
}

#[tokio::test]
async fn a_prompt_has_a_status_from_submit_to_delete() {
    for mode in MODES {
        let (_sim, client) = stand_in(mode).await;
        let (first, second) = (submit(&client, 0.5).await, submit(&client, 0.1).await);
        until(&client, first, |sighting| matches!(sighting, PromptStatus::Running)).await;
        assert!(matches!(client.status(second).await.unwrap(), PromptStatus::Pending));
        assert_eq!(client.queue_remaining(TIMEOUT).await.unwrap(), 2);
        let ending = ended(&client, second).await;
        assert!(matches!(ending.outcome, PromptOutcome::Success));
        let download = client.view(file(&ending)).await.unwrap();
        let size_bytes = download.size_bytes.unwrap();
        let got = download.bytes.try_fold(0, |sum, chunk| async move { Ok(sum + chunk.len() as u64) }).await.unwrap();
        assert_eq!(got, size_bytes);
        client.delete_history(second).await.unwrap();
        assert!(matches!(client.status(second).await.unwrap(), PromptStatus::Unknown));
    }
}

#[tokio::test]
async fn the_status_is_never_unknown_between_submit_and_delete() {
    for mode in MODES {
        let (_sim, client) = stand_in(mode).await;
        let mut polls = 0;
        for _ in 0..40 {
            let prompt = submit(&client, 0.002).await;
            loop {
                polls += 1;
                match client.status(prompt).await.unwrap() {
                    PromptStatus::Ended(_) => break,
                    PromptStatus::Pending | PromptStatus::Running => {}
                    PromptStatus::Unknown => panic!("{mode:?}: unknown at poll {polls}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn cancel_affects_only_its_prompt() {
    for mode in MODES {
        let (sim, client) = stand_in(mode).await;
        let (first, second, third) =
            (submit(&client, 5.0).await, submit(&client, 5.0).await, submit(&client, 0.1).await);
        until(&client, first, |sighting| matches!(sighting, PromptStatus::Running)).await;
        client.cancel(second).await.unwrap();
        until(&client, second, |sighting| matches!(sighting, PromptStatus::Unknown)).await;
        assert!(matches!(client.status(first).await.unwrap(), PromptStatus::Running));
        eventually("it lets go", TIMEOUT, || async {
            client.cancel(first).await.unwrap();
            matches!(client.status(first).await.unwrap(), PromptStatus::Ended(_)).then_some(())
        })
        .await;
        assert!(matches!(ended(&client, first).await.outcome, PromptOutcome::Interrupted), "{mode:?}");
        assert!(matches!(ended(&client, third).await.outcome, PromptOutcome::Success));
        let is_global = |entry: &sim::LogEntry| entry.event == LogEvent::InterruptAsked && entry.prompt_id.is_empty();
        assert!(!sim.log().iter().any(is_global));
    }
}

#[tokio::test]
async fn a_partly_accepted_prompt_runs_and_names_what_is_left_out() {
    for mode in MODES {
        let (sim, client) = stand_in(mode).await;
        sim.set(|faults| faults.prompt_partial = Times::Next(1));
        let prompt = Uuid::new_v4();
        let Submitted::AcceptedInPart(ignored) = client.submit(prompt, &picture(0.0), "c").await.unwrap() else {
            panic!("the prompt was not accepted in part")
        };
        assert!(ignored.len() == 1 && ignored[0].message.contains("made up"), "{ignored:?}");
        assert!(!matches!(client.status(prompt).await.unwrap(), PromptStatus::Unknown));
    }
}

#[tokio::test]
async fn a_refusal_names_the_node() {
    for mode in MODES {
        let (_sim, client) = stand_in(mode).await;
        let graph = RawValue::from_string(r#"{"7":{"class_type":"NoSuchNode","inputs":{}}}"#.to_owned()).unwrap();
        let Submitted::Invalid(failure) = client.submit(Uuid::new_v4(), &graph, "c").await.unwrap() else {
            panic!("the prompt was accepted")
        };
        assert_eq!(failure.node_id.as_deref(), Some("7"), "{mode:?}: {failure:?}");
        assert!(failure.message.contains("NoSuchNode"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_prompt_whose_answer_was_lost_can_be_found() {
    let (sim, client) = stand_in(Mode::V03).await;
    for queued in [true, false] {
        sim.set(|faults| {
            let fault = if queued { &mut faults.prompt_drop_queued } else { &mut faults.prompt_drop };
            *fault = Times::Next(1);
        });
        let prompt = Uuid::new_v4();
        let submitted = client.submit(prompt, &picture(0.01), "c").await;
        assert!(matches!(submitted, Err(Error::Unreachable(_))), "{submitted:?}");
        assert_eq!(!matches!(client.status(prompt).await.unwrap(), PromptStatus::Unknown), queued);
        let submits = sim.log().iter().filter(|entry| entry.event == LogEvent::Submitted).count();
        assert_eq!(submits, 1, "the prompt must be queued once");
    }
    sim.set(|faults| faults.prompt_500_queued = Times::Next(1));
    let prompt = Uuid::new_v4();
    assert!(matches!(client.submit(prompt, &picture(0.01), "c").await, Err(Error::Broken(_))));
    assert!(matches!(ended(&client, prompt).await.outcome, PromptOutcome::Success));
}

#[tokio::test]
async fn the_result_is_awaited_after_the_end_event() {
    for mode in MODES {
        let (sim, client) = stand_in(mode).await;
        sim.set(|faults| faults.history_late_ms = 300);
        let mut socket = client.connect("c", TIMEOUT).await.unwrap();
        let prompt = submit(&client, 0.01).await;
        while next(&mut socket).await.expect("open") != PromptEvent::Ended(prompt) {}
        let PromptStatus::Ended(ending) = client.result(prompt).await.unwrap() else { panic!("not found") };
        assert!(matches!(ending.outcome, PromptOutcome::Success));
    }
}

#[tokio::test]
async fn waiting_for_a_missing_result_is_limited() {
    let (_sim, client) = stand_in(Mode::V03).await;
    let started = Instant::now();
    assert!(matches!(client.result(Uuid::new_v4()).await.unwrap(), PromptStatus::Unknown));
    assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&started.elapsed()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn failure_kinds_are_distinguished() {
    for mode in MODES {
        let (sim, client) = stand_in(mode).await;
        for (oom, kind) in [(false, FailureKind::NodeError), (true, FailureKind::OutOfMemory)] {
            sim.set(|faults| {
                let fault = if oom { &mut faults.execution_oom } else { &mut faults.execution_error };
                *fault = Times::Next(1);
            });
            let prompt = submit(&client, 0.01).await;
            let PromptOutcome::Failed(failure) = ended(&client, prompt).await.outcome else { panic!("no failure") };
            assert_eq!(failure.kind, kind, "{failure:?}");
            assert!(failure.node_id.is_some() && failure.exception_type.is_some(), "{failure:?}");
        }
        sim.set(|faults| faults.execution_blocked = Times::Next(1));
        let mut socket = client.connect("c", TIMEOUT).await.unwrap();
        let prompt = submit(&client, 0.01).await;
        while next(&mut socket).await.expect("open") != PromptEvent::Ended(prompt) {}
        let PromptStatus::Ended(ending) = client.result(prompt).await.unwrap() else { panic!("not ended") };
        assert!(matches!(ending.outcome, PromptOutcome::Success));
    }
}

#[tokio::test]
async fn a_missing_or_truncated_file_is_an_error() {
    let (sim, client) = stand_in(Mode::V03).await;
    let prompt = submit(&client, 0.0).await;
    let ending = ended(&client, prompt).await;
    sim.set(|faults| faults.view_truncate = Times::Next(1));
    let cut = match client.view(file(&ending)).await {
        Ok(download) => download.bytes.try_for_each(|_| async { Ok(()) }).await,
        Err(error) => Err(error),
    };
    assert!(matches!(cut, Err(Error::Unreachable(_))), "{cut:?}");
    sim.set(|faults| faults.view_500 = Times::Next(1));
    assert!(matches!(client.view(file(&ending)).await, Err(Error::Broken(_))));
    assert!(client.view(file(&ending)).await.is_ok());
    sim.delete_outputs(None);
    assert!(matches!(client.view(file(&ending)).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn malformed_and_big_frames_do_not_close_a_socket() {
    let (sim, client) = stand_in(Mode::V03).await;
    sim.set(|faults| (faults.ws_garbage, faults.ws_big) = (Times::Next(3), Times::Next(3)));
    let mut socket = client.connect("c", TIMEOUT).await.unwrap();
    let prompt = submit(&client, 0.05).await;
    while next(&mut socket).await.expect("open") != PromptEvent::Ended(prompt) {}
}

#[tokio::test]
async fn a_dropped_socket_ends_and_the_next_one_gets_events() {
    let (sim, client) = stand_in(Mode::V03).await;
    let mut socket = client.connect("c", TIMEOUT).await.unwrap();
    sim.drop_sockets();
    while next(&mut socket).await.is_some() {}
    socket.close().await;
    let mut socket = client.connect("c", TIMEOUT).await.unwrap();
    let prompt = submit(&client, 0.01).await;
    while next(&mut socket).await.expect("open") != PromptEvent::Ended(prompt) {}
    // After a full close, the older socket cannot remove the newer one with the same client id (protocol §5).
    socket.close().await;
    let mut socket = client.connect("c", TIMEOUT).await.unwrap();
    let prompt = submit(&client, 0.01).await;
    while next(&mut socket).await.expect("open") != PromptEvent::Ended(prompt) {}
    sim.set(|faults| faults.ws_refuse = Times::Next(1));
    assert!(matches!(client.connect("d", TIMEOUT).await, Err(Error::Broken(_))));
}

#[tokio::test]
async fn a_restart_loses_prompts_and_a_dead_instance_is_unreachable() {
    let (sim, client) = stand_in(Mode::V03).await;
    let prompt = submit(&client, 5.0).await;
    let mut socket = client.connect("c", TIMEOUT).await.unwrap();
    sim.kill().await;
    while next(&mut socket).await.is_some() {}
    assert!(matches!(client.status(prompt).await, Err(Error::Unreachable(_))));
    sim.restart().await.unwrap();
    assert!(matches!(client.status(prompt).await.unwrap(), PromptStatus::Unknown));
    sim.set(|faults| faults.upload_500 = Times::Next(1));
    let bytes = || Box::pin(futures_util::stream::iter([Ok(bytes::Bytes::from("x"))]));
    assert!(matches!(client.upload("", "x.png", 1, bytes()).await, Err(Error::Broken(_))));
    assert_eq!(client.upload("t", "x.png", 1, bytes()).await.unwrap(), "t/x.png");
}

/// The older version has no jobs API: the client falls back to queue and history.
#[tokio::test]
async fn an_instance_can_be_downgraded() {
    let (old, old_client) = stand_in(Mode::V03).await;
    let prompt = submit(&old_client, 0.0).await;
    let (new, client) = stand_in(Mode::V038).await;
    let addr = new.addr();
    new.stop().await;
    old.stop().await;
    let old = sim::start(SimOptions { listen: addr, ..SimOptions::default() }).await.unwrap();
    assert!(matches!(client.status(prompt).await.unwrap(), PromptStatus::Unknown));
    let prompt = submit(&client, 5.0).await;
    eventually("it lets go", TIMEOUT, || async {
        client.cancel(prompt).await.unwrap();
        matches!(client.status(prompt).await.unwrap(), PromptStatus::Ended(_) | PromptStatus::Unknown).then_some(())
    })
    .await;
    drop(old);
}

/// Bug report 19: the refusal names ComfyUI's option and its present value.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_instances_limit_names_its_option() {
    let sim = sim::start(SimOptions { upload_bytes_max: 4_096, ..SimOptions::default() }).await.unwrap();
    let client = client_of(sim.addr(), TIMEOUT);
    let refused = |error: Error| {
        let Error::Refused(why) = error else { panic!("{error}") };
        assert!(why.contains("--max-upload-size") && why.contains("its limit is 4096 bytes"), "{why}");
    };
    // The larger one breaks off while it is sent.
    for size in [5_000_usize, 8 << 20] {
        let chunks = (0..size).step_by(1_000).map(move |at| Ok(bytes::Bytes::from(vec![7; (size - at).min(1_000)])));
        let bytes = Box::pin(futures_util::stream::iter(chunks));
        refused(client.upload("", "x.png", size as u64, bytes).await.unwrap_err());
    }
    let graph = json!({"1": {"class_type": "PreviewAny", "inputs": {"source": "x".repeat(5_000)}}});
    let graph = RawValue::from_string(graph.to_string()).unwrap();
    refused(client.submit(Uuid::new_v4(), &graph, "c").await.unwrap_err());
}

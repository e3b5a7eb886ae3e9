//! Failing, refused and cancelled prompts.

use super::{WAIT_MAX, bytes_of, fresh, instances, run, workflow};
use crate::support::eventually;
use shuzhiren::{
    comfy::{Client, Error, PromptOutcome, PromptStatus, RemoteFile, Submitted},
    task::FailureKind,
};
use std::time::{Duration, Instant};
use uuid::Uuid;

#[tokio::test]
async fn a_failed_node_is_named_and_other_outputs_are_kept() {
    for client in instances() {
        let run = run(&client, &fresh("steps_fail")).await;
        let failure = run.failure();
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (FailureKind::NodeError, "TestSteps: told to fail at step 2")
        );
        assert_eq!((failure.node_id.as_deref(), failure.node_type.as_deref()), (Some("2"), Some("TestSteps")));
        assert_eq!(failure.exception_type.as_deref(), Some("RuntimeError"));
        assert!(!failure.traceback.is_empty() && failure.traceback.iter().all(|line| !line.contains("\"/")));
        assert_eq!(run.files().len(), 1, "node 4 had ended");
        assert!(!bytes_of(&client, run.files()[0]).await.is_empty());
    }
}

#[tokio::test]
async fn out_of_memory_is_distinguished() {
    for client in instances() {
        let run = run(&client, &fresh("steps_oom")).await;
        assert_eq!(run.failure().kind, FailureKind::OutOfMemory);
        client.free_memory().await.unwrap();
    }
}

/// Workflow, failed node, word of the message.
const BAD: [(&str, Option<&str>, &str); 15] = [
    ("bad_class", Some("1"), "NoSuchNode"),
    ("bad_combo", Some("2"), "'magic' not in"),
    ("bad_combo_long", Some("1"), "Value not in list"),
    ("bad_custom_validation", Some("1"), "Invalid image file"),
    ("bad_cycle", None, "circle"),
    ("bad_link_dangling", Some("2"), "'99'"),
    ("bad_link_shape", Some("2"), "length-2 list"),
    ("bad_link_slot", Some("2"), "out of range"),
    ("bad_link_type", Some("2"), "mismatch"),
    ("bad_min_max", Some("1"), "smaller than min"),
    ("bad_missing_class_type", Some("1"), "class_type"),
    ("bad_missing_input", Some("1"), "color"),
    ("bad_missing_inputs_key", Some("1"), "inputs"),
    ("bad_no_outputs", None, "no outputs"),
    ("bad_type", Some("1"), "INT"),
];

#[tokio::test]
async fn an_invalid_workflow_is_refused_with_a_readable_message() {
    for client in instances() {
        for (name, node_id, word) in BAD {
            let prompt = Uuid::new_v4();
            let Submitted::Invalid(failure) = client.submit(prompt, &workflow(name), "test-bad").await.unwrap() else {
                panic!("{name} was accepted")
            };
            assert_eq!(failure.kind, FailureKind::InvalidWorkflow, "{name}");
            assert_eq!(failure.node_id.as_deref(), node_id, "{name}: {}", failure.message);
            assert!(failure.message.contains(word), "{name}: {}", failure.message);
            assert!(!failure.message.contains("execution.py") && failure.traceback.is_empty(), "{name}: {failure:?}");
            assert!(matches!(client.status(prompt).await.unwrap(), PromptStatus::Unknown), "{name}");
            eprintln!("{name}: {}", failure.message);
        }
        let seed = client.submit(Uuid::new_v4(), &workflow("bad_seed_too_big"), "test-bad").await.unwrap();
        assert!(matches!(seed, Submitted::Invalid(_)));
    }
}

#[tokio::test]
async fn a_partly_accepted_workflow_runs_its_valid_outputs() {
    for client in instances() {
        let prompt = Uuid::new_v4();
        let Submitted::AcceptedInPart(ignored) =
            client.submit(prompt, &workflow("partly_bad"), "test-partly").await.unwrap()
        else {
            panic!("the prompt was not accepted in part")
        };
        assert_eq!(ignored[0].node_id.as_deref(), Some("3"));
        gone(&client, prompt).await;
    }
}

/// Cancels until the prompt is gone from the instance.
async fn gone(client: &Client, prompt: Uuid) -> PromptStatus {
    let started = Instant::now();
    loop {
        client.cancel(prompt).await.unwrap();
        match client.status(prompt).await.unwrap() {
            PromptStatus::Pending | PromptStatus::Running => {}
            gone => {
                client.delete_history(prompt).await.unwrap();
                return gone;
            }
        }
        assert!(started.elapsed() < Duration::from_secs(10), "the prompt was not cancelled");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

async fn until(client: &Client, prompt: Uuid, wanted: impl Fn(&PromptStatus) -> bool) {
    eventually("the prompt is where it should be", WAIT_MAX, || async {
        wanted(&client.status(prompt).await.unwrap()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_running_and_a_pending_prompt_can_be_cancelled() {
    for client in instances() {
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        client.submit(first, &fresh("steps_slow"), "test-cancel").await.unwrap();
        client.submit(second, &fresh("steps_slow"), "test-cancel").await.unwrap();
        until(&client, first, |sighting| matches!(sighting, PromptStatus::Running)).await;
        assert!(matches!(client.status(second).await.unwrap(), PromptStatus::Pending));
        let queue = client.queue().await.unwrap();
        assert!(queue.running.contains(&first.to_string()) && queue.pending.contains(&second.to_string()));
        let pending = gone(&client, second).await;
        assert!(matches!(pending, PromptStatus::Unknown), "{pending:?}");
        assert!(
            matches!(client.status(first).await.unwrap(), PromptStatus::Running),
            "the other prompt was interrupted"
        );
        let running = gone(&client, first).await;
        assert!(
            matches!(&running, PromptStatus::Ended(result) if matches!(result.outcome, PromptOutcome::Interrupted)),
            "{running:?}"
        );
    }
}

#[tokio::test]
async fn a_missing_or_hostile_file_name_is_only_an_error() {
    for client in instances() {
        let file = |filename: &str, subfolder: &str, folder_type: &str| RemoteFile {
            filename: filename.to_owned(),
            subfolder: subfolder.to_owned(),
            folder_type: folder_type.to_owned(),
        };
        assert!(matches!(client.view(&file("none.png", "", "output")).await, Err(Error::NotFound)));
        for hostile in [
            file("../x.png", "", "output"),
            file("/etc/passwd", "", "output"),
            file("a&type=input\r\nX: y #%00?", "", "temp"),
            file("x.png", "../..", "output"),
            file("x.png", "", "nowhere"),
        ] {
            assert!(client.view(&hostile).await.is_err(), "{hostile:?}");
        }
    }
}

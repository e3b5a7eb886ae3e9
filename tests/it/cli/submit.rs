//! `submit`: workflow, params and results.

use super::{Shell, Stack};
use crate::support::stack::workflow;
use serde_json::{Value, json};

#[tokio::test]
async fn a_submit_prints_the_id_and_nothing_else() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let file = shell.workflow(&workflow::quick(1));
    let args = ["submit", &file, "--priority", "high", "--timeout", "10m", "--start-by", "1h", "--max-attempts", "2"];
    let id = shell.ok(&[&args[..], &["--metadata", r#"{"who":"主"}"#]].concat()).await;
    let task = stack.client.wait_ended(id.trim_end()).await;
    assert_eq!((&task["status"], &task["priority"]), (&json!("completed"), &json!("high")), "{task}");
    assert_eq!((&task["timeoutMs"], &task["maxAttempts"]), (&json!(600_000), &json!(2)));
    assert_eq!(task["metadata"]["who"], "主");
    assert!(task["startBy"].is_string());

    let ran = shell.with_input(&["submit", "-", "--json"], &workflow::quick(2).to_string()).await;
    let task = ran.json();
    assert_eq!((&task["status"], &task["maxAttempts"]), (&json!("pending"), &json!(3)));
}

#[tokio::test]
async fn numbers_reach_the_task_as_they_were_typed() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    // Not through a tree: it would read 1e-7 and write it another way.
    let graph =
        workflow::steps(1, 0.0).to_string().replace(r#""filename_prefix""#, r#""x":1e-7,"y":20.00,"filename_prefix""#);
    let file = shell.write("exact.json", &graph);
    let id = shell.ok(&["submit", &file, "-p", "2.seed=18446744073709551615", "-p", "3.filename_prefix=a=b"]).await;
    let kept = shell.ok(&["show", "--workflow", id.trim_end()]).await;
    for exact in ["1e-7", "20.00", "18446744073709551615", "\"a=b\""] {
        assert!(kept.contains(exact), "{exact}: {kept}");
    }
}

#[tokio::test]
async fn a_watched_task_leaves_its_files_and_overwrites_none() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let file = shell.workflow(&workflow::quick(7));
    let ran = shell.run(&["submit", &file, "--out", "results"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let id = ran.out.lines().next().unwrap();
    let task = stack.client.task(id).await;
    let stored = stack.client.download(task["result"]["files"][0].as_str().unwrap()).await;
    let name = task["result"]["outputs"][0]["filename"].as_str().unwrap();
    let path = shell.folder().join("results").join(name);
    assert_eq!(std::fs::read(&path).unwrap(), stored);
    assert!(ran.out.contains("completed") && ran.out.contains(&format!("saved results/{name}")), "{ran:?}");
    assert!(ran.err.lines().all(|line| !line.contains('\x1b')), "no bars where no terminal is: {ran:?}");

    // Another file of the same name stays; the same bytes are not saved twice.
    std::fs::write(&path, "mine").unwrap();
    let ran = shell.run(&["download", id, "--out", "results", "--json"]).await;
    let saved = &ran.lines()[0]["data"];
    assert!(saved["path"].as_str().unwrap().ends_with("-1.png"), "{ran:?}");
    assert_eq!(saved["sha256"], task["result"]["outputs"][0]["sha256"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let ran = shell.run(&["download", id, "--out", "results", "--json"]).await;
    assert_eq!(ran.lines()[0]["data"]["wasThere"], true, "{ran:?}");
    shell.ok(&["download", id, "--out", "results", "--overwrite"]).await;
    assert_eq!(std::fs::read(&path).unwrap(), stored);
    let kept: Vec<_> = std::fs::read_dir(shell.folder().join("results")).unwrap().collect();
    assert_eq!(kept.len(), 2, "no half-written file stays: {kept:?}");
}

#[tokio::test]
async fn a_file_is_uploaded_for_a_param() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let made = shell.workflow(&workflow::quick(9));
    shell.ok(&["submit", &made, "--out", "in"]).await;
    let picture = std::fs::read_dir(shell.folder().join("in")).unwrap().next().unwrap().unwrap().path();
    let graph = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}}
    });
    let file = shell.workflow(&graph);
    let param = format!("1.image=@{}", picture.display());
    let ran = shell.run(&["submit", &file, "-p", &param, "--watch", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = ran.lines();
    assert!(lines.iter().all(|line| line["type"].is_string() && line["data"].is_object()), "{ran:?}");
    assert_eq!(lines[0]["data"]["status"], "pending");
    assert_eq!(lines.last().unwrap()["data"]["status"], "completed");

    let uploads = async || stack.client.get("/api/files?kind=upload").await["total"].as_u64().unwrap();
    assert_eq!(uploads().await, 1);
    // Uploads of a submit that creates no task are deleted.
    let ran = shell.run(&["submit", &file, "-p", &param, "--dry-run"]).await;
    assert!(ran.code == 0 && ran.out.contains("valid: 3 nodes"), "{ran:?}");
    let ran = shell.run(&["submit", &file, "-p", &param, "-p", "2.imag=1"]).await;
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(ran.err.contains("/params/2.imag") && ran.err.contains("did you mean: 2.image"), "{ran:?}");
    assert_eq!(uploads().await, 1);
    let ran = shell.run(&["submit", &file, "-p", &param, "--idempotency-key", "k"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[tokio::test]
async fn the_same_key_is_the_same_task() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    let file = shell.workflow(&workflow::quick(1));
    let first = shell.ok(&["submit", &file, "--idempotency-key", "k"]).await;
    assert_eq!(shell.ok(&["submit", &file, "--idempotency-key", "k"]).await, first);
    let ran = shell.run(&["submit", &file, "--idempotency-key", "k", "--priority", "low"]).await;
    assert_eq!(ran.code, 6, "{ran:?}");
    assert_ne!(shell.ok(&["submit", &file]).await, shell.ok(&["submit", &file]).await);
}

#[tokio::test]
async fn a_failed_task_is_code_1_and_invalid_arguments_are_code_2() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let mut failing = workflow::steps(4, 0.2);
    failing["2"]["inputs"]["fail_at"] = json!(2);
    let file = shell.workflow(&failing);
    let ran = shell.run(&["submit", &file, "--watch"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("failed: node_error in node 2 (TestSteps)"), "{ran:?}");
    assert!(ran.err.contains("shuzhiren explain"), "{ran:?}");
    let ran = shell.run(&["submit", &file, "--watch", "--json"]).await;
    let last = ran.lines().pop().unwrap();
    assert_eq!((ran.code, &last["data"]["error"]["nodeId"]), (1, &Value::from("2")), "{ran:?}");

    let broken = shell.write("broken.json", "{");
    for args in [
        &["submit", "absent.json"][..],
        &["submit", &broken],
        &["submit", &file, "-p", "x"],
        &["submit", &file, "-p", "a=1", "-p", "a=2"],
        &["submit", &file, "-p", "a=@absent.png"],
        &["submit", &file, "--metadata", "{"],
        &["submit", &file, "--timeout", "10"],
        &["submit"],
    ] {
        assert_eq!(shell.run(args).await.code, 2, "{args:?}");
    }
}

//! A reader of standard output that stops early causes no panic, no error and exit code 0.

use super::{Ran, Shell, Stack, ended};
use crate::support::stack::workflow;
use serde_json::json;
use tokio::process::Command;

async fn piped(shell: &Shell, line: &str) -> Ran {
    let mut command = Command::new("bash");
    shell.prepare(&mut command);
    command.env("S", env!("CARGO_BIN_EXE_shuzhiren"));
    ended(command.args(["-c", &format!("{line}; echo \"codes ${{PIPESTATUS[*]}}\" >&2")]).spawn().unwrap()).await
}

#[tokio::test]
async fn a_pipe_that_closes_ends_the_command_politely() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    // More than a pipe holds: the writer is still at it when the reader has gone.
    for seed in 0..200 {
        stack.client.submit(json!({"workflow": workflow::quick(seed), "metadata": {"x": "y".repeat(2_000)}})).await;
    }
    for command in ["tasks -n 200 --json", "tasks -n 200", "completions bash", "--help"] {
        let ran = piped(&shell, &format!("$S {command} | head -1")).await;
        assert_eq!(ran.err, "codes 0 0\n", "{command}: {ran:?}");
        assert_eq!(ran.out.lines().count(), 1, "{command}");
    }
    // Without a reader from the start.
    let ran = piped(&shell, "$S tasks -n 200 | true").await;
    assert_eq!(ran.err, "codes 0 0\n", "{ran:?}");
}

#[tokio::test]
async fn an_output_that_cannot_be_written_is_no_panic() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
    for (line, code) in [
        ("$S tasks 2>/dev/full", 0),
        ("$S tasks 2>&-", 0),
        ("$S --log trace tasks 2>/dev/full", 0),
        ("$S --log trace tasks 2> >(true)", 0),
        ("$S tasks no-such-argument 2>/dev/full >/dev/full", 2),
        ("$S tasks >/dev/full", 7),
        ("$S tasks --json >/dev/full", 7),
        ("$S --help >/dev/full", 7),
        ("$S doctor >/dev/full", 1),
    ] {
        let ran = piped(&shell, line).await;
        assert!(ran.err.ends_with(&format!("codes {code}\n")) && !ran.err.contains("panicked"), "{line}: {ran:?}");
    }
}

#[tokio::test]
async fn results_are_saved_after_the_reader_has_gone() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    shell.workflow(&workflow::steps(5, 0.5));
    let ran = piped(&shell, "$S submit workflow.json --out results 2>/dev/null | head -1").await;
    assert_eq!(ran.err, "codes 0 0\n", "{ran:?}");
    assert_eq!(std::fs::read_dir(shell.folder().join("results")).unwrap().count(), 1);
}

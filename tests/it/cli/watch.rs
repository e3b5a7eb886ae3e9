//! `watch`: tasks are followed until they end, through restarts and lost connections.

use super::{Shell, Stack, interrupt, lines_of, next_line, rest};
use crate::support::{
    stable_port,
    stack::{WAIT_MAX, free_port, workflow},
};
use serde_json::{Value, json};
use std::process::Stdio;

/// A line of JSON.
async fn next(lines: &mut tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>>) -> Value {
    serde_json::from_str(&next_line(lines).await).unwrap()
}

#[tokio::test]
async fn a_watch_survives_a_restart_of_the_server() {
    let stack = Stack::start(1, 1).await;
    let port = stable_port();
    let mut api = stack.add_api_at(port);
    let here = crate::support::stack::ApiClient::new(port).await;
    let shell = Shell::logged_in_at(&here.base).await;
    let file = shell.workflow(&workflow::steps(30, 3.0));
    let mut child = shell.command(&["submit", &file, "--json", "--out", "results"]).spawn().unwrap();
    let mut lines = lines_of(&mut child);
    let id = next(&mut lines).await["data"]["id"].as_str().unwrap().to_owned();
    while next(&mut lines).await["data"]["status"] != "running" {}
    api.kill();
    // It runs and ends while there is no server to report it.
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed");
    let _api = stack.add_api_at(port);
    let ran = rest(child, lines).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<Value> = ran.lines();
    let saved = lines.last().unwrap();
    assert_eq!(
        (saved["type"].as_str(), saved["data"]["taskId"].as_str()),
        (Some("saved"), Some(id.as_str())),
        "{ran:?}"
    );
    assert_eq!(lines.iter().filter(|line| line["data"]["status"] == "completed").count(), 1, "once: {ran:?}");
    assert_eq!(stack.executions(&id), 1);
}

#[tokio::test]
async fn a_server_that_stays_away_ends_the_watch_but_not_the_task() {
    let stack = Stack::start(1, 1).await;
    let mut api = stack.add_api_at(stable_port());
    let here = crate::support::stack::ApiClient::new(api.port).await;
    let shell = Shell::logged_in_at(&here.base).await;
    let id = here.submit(json!({"workflow": workflow::steps(40, 4.0)})).await;
    let mut child = shell.command(&["watch", &id, "--json", "--wait-for-server", "1s"]).spawn().unwrap();
    let mut lines = lines_of(&mut child);
    next(&mut lines).await;
    api.kill();
    let ran = rest(child, lines).await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.err.contains(&format!("shuzhiren watch {id}")), "{ran:?}");
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed");
}

#[tokio::test]
async fn without_a_websocket_the_watch_polls() {
    let stack = Stack::start(1, 1).await;
    // A front that has no `/ws` answers 404 there.
    let (port, storage) = (free_port(), format!("file://{}", stack.files().display()));
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("REDIS_URL", stack.redis.url()),
        ("SHUZHIREN_STORAGE_URL", storage),
        ("SHUZHIREN_ADMIN_PASSWORD", super::PASSWORD.to_owned()),
        ("SHUZHIREN_JWT_SECRET", "another key of tests only, thirty-two bytes".to_owned()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let args = ["api", "--no-ws", "--listen", &format!("127.0.0.1:{port}")];
    let _api = crate::support::stack::Role::spawn(&args, port, &variables, &folder.path().join("api.log"));
    let here = crate::support::stack::ApiClient::new(port).await;
    let shell = Shell::logged_in_at(&here.base).await;
    let file = shell.workflow(&workflow::steps(10, 1.5));
    let ran = shell.run(&["submit", &file, "--watch"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("no live updates"), "{ran:?}");
}

#[tokio::test]
async fn ctrl_c_leaves_the_task_and_says_how_to_watch_it_again() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let file = shell.workflow(&workflow::steps(30, 3.0));
    let mut child = shell.command(&["submit", &file, "--watch", "--json"]).spawn().unwrap();
    let mut lines = lines_of(&mut child);
    let id = next(&mut lines).await["data"]["id"].as_str().unwrap().to_owned();
    while next(&mut lines).await["data"]["status"] != "running" {}
    interrupt(&child);
    let ran = rest(child, lines).await;
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(ran.err.contains(&format!("the task continues; watch again: shuzhiren watch {id}")), "{ran:?}");
    let ran = shell.run(&["watch", &id]).await;
    assert!(ran.code == 0 && ran.out.contains("completed"), "{ran:?}");

    let mut child = shell
        .command(&["submit", &file, "-p", "2.seed=9", "--watch", "--json", "--cancel-on-interrupt"])
        .spawn()
        .unwrap();
    let mut lines = lines_of(&mut child);
    let id = next(&mut lines).await["data"]["id"].as_str().unwrap().to_owned();
    while next(&mut lines).await["data"]["status"] != "running" {}
    interrupt(&child);
    assert_eq!(rest(child, lines).await.code, 130);
    assert_eq!(stack.client.task(&id).await["status"], "cancelled");
}

#[tokio::test]
async fn several_tasks_are_watched_at_once_and_unknown_ones_are_code_4() {
    let stack = Stack::start(2, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let mut ids = Vec::new();
    for seed in 0..5 {
        ids.push(stack.client.submit(json!({"workflow": workflow::quick(seed)})).await);
    }
    let args: Vec<&str> = std::iter::once("watch").chain(ids.iter().map(String::as_str)).collect();
    let ran = shell.run(&args).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for id in &ids {
        assert_eq!(ran.out.matches(&format!("{id} completed")).count(), 1, "{ran:?}");
    }
    for unknown in ["01a20ad8-50a6-74e5-b6f1-083609404e43", "nonsense", "../config"] {
        for command in ["watch", "show", "explain", "cancel", "retry"] {
            assert_eq!(shell.run(&[command, unknown]).await.code, 4, "{command} {unknown}");
        }
    }
}

#[tokio::test]
async fn everything_is_watched_over_a_restart_and_no_ending_is_missed() {
    let stack = Stack::start(2, 1).await;
    let mut api = stack.add_api_at(stable_port());
    let port = api.port;
    let here = crate::support::stack::ApiClient::new(port).await;
    let shell = Shell::logged_in_at(&here.base).await;
    let mut child = shell.command(&["watch", "--json"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = lines_of(&mut child);
    assert_eq!(next(&mut lines).await["type"], "global_status");
    let known = stack.client.submit(json!({"workflow": workflow::steps(20, 2.0)})).await;
    let running = json!("running");
    while next(&mut lines).await["data"]["status"] != running {}
    api.kill();
    let born = stack.client.submit(json!({"workflow": workflow::quick(3)})).await;
    for id in [&known, &born] {
        stack.client.wait_ended(id).await;
    }
    let _api = stack.add_api_at(port);
    let later = async {
        crate::support::stack::ApiClient::new(port).await;
        stack.client.submit(json!({"workflow": workflow::quick(4)})).await
    };
    let later = later.await;
    let mut ended = Vec::new();
    while ended.len() < 3 {
        let line = next(&mut lines).await;
        if line["data"]["status"] == "completed" {
            let id = line["data"]["taskId"].as_str().unwrap().to_owned();
            assert!(!ended.contains(&id), "reported once");
            ended.push(id);
        }
    }
    assert!([&known, &born, &later].iter().all(|id| ended.contains(id)), "{ended:?}");
    interrupt(&child);
    assert_eq!(tokio::time::timeout(WAIT_MAX, rest(child, lines)).await.unwrap().code, 130);
}

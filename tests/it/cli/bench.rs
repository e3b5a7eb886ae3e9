//! `bench`: every task runs, the figures are consistent, and other machines need a confirmation.

use super::{Shell, Stack};

#[tokio::test]
async fn a_bench_runs_every_task_and_prints_percentiles() {
    let stack = Stack::start(2, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let ran = shell.run(&["bench", "-n", "20", "-c", "4", "--json"]).await.json();
    assert_eq!((&ran["tasks"], &ran["completed"]), (&20.into(), &20.into()), "{ran}");
    let figure = |name: &str, which: &str| ran[name][which].as_f64().unwrap();
    assert!(figure("wholeMs", "p50") > 0.0 && figure("wholeMs", "p50") <= figure("wholeMs", "max"), "{ran}");
    assert!(figure("submitMs", "p50") < figure("wholeMs", "p50"), "{ran}");
    assert_eq!(stack.client.get("/api/monitor/overview").await["completedTasks"], 20);
    let said = shell.ok(&["bench", "-n", "2", "-c", "2"]).await;
    assert!(said.contains("p99") && said.contains("completed   2,"), "{said}");

    let failing = shell
        .write("bad.json", r#"{"1":{"class_type":"Raises","inputs":{"message":"too small","etype":"ValueError"}}}"#);
    let ran = shell.run(&["bench", "-n", "2", "--workflow", &failing]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[tokio::test]
async fn a_bench_of_another_machine_needs_a_confirmation() {
    let shell = Shell::new("http://192.0.2.1:3000");
    let ran = shell.run(&["bench", "--token", "x"]).await;
    assert_eq!((ran.code, ran.err.contains("--yes")), (2, true), "{ran:?}");
}

/// The simulator of schedules needs no system.
#[tokio::test]
async fn schedules_are_simulated_over_a_trace() {
    let shell = Shell::new("http://192.0.2.1:3000");
    let mut text = "arrival_s,user,model,loras,images,steps,exec_s\n".to_owned();
    for task in 0..200 {
        text.push_str(&format!("{},u{},m{},0,1,30,{}\n", task * 9, task % 7, task % 5, 10 + task % 20));
    }
    let trace = shell.write("trace.csv", &text);
    let bench = ["bench", "schedule", "--trace", &trace, "--load", "20.5", "--instances", "4"];
    let ran = shell.run(&bench).await;
    assert_eq!((ran.code, ran.err.contains("at most 10")), (2, true), "{ran:?}");
    let bench = ["bench", "schedule", "--trace", &trace, "--load", "8", "--instances", "4"];
    let ran = shell.run(&[&bench[..], &["--load-time", "12.5s", "--json"]].concat()).await.json();
    assert_eq!((&ran["tasks"], &ran["loadTimeS"]), (&200.into(), &12.5.into()), "{ran}");
    let figure = |policy: &str, name: &str| ran["policies"][policy][name].as_f64().unwrap();
    for policy in ["fifo", "round-robin", "least-queue"] {
        assert!(figure("warm", "loadsPer100Tasks") < figure(policy, "loadsPer100Tasks"), "{ran}");
        assert!(figure("warm", "waitMeanS") < figure(policy, "waitMeanS"), "{ran}");
    }
    let said = shell.ok(&[&bench[..], &["--policy", "fifo", "--days", "1"]].concat()).await;
    assert!(said.contains("200 tasks, days 1-1; 4 instances") && said.contains("fifo"), "{said}");
    let ran = shell.run(&[&bench[..], &["--days", "2-3"]].concat()).await;
    assert_eq!((ran.code, ran.err.contains("the trace has the days 1 to 1")), (2, true), "{ran:?}");
}

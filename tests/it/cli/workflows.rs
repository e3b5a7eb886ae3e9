//! `workflows`, `submit --workflow`, `submit --count --sweep`, `batches`: two systems for all of it.

use super::{Shell, Stack, interrupt, lines_of, next_line, rest};
use crate::support::stack::workflow;
use serde_json::{Value, json};

/// Steps with their number, their colour and their name to choose.
fn params() -> Value {
    json!({
        "steps": {"target": "2.steps", "type": "integer", "min": 1, "max": 300, "default": 2, "description": "how many"},
        "seconds": {"target": "2.seconds", "type": "number", "default": 1e-7},
        "color": {"target": "1.color", "type": "integer"},
        "name": {"target": "3.filename_prefix", "type": "enum", "enum": ["a", "b"], "default": "a"}
    })
}

#[tokio::test]
async fn a_workflow_is_published_read_run_and_deleted() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let graph = workflow::steps(2, 0.0).to_string().replace(r#""color":3368601"#, r#""color":7,"x":20.00"#);
    let (file, names) = (shell.write("graph.json", &graph), shell.write("params.json", &params().to_string()));
    let said = shell.ok(&["workflows", "set", "steps", &file, "--params", &names, "--description", "两步"]).await;
    assert_eq!(said, "steps@1 is published\n");

    // The graph alone, changed: params and description stay, and the difference is shown.
    let changed = graph.replace("20.00", "20.50");
    let ran = shell.with_input(&["workflows", "set", "steps", "-"], &changed).await;
    assert!(ran.code == 0 && ran.out.ends_with("steps@2 is published\n"), "{ran:?}");
    assert!(ran.out.contains("\"x\": 20.00") && ran.out.contains("\"x\": 20.50"), "{ran:?}");
    assert!(!ran.out.contains("description"), "what stays is not shown: {ran:?}");
    // What `get --json` prints is taken back; it names the version that it is, and so it guards.
    let whole = shell.write("whole.json", &shell.ok(&["workflows", "get", "steps", "--json"]).await);
    assert_eq!(shell.ok(&["workflows", "set", "steps", &whole]).await, "steps@2 is unchanged\n");
    let ran = shell.run(&["workflows", "set", "steps", &file, "--if-version", "1"]).await;
    assert_eq!((ran.code, ran.err.contains("read it again")), (6, true), "{ran:?}");

    // Under another name it is no next version but a first one; a guard that was typed still counts.
    assert_eq!(shell.ok(&["workflows", "set", "copy", &whole]).await, "copy@1 is published\n");
    let ran = shell.run(&["workflows", "set", "none", &whole, "--if-version", "2"]).await;
    let why = "workflow `none` does not exist: leave --if-version out";
    assert_eq!((ran.code, ran.err.contains(why)), (6, true), "{ran:?}");
    let mine = shell.write("mine.json", &format!("{{\"workflow\":{graph},\"version\":2}}"));
    let ran = shell.run(&["workflows", "set", "none", &mine]).await;
    let why = "workflow `none` does not exist: leave `version` out of the file";
    assert_eq!((ran.code, ran.err.contains(why)), (6, true), "{ran:?}");

    let shown = shell.ok(&["workflows", "show", "steps@1"]).await;
    assert!(shown.contains("version     1, latest is 2; kept: 1, 2") && shown.contains("两步"), "{shown}");
    let row = shown.lines().find(|line| line.starts_with("steps ")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>().join(" "), "steps integer 2 1 to 300 2.steps how many");
    let without_ages = |text: String| (1..60).fold(text, |text, age| text.replace(&format!(" {age} s "), " 0 s "));
    let listed = without_ages(shell.ok(&["workflows"]).await);
    assert_eq!(without_ages(shell.ok(&["workflows", "list", "-n", "5"]).await), listed);
    assert!(listed.starts_with("NAME ") && listed.contains("steps, seconds, color, name"), "{listed}");
    let kept = shell.ok(&["workflows", "get", "steps@1"]).await;
    assert!(kept.contains("\n    \"inputs\": {") && kept.contains("\"x\": 20.00\n"), "{kept}");
    let same: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(same, serde_json::from_str::<Value>(&graph).unwrap());
    shell.ok(&["workflows", "get", "steps", "-o", "kept.json"]).await;
    assert_eq!(shell.run(&["workflows", "get", "steps", "-o", "kept.json"]).await.code, 7, "a file that exists stays");

    // A run of it; a file of the same name is not in the way.
    shell.write("steps", "no graph");
    let ran = shell.run(&["submit", "--workflow", "steps@1", "-p", "name=b", "-p", "steps=3", "--out", "out"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let task = stack.client.task(ran.out.lines().next().unwrap()).await;
    assert_eq!((&task["workflowName"], &task["workflowVersion"]), (&json!("steps"), &json!(1)));
    let saved = |output: &Value| shell.folder().join("out").join(output["filename"].as_str().unwrap()).exists();
    assert!(
        saved(&task["result"]["outputs"][0]) && task["result"]["outputs"][0]["originalName"] == "b_00001_.png",
        "{ran:?}"
    );
    assert!(shell.ok(&["tasks", "--workflow", "steps"]).await.contains("1 file"));
    for (args, code, why) in [
        (&["submit", "--workflow", "step"][..], 4, "did you mean steps?"),
        (&["submit", "--workflow", "steps", "-p", "steps=301"], 6, "its params: shuzhiren workflows show steps"),
        (&["submit", "--workflow", "steps", &file], 2, "cannot be used with"),
        (&["submit", "portrait"], 2, "shuzhiren submit --workflow portrait"),
        (&["workflows", "show", "step"], 4, "step: "),
        (&["workflows", "delete", "steps@1"], 2, "use `steps` alone"),
    ] {
        let ran = shell.run(args).await;
        assert_eq!((ran.code, ran.err.contains(why)), (code, true), "{args:?}: {ran:?}");
    }

    // An argument with an extension is taken for a file, not for a name.
    let ran = shell.run(&["submit", "portrait.json"]).await;
    assert_eq!((ran.code, ran.err.contains("--workflow")), (2, false), "{ran:?}");

    // One that does not exist does not keep the others.
    let ran = shell.run(&["workflows", "delete", "none", "steps", "copy"]).await;
    let gone = "steps deleted; last version 2\ncopy deleted; last version 1\n";
    assert_eq!((ran.code, ran.out.as_str()), (4, gone), "{ran:?}");
    assert_eq!(stack.client.get("/api/workflows").await["total"], 0);
}

#[tokio::test]
async fn a_batch_is_submitted_watched_fetched_and_cancelled() {
    let stack = Stack::start(2, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let file = shell.workflow(&workflow::steps(2, 0.1));
    let six = ["submit", &file, "--sweep", "1.color=255,65280", "--sweep", "2.steps=1,2,3"];

    let said = shell.ok(&[&six[..], &["--dry-run"]].concat()).await;
    assert!(said.starts_with("valid: a batch of 6 tasks, 3 nodes each"), "{said}");
    assert_eq!(stack.client.get("/api/tasks").await["total"], 0);
    let ran = shell.run(&[&six[..], &["--idempotency-key", "k", "--out", "out"]].concat()).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let batch = ran.out.lines().next().unwrap();
    let again = shell.ok(&[&six[..], &["--idempotency-key", "k"]].concat()).await;
    assert_eq!(again.trim_end(), batch, "the same key is the same batch");
    assert_eq!(ran.out.matches(" completed in ").count(), 6, "{ran:?}");
    assert!(ran.err.lines().last().unwrap().starts_with("100 %: 6 of 6 done"), "{ran:?}");
    let mut saved: Vec<String> = std::fs::read_dir(shell.folder().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    saved.sort();
    assert_eq!(saved.len(), 6, "{saved:?}");
    for (index, name) in saved.iter().enumerate() {
        assert!(name.starts_with(&format!("{index:03}-steps_")) && name.ends_with("_00001.png"), "{saved:?}");
    }
    // The values of the last list change fastest, in the order typed.
    let page = stack.client.get(&format!("/api/tasks?batchId={batch}")).await;
    for task in page["items"].as_array().unwrap() {
        let index = task["batchIndex"].as_u64().unwrap();
        let graph = stack.client.get(&format!("/api/tasks/{}/workflow", task["id"].as_str().unwrap())).await;
        let (color, steps) = (&graph["1"]["inputs"]["color"], &graph["2"]["inputs"]["steps"]);
        assert_eq!((color, steps), (&json!([255, 65_280][index as usize / 3]), &json!(index % 3 + 1)));
    }
    let shown = shell.ok(&["batches", "show", batch]).await;
    assert!(shown.contains("6: 6 completed\n") && shown.contains("100 %"), "{shown}");
    assert_eq!(shell.ok(&["tasks", "--batch", batch]).await.lines().count(), 7);
    // Watched again, or fetched by its id, it gives the same files under the same names: none is kept twice.
    for command in ["watch", "download"] {
        let ran = shell.run(&[command, batch, "--out", "out", "--json"]).await;
        assert_eq!(ran.lines().iter().filter(|line| line["data"]["wasThere"] == true).count(), 6, "{ran:?}");
    }

    // One task fails, and the results of the others are saved.
    let mut failing = workflow::steps(2, 0.1);
    failing["2"]["inputs"]["fail_at"] = json!(0);
    let failing = shell.write("failing.json", &failing.to_string());
    let ran = shell.run(&["submit", &failing, "--sweep", "2.fail_at=1,0", "--out", "half"]).await;
    assert_eq!((ran.code, ran.err.contains("shuzhiren explain")), (1, true), "{ran:?}");
    assert!(ran.err.contains("1 failed"), "{ran:?}");
    let half: Vec<_> =
        std::fs::read_dir(shell.folder().join("half")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(half.len() == 1 && half[0].to_str().unwrap().starts_with("001-steps_"), "{half:?}");

    // Cancelled while it runs, which ends the watch.
    let long = shell.write("long.json", &workflow::steps(300, 30.0).to_string());
    let mut child = shell.command(&["submit", &long, "-n", "5", "--watch", "--json"]).spawn().unwrap();
    let mut lines = lines_of(&mut child);
    let first: Value = serde_json::from_str(&next_line(&mut lines).await).unwrap();
    assert_eq!((&first["type"], &first["data"]["count"]), (&json!("batch"), &json!(5)));
    let batch = first["data"]["batchId"].as_str().unwrap();
    while !next_line(&mut lines).await.contains("\"running\"") {}
    let said = shell.ok(&["batches", "cancel", batch]).await;
    assert_eq!(said, format!("{batch} cancelled: 5 tasks\n"));
    let ran = rest(child, lines).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains(&format!("5 of 5 tasks did not complete: shuzhiren tasks --batch {batch}")), "{ran:?}");
    assert!(shell.ok(&["batches", "cancel", batch]).await.contains("nothing to cancel"));

    // Ctrl-C cancels the batch if asked to.
    let args = ["submit", &long, "-n", "3", "--watch", "--json", "--cancel-on-interrupt"];
    let mut child = shell.command(&args).spawn().unwrap();
    let mut lines = lines_of(&mut child);
    let first: Value = serde_json::from_str(&next_line(&mut lines).await).unwrap();
    while !next_line(&mut lines).await.contains("\"running\"") {}
    interrupt(&child);
    let ran = rest(child, lines).await;
    assert_eq!((ran.code, ran.err.contains("the tasks were cancelled")), (130, true), "{ran:?}");
    let taken = stack.client.get(&format!("/api/batches/{}", first["data"]["batchId"].as_str().unwrap())).await;
    assert_eq!(taken["counts"]["cancelled"], 3, "{taken}");

    let task =
        stack.client.get(&format!("/api/tasks?batchId={batch}")).await["items"][0]["id"].as_str().unwrap().to_owned();
    for (args, code, why) in [
        (&["batches", "show", &task][..], 4, batch),
        (&["batches", "list"], 2, "shuzhiren tasks -n 200 --json"),
        (&["batches", "cancel", "01a20ad8-50a6-74e5-b6f1-08360940ffff"], 4, "batch"),
        (&["cancel", "01a20ad8-50a6-74e5-b6f1-08360940ffff"], 4, "shuzhiren batches show"),
        (&["submit", &file, "--sweep", "2.steps=1", "-p", "2.steps=1"], 6, "/sweep/2.steps"),
    ] {
        let ran = shell.run(args).await;
        assert_eq!((ran.code, ran.err.contains(why)), (code, true), "{args:?}: {ran:?}");
    }
}

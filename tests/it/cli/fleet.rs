//! `instances`, `enable`, `disable`, `config`, `top --once`.

use super::{Ran, Shell, Stack, ended};
use serde_json::json;

#[tokio::test]
async fn instances_are_listed_and_switched() {
    let stack = Stack::start(2, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let listed = shell.run(&["instances", "--json"]).await.json();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let table = shell.ok(&["instances"]).await;
    assert!(table.starts_with("INSTANCE") && table.contains(&id) && table.contains("主服务器"), "{table}");

    assert_eq!(shell.ok(&["disable", &id]).await, format!("{id} disabled\n"));
    assert_eq!(stack.client.get(&format!("/api/instances/{id}")).await["enabled"], false);
    assert!(shell.ok(&["instances", &id]).await.contains(", disabled"));
    assert_eq!(shell.run(&["enable", &id, "--json"]).await.json()["enabled"], true);
    for unknown in ["10.0.0.1:1", "../tasks"] {
        for command in ["enable", "disable", "instances"] {
            assert_eq!(shell.run(&[command, unknown]).await.code, 4, "{command} {unknown}");
        }
    }
}

#[tokio::test]
async fn a_config_is_read_and_set_with_its_difference() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    let config = shell.ok(&["config", "get"]).await;
    assert_eq!(shell.run(&["config", "get", "--json"]).await.json()["version"], 1);
    let changed = shell.write("fleet.json", &config.replace("\"interval\": 200", "\"interval\": 300"));
    let said = shell.ok(&["config", "set", &changed]).await;
    assert!(said.contains("-     \"interval\": 200,") && said.contains("+     \"interval\": 300,"), "{said}");
    assert!(said.contains("version 2 is active"), "{said}");

    // The file names version 1, which is no longer current.
    let ran = shell.run(&["config", "set", &changed]).await;
    assert_eq!(ran.code, 6, "{ran:?}");
    let ran = shell.with_input(&["config", "set", "-", "--json"], r#"{"healthCheck":{"timeout":2000}}"#).await;
    assert_eq!(ran.json()["healthCheck"], json!({"interval": 300, "timeout": 2000, "failuresToDown": 2}));
    let ran = shell.with_input(&["config", "set", "-"], r#"{"healthCheck":{"timeout":1,"interval":1}}"#).await;
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(ran.err.contains("/healthCheck/timeout") && ran.err.contains("/healthCheck/interval"), "{ran:?}");
    assert_eq!(shell.with_input(&["config", "set", "-"], "{").await.code, 2);
    assert_eq!(shell.run(&["config", "set", "absent.json"]).await.code, 2);
}

async fn edited(shell: &Shell, editor: &str) -> Ran {
    ended(shell.command(&["config", "edit"]).env("EDITOR", editor).spawn().unwrap()).await
}

#[tokio::test]
async fn a_config_is_edited_and_no_work_is_lost() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    let ran = edited(&shell, "true").await;
    assert_eq!((ran.code, ran.err.contains("no changes")), (0, true), "{ran:?}");
    let ran = edited(&shell, r#"sed -i 's/"failuresToDown": 2/"failuresToDown": 5/'"#).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("+     \"failuresToDown\": 5"), "{ran:?}");
    assert_eq!(stack.client.get("/api/config").await["healthCheck"]["failuresToDown"], 5);

    for (editor, why) in [
        (r#"sed -i 's/"failuresToDown": 5/"failuresToDown": 0/'"#, "/healthCheck/failuresToDown"),
        (r#"sed -i 's/{//'"#, "not JSON"),
        // Another client changes it meanwhile, and the text no longer names a version: the version that was read is the
        // guard.
        (
            "f() { $S config set other.json --token $TOKEN >&2; tr -d '\\n' < $1 > new; \
             sed 's/200/250/; s/, *\"version\": *[0-9]*//' new > $1; }; f",
            "read it again",
        ),
    ] {
        shell.write("other.json", r#"{"healthCheck":{"timeout":1500}}"#);
        let command = shell
            .command(&["config", "edit"])
            .env("EDITOR", editor)
            .env("TOKEN", &stack.client.token)
            .env("S", env!("CARGO_BIN_EXE_shuzhiren"))
            .spawn();
        let ran = ended(command.unwrap()).await;
        assert_eq!(ran.code, 6, "{ran:?}");
        assert!(ran.err.contains(why), "{why}: {ran:?}");
        let kept = ran.err.split("your changes are saved in ").nth(1).unwrap().lines().next().unwrap();
        assert!(std::fs::read_to_string(kept).unwrap().contains("servers"), "{ran:?}");
        std::fs::remove_file(kept).unwrap();
    }
    assert_eq!(edited(&shell, "false").await.code, 7);
    let config = stack.client.get("/api/config").await;
    assert_eq!(
        (&config["healthCheck"]["failuresToDown"], &config["healthCheck"]["timeout"]),
        (&json!(5), &json!(1500))
    );
}

#[tokio::test]
async fn top_without_a_terminal_prints_the_state_once() {
    let stack = Stack::start(2, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let id = stack.client.submit(json!({"workflow": crate::support::stack::workflow::steps(100, 10.0)})).await;
    stack.client.wait_for(&id, &["running"]).await;
    let picture = shell.ok(&["top"]).await;
    assert!(picture.contains("instances 2 of 2 alive, 1 busy") && picture.contains("1 running"), "{picture}");
    assert!(picture.contains(&id) && !picture.contains(['\x1b', '…']), "whole, without colours: {picture}");
    let json = shell.run(&["top", "--json"]).await.json();
    assert_eq!((json["instances"].as_array().unwrap().len(), &json["running"][0]["id"]), (2, &id.as_str().into()));
}

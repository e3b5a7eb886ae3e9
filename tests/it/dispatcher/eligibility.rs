//! Instances with different models: a task runs only where all it needs is installed, according to real dispatchers.

use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX},
};
use reqwest::Method;
use serde_json::{Value, json};

pub(super) const MODEL: &str = "only-here.safetensors";

pub(super) fn picture(model: &str, seed: u64) -> Value {
    json!({
        "3": {"class_type": "KSampler", "inputs": {"seed": seed, "steps": 2, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal",
            "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": model}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["8", 0]}}
    })
}

pub(super) async fn dry_run(stack: &Stack, body: &Value) -> (u16, Value) {
    let (status, envelope) = stack.client.call(Method::POST, "/api/tasks?dryRun=true", Some(body.clone())).await;
    (status.as_u16(), envelope)
}

/// Waits until the catalogs of all instances have reached the API.
pub(super) async fn wait_known(stack: &Stack) {
    let unknown = json!({"workflow": {"1": {"class_type": "NoSuchNode", "inputs": {}}}});
    eventually("every instance is known", WAIT_MAX, || async {
        let (status, envelope) = dry_run(stack, &unknown).await;
        (status == 422 && envelope["error"]["details"][0]["code"] == "class_unknown").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_model_that_one_instance_has_sends_every_task_there() {
    let stack = Stack::start_with_models(&[&[], &[MODEL], &[]], 1).await;
    wait_known(&stack).await;
    let has_it = format!("127.0.0.1:{}", stack.sims[1].addr().port());
    let body = json!({"workflow": picture("v1-5-pruned-emaonly.safetensors", 1), "params": {"4.ckpt_name": MODEL, "3.steps": "3"}});
    let (status, shown) = dry_run(&stack, &body).await;
    assert_eq!((status, &shown["data"]["eligibleInstances"]), (200, &json!([has_it])), "{shown}");
    let mut ids = Vec::new();
    for seed in 0..6 {
        ids.push(stack.client.submit(json!({"workflow": picture(MODEL, seed)})).await);
    }
    let free = stack.client.submit(json!({"workflow": picture("v1-5-pruned-emaonly.safetensors", 9)})).await;
    for id in ids {
        let task = stack.client.wait_ended(&id).await;
        assert_eq!((task["status"].as_str(), &task["instanceId"]), (Some("completed"), &json!(has_it)), "{task}");
        assert_eq!((&task["attempt"], stack.executions(&id)), (&json!(1), 1));
    }
    let task = stack.client.wait_ended(&free).await;
    assert_eq!((task["status"].as_str(), task.get("eligibleInstances")), (Some("completed"), None));
}

/// The instance returns with other models; its new socket makes the dispatcher read the catalog again.
#[tokio::test]
async fn the_catalog_is_read_again_when_an_instance_restarts() {
    let mut stack = Stack::start_with_models(&[&[]], 1).await;
    wait_known(&stack).await;
    let body = json!({"workflow": picture("v1-5-pruned-emaonly.safetensors", 1), "params": {"4.ckpt_name": MODEL}});
    let (status, refused) = dry_run(&stack, &body).await;
    assert_eq!((status, &refused["error"]["details"][0]["code"]), (422, &json!("param_not_an_option")), "{refused}");
    let address = stack.sims[0].addr();
    stack.sims.remove(0).stop().await;
    let options = shuzhiren::sim::SimOptions { listen: address, models: vec![MODEL.to_owned()], ..Default::default() };
    stack.sims.push(shuzhiren::sim::start(options).await.unwrap());
    eventually("the new model is known", WAIT_MAX, || async { (dry_run(&stack, &body).await.0 == 200).then_some(()) })
        .await;
}

/// Puts a config with stand-ins on these ports.
async fn set_ports(stack: &Stack, ports: &[u16]) {
    let servers = json!([{"id": "server-1", "name": "s", "ip": "127.0.0.1", "ports": ports}]);
    stack.client.put("/api/config", json!({"servers": servers})).await;
}

fn ports(stack: &Stack) -> Vec<u16> {
    stack.sims.iter().map(|sim| sim.addr().port()).collect()
}

/// The only instance with the model is disabled. The task starts once another one with the model is added, and never
/// runs on the one without.
#[tokio::test]
async fn a_waiting_task_runs_on_an_instance_that_is_added_later() {
    let mut stack = Stack::start_with_models(&[&[MODEL], &[]], 1).await;
    wait_known(&stack).await;
    let first = format!("127.0.0.1:{}", ports(&stack)[0]);
    stack.client.put(&format!("/api/instances/{first}"), json!({"enabled": false})).await;
    let id = stack.client.submit(json!({"workflow": picture(MODEL, 1)})).await;
    let task = stack.client.task(&id).await;
    assert_eq!((&task["status"], &task["eligibleInstances"]), (&json!("pending"), &json!([first])), "{task}");
    // No instance of the fleet can run the task: `waitingFor` names the missing model.
    set_ports(&stack, &ports(&stack)[1..]).await;
    let words = stack.client.task(&id).await["waitingFor"].as_str().unwrap().to_owned();
    let named = format!(r#"an instance that has 4.ckpt_name "{MODEL}": only {first} had all"#);
    assert!(words.starts_with(&named), "{words}");
    let options = shuzhiren::sim::SimOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        models: vec![MODEL.to_owned()],
        ..Default::default()
    };
    stack.sims.push(shuzhiren::sim::start(options).await.unwrap());
    set_ports(&stack, &ports(&stack)).await;
    let ended = stack.client.wait_ended(&id).await;
    let third = format!("127.0.0.1:{}", ports(&stack)[2]);
    assert_eq!((&ended["status"], &ended["instanceId"]), (&json!("completed"), &json!(third)), "{ended}");
    assert_eq!((&ended["eligibleInstances"], stack.executions(&id)), (&json!([first, third]), 1));
    stack.wait_idle().await;
}

/// The instance restarts with the model that it lacked when the task was accepted.
#[tokio::test]
async fn a_waiting_task_runs_on_an_instance_that_gets_the_model_later() {
    let mut stack = Stack::start_with_models(&[&[MODEL], &[]], 1).await;
    wait_known(&stack).await;
    let first = format!("127.0.0.1:{}", ports(&stack)[0]);
    stack.client.put(&format!("/api/instances/{first}"), json!({"enabled": false})).await;
    let id = stack.client.submit(json!({"workflow": picture(MODEL, 1)})).await;
    let address = stack.sims[1].addr();
    stack.sims.remove(1).stop().await;
    let options = shuzhiren::sim::SimOptions { listen: address, models: vec![MODEL.to_owned()], ..Default::default() };
    stack.sims.push(shuzhiren::sim::start(options).await.unwrap());
    let ended = stack.client.wait_ended(&id).await;
    assert_eq!((&ended["status"], &ended["instanceId"]), (&json!("completed"), &json!(address.to_string())), "{ended}");
}

/// Every instance could run the task when it was accepted. An instance added later cannot, and refuses it: the task
/// does not fail but waits for the others.
#[tokio::test]
async fn a_task_is_left_to_others_by_an_added_instance_without_the_model() {
    let mut stack = Stack::start_with_models(&[&[MODEL]], 1).await;
    wait_known(&stack).await;
    let first = format!("127.0.0.1:{}", ports(&stack)[0]);
    stack.client.put(&format!("/api/instances/{first}"), json!({"enabled": false})).await;
    let id = stack.client.submit(json!({"workflow": picture(MODEL, 1)})).await;
    assert!(stack.client.task(&id).await.get("eligibleInstances").is_none());
    let options = shuzhiren::sim::SimOptions { listen: ([127, 0, 0, 1], 0).into(), ..Default::default() };
    stack.sims.push(shuzhiren::sim::start(options).await.unwrap());
    set_ports(&stack, &ports(&stack)).await;
    let task = eventually("the added instance has left the task to the first", WAIT_MAX, || async {
        let task = stack.client.task(&id).await;
        assert_ne!(task["status"], "failed", "{task}");
        (task["eligibleInstances"] == json!([first])).then_some(task)
    })
    .await;
    let words = format!("an instance: the only one is disabled; only {first} has what it needs");
    assert!(task["waitingFor"].as_str().unwrap().starts_with(&words), "{task}");
    // A graph that no instance can run still fails.
    let bad = json!({"3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["4", 0]}},
                     "4": {"class_type": "LoadImage", "inputs": {"image": "missing.png"}}});
    let forced = json!({"4.image": {"$force": "missing.png"}});
    let failed = stack.client.submit(json!({"workflow": bad, "params": forced})).await;
    assert_eq!(stack.client.wait_ended(&failed).await["error"]["type"], "invalid_workflow");
    stack.client.put(&format!("/api/instances/{first}"), json!({"enabled": true})).await;
    let ended = stack.client.wait_ended(&id).await;
    assert_eq!((&ended["status"], &ended["instanceId"]), (&json!("completed"), &json!(first)), "{ended}");
    assert_eq!(stack.executions(&id), 1);
    stack.wait_idle().await;
}

/// The instance returns without the model and gets the task before its catalog is read again; another instance has the
/// model.
#[tokio::test]
async fn a_task_is_left_to_others_by_an_instance_that_lost_the_model() {
    let mut stack = Stack::start_with_models(&[&[MODEL], &[MODEL]], 1).await;
    wait_known(&stack).await;
    let address = stack.sims[0].addr();
    let other = format!("127.0.0.1:{}", ports(&stack)[1]);
    stack.client.put(&format!("/api/instances/{other}"), json!({"enabled": false})).await;
    stack.sims.remove(0).stop().await;
    let options = shuzhiren::sim::SimOptions { listen: address, ..Default::default() };
    stack.sims.push(shuzhiren::sim::start(options).await.unwrap());
    let id = stack.client.submit(json!({"workflow": picture(MODEL, 1)})).await;
    eventually("the task is left to the other instance", WAIT_MAX, || async {
        let task = stack.client.task(&id).await;
        assert_ne!(task["status"], "failed", "{task}");
        (task["eligibleInstances"] == json!([other])).then_some(())
    })
    .await;
    stack.client.put(&format!("/api/instances/{other}"), json!({"enabled": true})).await;
    let ended = stack.client.wait_ended(&id).await;
    assert_eq!((&ended["status"], &ended["instanceId"]), (&json!("completed"), &json!(other)), "{ended}");
}

/// The editor's format is converted and run. The next run, with another prompt and seed, has an estimate of its
/// duration.
#[tokio::test]
async fn a_workflow_of_the_editor_runs_and_its_duration_is_known_afterwards() {
    let stack = Stack::start(1, 1).await;
    wait_known(&stack).await;
    let editor = |text: &str, seed: u64| {
        json!({"workflow": {"links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]], "nodes": [
            {"id": 1, "type": "EmptyImage", "widgets_values": [64, 64, 1, seed]},
            {"id": 2, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 1}], "outputs": [{"type": "IMAGE"}]},
            {"id": 3, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 2}], "widgets_values": [text]},
            {"id": 4, "type": "Note", "widgets_values": ["a note"]}
        ]}})
    };
    let (_, shown) = dry_run(&stack, &editor("a", 7)).await;
    let shown = &shown["data"];
    assert_eq!((&shown["etaMs"], &shown["runMs"]), (&json!(0), &Value::Null), "{shown}");
    assert_eq!(shown["workflow"]["3"]["inputs"], json!({"filename_prefix": "a", "images": ["1", 0]}));
    let id = stack.client.submit(editor("a", 7)).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!((&task["status"], &task["warnings"][0]["code"]), (&json!("completed"), &json!("workflow_converted")));
    assert_eq!(task["result"]["files"].as_array().map(Vec::len), Some(1), "{task}");
    let original = stack.client.get(&format!("/api/tasks/{id}/workflow?form=original")).await;
    assert_eq!(original, editor("a", 7)["workflow"]);
    let resolved = stack.client.get(&format!("/api/tasks/{id}/workflow")).await;
    assert_eq!(resolved["1"]["class_type"], "EmptyImage");
    let (_, other) = dry_run(&stack, &editor("b", 7)).await;
    assert_eq!(other["data"]["workflowHash"], task["workflowHash"], "{other}");
    assert!(other["data"]["runMs"].is_u64() && other["data"]["runMs"].as_u64() <= task["runMs"].as_u64(), "{other}");
    let (_, another) = dry_run(&stack, &editor("b", 8)).await;
    assert_ne!(another["data"]["workflowHash"], task["workflowHash"]);
}

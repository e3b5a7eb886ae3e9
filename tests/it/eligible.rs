//! Instances that differ: a task goes to those that have what it needs, as real dispatchers have seen it.

use crate::support::{
    eventually,
    stack::{PATIENCE, Stack},
};
use reqwest::Method;
use serde_json::{Value, json};

const MODEL: &str = "only-here.safetensors";

fn picture(model: &str, seed: u64) -> Value {
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

async fn dry_run(stack: &Stack, body: &Value) -> (u16, Value) {
    let (status, envelope) = stack.client.call(Method::POST, "/api/tasks?dryRun=true", Some(body.clone())).await;
    (status.as_u16(), envelope)
}

/// Waits until every dispatcher's view has reached the api.
async fn wait_known(stack: &Stack) {
    let unknown = json!({"workflow": {"1": {"class_type": "NoSuchNode", "inputs": {}}}});
    eventually("every instance is known", PATIENCE, || async {
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

/// The instance comes back with other models: asked again, because its socket was new.
#[tokio::test]
async fn what_an_instance_can_run_is_asked_again_when_it_restarts() {
    let mut stack = Stack::start_with_models(&[&[]], 1).await;
    wait_known(&stack).await;
    let body = json!({"workflow": picture("v1-5-pruned-emaonly.safetensors", 1), "params": {"4.ckpt_name": MODEL}});
    let (status, refused) = dry_run(&stack, &body).await;
    assert_eq!((status, &refused["error"]["details"][0]["code"]), (422, &json!("param_not_an_option")), "{refused}");
    let address = stack.sims[0].addr();
    stack.sims.remove(0).stop().await;
    let options = shuzhiren::sim::SimOptions { listen: address, models: vec![MODEL.to_owned()], ..Default::default() };
    stack.sims.push(shuzhiren::sim::start(options).await.unwrap());
    eventually("the new model is known", PATIENCE, || async { (dry_run(&stack, &body).await.0 == 200).then_some(()) })
        .await;
}

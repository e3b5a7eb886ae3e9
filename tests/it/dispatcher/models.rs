//! Models that differ between machines, that come and go, and classes that an instance replaces itself.

use super::eligibility::{MODEL, dry_run, picture, wait_known};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX},
};
use serde_json::json;
use shuzhiren::sim::{self, Mode, SimOptions};

const STOCK: &str = "v1-5-pruned-emaonly.safetensors";

fn ids(stack: &Stack) -> Vec<String> {
    stack.sims.iter().map(|sim| sim.addr().to_string()).collect()
}

async fn enable(stack: &Stack, instance: &str, enabled: bool) {
    stack.client.put(&format!("/api/instances/{instance}"), json!({"enabled": enabled})).await;
}

/// Bug report 13.
#[tokio::test]
async fn a_model_in_a_folder_runs_on_both_machines_with_either_separator() {
    let stack = Stack::start_with_models(&[&["SDXL/base.safetensors"], &["SDXL\\base.safetensors"]], 1).await;
    wait_known(&stack).await;
    let instances = ids(&stack);
    for name in ["SDXL/base.safetensors", "SDXL\\base.safetensors"] {
        for body in [
            json!({"workflow": picture(name, 1)}),
            json!({"workflow": picture(STOCK, 1), "params": {"4.ckpt_name": name}}),
        ] {
            let (status, shown) = dry_run(&stack, &body).await;
            assert_eq!((status, &shown["data"]["eligibleInstances"]), (200, &json!(instances)), "{shown}");
        }
    }
    for (on, off) in [(0, 1), (1, 0)] {
        enable(&stack, &instances[off], false).await;
        enable(&stack, &instances[on], true).await;
        for name in ["SDXL/base.safetensors", "SDXL\\base.safetensors"] {
            let id = stack.client.submit(json!({"workflow": picture(name, 1), "params": {"3.seed": on}})).await;
            let task = stack.client.wait_ended(&id).await;
            assert_eq!(
                (&task["status"], &task["instanceId"], &task["attempt"]),
                (&json!("completed"), &json!(instances[on]), &json!(1)),
                "{task}"
            );
        }
    }
}

/// Bug report 16.
#[tokio::test]
async fn a_model_that_was_just_put_on_a_machine_is_found_by_the_first_submit() {
    let stack = Stack::start(2, 1).await;
    wait_known(&stack).await;
    stack.sims[1].set(|faults| faults.models_added = vec![MODEL.to_owned()]);
    let body = json!({"workflow": picture(STOCK, 1), "params": {"4.ckpt_name": MODEL}});
    // The wait for the catalogs above may have been the last read within ten seconds.
    let shown = eventually("the new model is found", WAIT_MAX, || async {
        let (status, shown) = dry_run(&stack, &body).await;
        (status == 200).then_some(shown)
    })
    .await;
    assert_eq!(shown["data"]["eligibleInstances"], json!([ids(&stack)[1]]), "{shown}");
    let reads: Vec<u64> = stack.sims.iter().map(|sim| sim.catalog_reads()).collect();
    let missing = json!({"workflow": picture("no-such.safetensors", 1)});
    let all = futures_util::future::join_all((0..100).map(|_| dry_run(&stack, &missing))).await;
    for (status, refused) in all {
        assert_eq!((status, &refused["error"]["details"][0]["code"]), (422, &json!("value_not_offered")), "{refused}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("the lists are") && message.contains("$force"), "{message}");
    }
    for (sim, before) in stack.sims.iter().zip(reads) {
        assert!(sim.catalog_reads() <= before + 1, "{} reads", sim.catalog_reads() - before);
    }
}

/// The lists were read a moment before the file went: the task runs where the model is, and loses no attempt.
#[tokio::test]
async fn a_model_that_has_just_gone_costs_no_task_its_life() {
    let stack = Stack::start_with_models(&[&[MODEL], &[MODEL]], 1).await;
    wait_known(&stack).await;
    let instances = ids(&stack);
    stack.sims[0].set(|faults| faults.models_removed = vec![MODEL.to_owned()]);
    enable(&stack, &instances[1], false).await;
    let mut tasks = Vec::new();
    for seed in 0..3 {
        tasks.push(stack.client.submit(json!({"workflow": picture(MODEL, 1), "params": {"3.seed": seed}})).await);
    }
    // Refused by the only instance that is enabled, the tasks wait for the other one and say so.
    let words = eventually("the task waits for the other instance", WAIT_MAX, || async {
        let task = stack.client.task(&tasks[0]).await;
        (task["eligibleInstances"] == json!([instances[1]])).then(|| task["waitingFor"].as_str().unwrap().to_owned())
    })
    .await;
    assert!(words.contains(&instances[1]), "{words}");
    enable(&stack, &instances[1], true).await;
    for id in tasks {
        let task = stack.client.wait_ended(&id).await;
        assert_eq!((&task["status"], &task["instanceId"]), (&json!("completed"), &json!(instances[1])), "{task}");
        let attempts = task["attempts"].as_array().unwrap();
        let (_, before) = attempts.split_last().unwrap();
        assert!(before.iter().all(|attempt| attempt["outcome"] == "released"), "none is used up: {task}");
    }
}

#[tokio::test]
async fn a_class_that_the_instance_replaces_itself_is_not_refused() {
    let mut stack = Stack::start(1, 1).await;
    let listen = stack.sims[0].addr();
    stack.sims.remove(0).stop().await;
    stack.sims.push(sim::start(SimOptions { listen, mode: Mode::V038, ..SimOptions::default() }).await.unwrap());
    let graph = json!({
        "1": {"class_type": "T2IAdapterLoader", "inputs": {"control_net_name": "control_v11p_sd15_canny.pth"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}
    });
    let body = json!({"workflow": graph});
    eventually("the replaced class is known", WAIT_MAX, || async {
        let (status, shown) = dry_run(&stack, &body).await;
        (status == 200 && shown["data"]["checked"] == true).then_some(())
    })
    .await;
    let id = stack.client.submit(body).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}");
}

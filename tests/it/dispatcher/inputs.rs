//! Input files: uploaded once per start of an instance, named by content. [17]

use super::{completes_once, http_proxy::Action, prompt, proxied, stack_with};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
    web::{PNG, Web},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shuzhiren::sim::{LogEvent, Sim};

/// Graph that loads the file and saves it inverted.
fn load(file: &Value) -> Value {
    let graph = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}}
    });
    json!({"workflow": graph, "params": {"1.image": {"$file": file["fileId"]}}})
}

/// Names of the files uploaded to the stand-in.
fn uploads(sim: &Sim) -> Vec<String> {
    sim.log().into_iter().filter(|entry| entry.event == LogEvent::Uploaded).map(|entry| entry.prompt_id).collect()
}

#[tokio::test]
async fn a_second_task_with_the_same_file_uploads_nothing_and_hits_the_cache() {
    let (stack, proxy) = proxied(&[]).await;
    let file = stack.client.upload("图 1.PNG", PNG.to_vec()).await;
    completes_once(&stack, load(&file)).await;
    let hash = format!("{:x}", Sha256::digest(PNG));
    let [name] = uploads(&stack.sims[0]).try_into().unwrap();
    assert!(name.ends_with(&format!("{hash}.png")), "{name}");
    // The same content under another id and name.
    let again = stack.client.upload("other.png", PNG.to_vec()).await;
    // The history entry is read before it is deleted.
    proxy.rule("POST /history", 1, Action::Hold);
    let id = stack.client.submit(load(&again)).await;
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed", "{}", stack.log());
    assert_eq!(uploads(&stack.sims[0]).len(), 1);
    let prompt = prompt(&id, 1);
    let history: Value = stack
        .client
        .http()
        .get(format!("{}/history/{prompt}", stack.sims[0].url()))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    proxy.release();
    let entry = &history[&prompt];
    assert_eq!(entry["prompt"][2]["1"]["inputs"]["image"], format!("fleet/{}/{hash}.png", &hash[..2]));
    let messages = entry["status"]["messages"].as_array().unwrap();
    let cached = messages.iter().find(|message| message[0] == "execution_cached").unwrap();
    let nodes = cached[1]["nodes"].as_array().unwrap();
    assert!(nodes.contains(&json!("1")) && nodes.contains(&json!("2")), "{cached}");
}

#[tokio::test]
async fn concurrent_tasks_upload_a_file_once() {
    let (stack, proxy) = proxied(&[("SHUZHIREN_SLOTS", "2")]).await;
    let file = stack.client.upload("a.png", PNG.to_vec()).await;
    proxy.rule("POST /upload/image", 1, Action::Hold);
    let ids = [stack.client.submit(load(&file)).await, stack.client.submit(load(&file)).await];
    eventually("both are claimed", WAIT_MAX, || async {
        let tasks = [stack.client.task(&ids[0]).await, stack.client.task(&ids[1]).await];
        tasks.iter().all(|task| task["attempt"] == 1).then_some(())
    })
    .await;
    proxy.wait_requests("POST /upload/image", 1).await;
    proxy.release();
    for id in &ids {
        assert_eq!(stack.client.wait_ended(id).await["status"], "completed", "{}", stack.log());
    }
    assert_eq!((proxy.requests("POST /upload/image"), uploads(&stack.sims[0]).len()), (1, 1));
}

/// The input folder was emptied: the prompt is refused, the file uploaded again, and the task runs in the same attempt.
#[tokio::test]
async fn a_file_missing_at_the_instance_is_uploaded_again() {
    let stack = Stack::start(1, 1).await;
    let file = stack.client.upload("a.png", PNG.to_vec()).await;
    completes_once(&stack, load(&file)).await;
    assert_eq!(stack.sims[0].delete_inputs(), 1);
    let task = completes_once(&stack, load(&file)).await;
    assert_eq!((&task["attempt"], uploads(&stack.sims[0]).len()), (&json!(1), 2), "{task}\n{}", stack.log());
    completes_once(&stack, load(&file)).await;
    assert_eq!(uploads(&stack.sims[0]).len(), 2);
}

/// The file vanishes between validation and execution: the attempt is not counted.
#[tokio::test]
async fn a_file_that_vanishes_before_the_run_costs_no_attempt() {
    let stack = Stack::start_with(1, 1, &[("SHUZHIREN_SLOTS", "2")]).await;
    let file = stack.client.upload("a.png", PNG.to_vec()).await;
    completes_once(&stack, load(&file)).await;
    let busy = stack.client.submit(json!({"workflow": workflow::steps(40, 4.0)})).await;
    stack.client.wait_for(&busy, &["running"]).await;
    let mut body = load(&file);
    body["maxAttempts"] = json!(1);
    // The cached result of the first task must not be used.
    body["workflow"]["2"] = json!({"class_type": "ImageScale", "inputs": {"image": ["1", 0], "upscale_method": "area", "width": 8, "height": 8, "crop": "disabled"}});
    let id = stack.client.submit(body).await;
    super::happens(&stack, &stack.sims[0], LogEvent::Submitted, &prompt(&id, 1)).await;
    stack.sims[0].delete_inputs();
    stack.client.delete(&format!("/api/tasks/{busy}")).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    assert_eq!((&task["attempts"][0]["outcome"], uploads(&stack.sims[0]).len()), (&json!("released"), 2), "{task}");
}

#[tokio::test]
async fn files_are_uploaded_again_after_an_instance_restarts() {
    let stack = Stack::start(1, 1).await;
    let file = stack.client.upload("a.png", PNG.to_vec()).await;
    completes_once(&stack, load(&file)).await;
    stack.sims[0].restart().await.unwrap();
    eventually("the file is uploaded again", WAIT_MAX, || async {
        let id = stack.client.submit(load(&file)).await;
        assert_eq!(stack.client.wait_ended(&id).await["status"], "completed", "{}", stack.log());
        (uploads(&stack.sims[0]).len() == 2).then_some(())
    })
    .await;
}

/// An invalid file fails the task at once, whether or not it is cached.
#[tokio::test]
async fn an_invalid_picture_fails_the_task_once() {
    let stack = stack_with(|_| {}).await;
    let file = stack.client.upload("a.png", b"\x89PNG\r\n\x1a\nnot really".to_vec()).await;
    for _ in 0..2 {
        let id = stack.client.submit(load(&file)).await;
        let task = stack.client.wait_ended(&id).await;
        assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("node_error"), &json!(1)), "{task}");
        assert_eq!((stack.executions(&id), uploads(&stack.sims[0]).len()), (1, 1));
    }
}

/// Real process with real settings; the proxy of the environment is not used.
#[tokio::test]
async fn a_file_at_a_url_reaches_the_instance() {
    let (stack, web) = (Stack::start(1, 1).await, Web::start().await);
    let mut body = load(&Value::Null);
    body["params"] = json!({"1.image": web.url("a.png")});
    // By then the API knows the catalog of the instance.
    let id = eventually("the link is taken for a file", WAIT_MAX, || async {
        let shown = stack.client.call(reqwest::Method::POST, "/api/tasks?dryRun=true", Some(body.clone())).await.1;
        if shown["data"]["warnings"][0]["code"] != "url_not_fetched" {
            return None;
        }
        Some(stack.client.submit(body.clone()).await)
    })
    .await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    assert_eq!((web.request_count("a.png"), uploads(&stack.sims[0]).len()), (1, 1));
}

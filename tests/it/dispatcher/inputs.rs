//! Files that a graph names: brought to an instance once per start of it, under the name of their content. [17]

use super::{completes_once, front::Act, fronted, prompt, stack_with};
use crate::support::{
    eventually,
    stack::{Stack, WAIT_MAX, workflow},
    web::{PNG, Web},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shuzhiren::sim::{Happened, Sim};

/// Loads the picture and saves it inverted.
fn load(file: &Value) -> Value {
    let graph = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}}
    });
    json!({"workflow": graph, "params": {"1.image": {"$file": file["fileId"]}}})
}

/// Names of what was uploaded to it.
fn uploads(sim: &Sim) -> Vec<String> {
    sim.log().into_iter().filter(|entry| entry.event == Happened::Uploaded).map(|entry| entry.prompt_id).collect()
}

#[tokio::test]
async fn the_second_task_with_the_same_file_uploads_nothing_and_finds_its_result_cached() {
    let (stack, front) = fronted(&[]).await;
    let file = stack.client.upload("图 1.PNG", PNG.to_vec()).await;
    completes_once(&stack, load(&file)).await;
    let hash = format!("{:x}", Sha256::digest(PNG));
    let [name] = uploads(&stack.sims[0]).try_into().unwrap();
    assert!(name.ends_with(&format!("{hash}.png")), "{name}");
    // The same bytes under another id and name.
    let again = stack.client.upload("other.png", PNG.to_vec()).await;
    // Its entry in the history is read before it is cleared.
    front.rule("POST /history", 1, Act::Hold);
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
    front.release();
    let entry = &history[&prompt];
    assert_eq!(entry["prompt"][2]["1"]["inputs"]["image"], format!("fleet/{}/{hash}.png", &hash[..2]));
    let messages = entry["status"]["messages"].as_array().unwrap();
    let cached = messages.iter().find(|message| message[0] == "execution_cached").unwrap();
    let nodes = cached[1]["nodes"].as_array().unwrap();
    assert!(nodes.contains(&json!("1")) && nodes.contains(&json!("2")), "{cached}");
}

#[tokio::test]
async fn two_tasks_that_need_a_file_at_once_upload_it_once() {
    let (stack, front) = fronted(&[("SHUZHIREN_SLOTS", "2")]).await;
    let file = stack.client.upload("a.png", PNG.to_vec()).await;
    front.rule("POST /upload/image", 1, Act::Hold);
    let ids = [stack.client.submit(load(&file)).await, stack.client.submit(load(&file)).await];
    eventually("both are claimed", WAIT_MAX, || async {
        let tasks = [stack.client.task(&ids[0]).await, stack.client.task(&ids[1]).await];
        tasks.iter().all(|task| task["attempt"] == 1).then_some(())
    })
    .await;
    front.wait_asked("POST /upload/image", 1).await;
    front.release();
    for id in &ids {
        assert_eq!(stack.client.wait_ended(id).await["status"], "completed", "{}", stack.log());
    }
    assert_eq!((front.asked("POST /upload/image"), uploads(&stack.sims[0]).len()), (1, 1));
}

/// Somebody tidied the input folder: refused, brought again, and run in the same attempt.
#[tokio::test]
async fn a_file_that_is_gone_from_the_instance_is_brought_again() {
    let stack = Stack::start(1, 1).await;
    let file = stack.client.upload("a.png", PNG.to_vec()).await;
    completes_once(&stack, load(&file)).await;
    assert_eq!(stack.sims[0].delete_inputs(), 1);
    let task = completes_once(&stack, load(&file)).await;
    assert_eq!((&task["attempt"], uploads(&stack.sims[0]).len()), (&json!(1), 2), "{task}\n{}", stack.log());
    completes_once(&stack, load(&file)).await;
    assert_eq!(uploads(&stack.sims[0]).len(), 2);
}

/// It is gone between the validation and the run: the try counts for nothing.
#[tokio::test]
async fn a_file_that_vanishes_under_a_waiting_prompt_costs_no_attempt() {
    let stack = Stack::start_with(1, 1, &[("SHUZHIREN_SLOTS", "2")]).await;
    let file = stack.client.upload("a.png", PNG.to_vec()).await;
    completes_once(&stack, load(&file)).await;
    let busy = stack.client.submit(json!({"workflow": workflow::steps(40, 4.0)})).await;
    stack.client.wait_for(&busy, &["running"]).await;
    let mut body = load(&file);
    body["maxAttempts"] = json!(1);
    // Not the cached result of before.
    body["workflow"]["2"] = json!({"class_type": "ImageScale", "inputs": {"image": ["1", 0], "upscale_method": "area", "width": 8, "height": 8, "crop": "disabled"}});
    let id = stack.client.submit(body).await;
    super::happens(&stack, &stack.sims[0], Happened::Submitted, &prompt(&id, 1)).await;
    stack.sims[0].delete_inputs();
    stack.client.delete(&format!("/api/tasks/{busy}")).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    assert_eq!((&task["attempts"][0]["outcome"], uploads(&stack.sims[0]).len()), (&json!("released"), 2), "{task}");
}

#[tokio::test]
async fn an_instance_that_started_anew_is_given_its_files_again() {
    let stack = Stack::start(1, 1).await;
    let file = stack.client.upload("a.png", PNG.to_vec()).await;
    completes_once(&stack, load(&file)).await;
    stack.sims[0].restart().await.unwrap();
    eventually("it is brought again", WAIT_MAX, || async {
        let id = stack.client.submit(load(&file)).await;
        assert_eq!(stack.client.wait_ended(&id).await["status"], "completed", "{}", stack.log());
        (uploads(&stack.sims[0]).len() == 2).then_some(())
    })
    .await;
}

/// What is wrong with the file itself is final at once, remembered or not.
#[tokio::test]
async fn a_file_that_is_no_picture_fails_once() {
    let stack = stack_with(|_| {}).await;
    let file = stack.client.upload("a.png", b"\x89PNG\r\n\x1a\nnot really".to_vec()).await;
    for _ in 0..2 {
        let id = stack.client.submit(load(&file)).await;
        let task = stack.client.wait_ended(&id).await;
        assert_eq!((&task["error"]["type"], &task["attempt"]), (&json!("node_error"), &json!(1)), "{task}");
        assert_eq!((stack.executions(&id), uploads(&stack.sims[0]).len()), (1, 1));
    }
}

/// By the real process, with the settings as users write them; a proxy of the environment is not asked.
#[tokio::test]
async fn a_file_at_a_url_reaches_the_instance() {
    let (stack, web) = (Stack::start(1, 1).await, Web::start().await);
    let mut body = load(&Value::Null);
    body["params"] = json!({"1.image": web.url("a.png")});
    // By then the api knows what the instance takes.
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

//! Files that are named instead of given: uploads of the caller, and files that some instances have (bug report 17).

use super::eligibility::{dry_run, wait_known};
use crate::support::stack::Stack;
use serde_json::{Value, json};

/// PNG of a single black pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82";

fn load(image: &Value) -> Value {
    json!({"1": {"class_type": "LoadImage", "inputs": {"image": image}},
           "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}})
}

#[tokio::test]
async fn a_file_is_taken_as_people_name_it() {
    let stack = Stack::start(1, 1).await;
    wait_known(&stack).await;
    let id = stack.client.upload("a b.png", PNG.to_vec()).await["fileId"].as_str().unwrap().to_owned();
    let pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";
    let forms = [
        json!("a b.png"),
        json!(id.to_uppercase().replace('-', "")),
        json!({"fileId": id}),
        json!({"name": "a b.png", "subfolder": "", "type": "input"}),
        json!(pixel),
    ];
    let mut tasks = Vec::new();
    for form in &forms {
        tasks.push(stack.client.submit(json!({"workflow": load(form)})).await);
        let params = json!({"1.image": form, "1:LoadImage.image": form});
        tasks.push(stack.client.submit(json!({"workflow": load(&json!("example.png")), "params": params})).await);
    }
    for task in tasks {
        let task = stack.client.wait_ended(&task).await;
        assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    }
    for refused in [json!("nosuch.png"), json!({"x": 1}), json!("")] {
        let (status, answer) = dry_run(&stack, &json!({"workflow": load(&refused)})).await;
        assert_eq!((status, &answer["error"]["details"][0]["code"]), (422, &json!("input_file_unknown")), "{answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("POST /api/upload") && message.contains("$force"), "{message}");
    }
}

#[tokio::test]
async fn a_file_that_one_instance_has_sends_the_task_there() {
    let mut stack = Stack::start(2, 0).await;
    let instance = stack.sims[1].addr().to_string();
    let part = reqwest::multipart::Part::bytes(PNG).file_name("only-here.png");
    let form = reqwest::multipart::Form::new().part("image", part);
    let url = format!("http://{instance}/upload/image");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(http.post(url).multipart(form).send().await.unwrap().status(), 200);
    let body = json!({"workflow": load(&json!("only-here.png"))});
    stack.add_dispatcher();
    wait_known(&stack).await;
    let (_, shown) = dry_run(&stack, &body).await;
    assert_eq!(shown["data"]["eligibleInstances"], json!([instance]), "{shown}");
    for _ in 0..3 {
        let id = stack.client.submit(body.clone()).await;
        let task = stack.client.wait_ended(&id).await;
        assert_eq!((&task["status"], &task["instanceId"]), (&json!("completed"), &json!(instance)), "{task}");
    }
    // A task that waits for that instance is not given to the other one, which lacks the file.
    stack.client.put(&format!("/api/instances/{instance}"), json!({"enabled": false})).await;
    let id = stack.client.submit(body).await;
    let task = stack.client.task(&id).await;
    assert_eq!((&task["status"], &task["eligibleInstances"]), (&json!("pending"), &json!([instance])), "{task}");
    stack.client.put(&format!("/api/instances/{instance}"), json!({"enabled": true})).await;
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed");
}

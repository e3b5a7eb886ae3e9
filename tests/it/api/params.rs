//! Params over HTTP: options of the body, dry runs, both forms of the graph, files inside the request, and what the instances have.

use super::server::{Api, INSTANCE, Options, assert_refused, data, workflow};
use crate::support::eventually;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shuzhiren::{
    fleet::{InstanceReport, Phase},
    graph::Catalog,
    queue::{Acquired, Lease, Token},
    task::InstanceId,
};
use std::time::Duration;

pub(super) const OTHER: &str = "127.0.0.1:8002";
/// PNG of a single black pixel, base64.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg==";

/// With two instances, none of them seen.
pub(super) async fn two_instances() -> Api {
    let api = Api::start_with(Options::default()).await;
    let config = json!({"servers": [{"id": "s", "name": "s", "ip": "127.0.0.1", "ports": [8001, 8002]}]});
    assert_eq!(api.put("/api/config", &config).await.status, 200);
    api
}

/// Reports an instance that offers these models, as a dispatcher does.
pub(super) async fn seen(api: &Api, instance: &str, models: &[&str]) -> Lease {
    let object_info = json!({
        "KSampler": {"input": {"required": {"seed": ["INT", {"min": 0, "max": u64::MAX}], "steps": ["INT", {"min": 1, "max": 100}]}}},
        "Loader": {"input": {"required": {"ckpt_name": [models, {}]}}},
        "Show": {"input": {"required": {}}, "output_node": true},
        "LoadImage": {"input": {"required": {"image": [["a.png"], {"image_upload": true}]}}},
        "SaveImage": {"input": {"required": {"images": ["IMAGE"]}}, "output_node": true}
    });
    let lease = Lease { instance: InstanceId::new(instance), token: Token::new() };
    let acquired = api.queue.acquire(&lease.instance, "d", &lease.token, Duration::from_secs(60)).await.unwrap();
    assert!(matches!(acquired, Acquired::Ours(_)), "{acquired:?}");
    tell(api, &lease, &object_info).await;
    lease
}

/// Reports what the instance has.
async fn tell(api: &Api, lease: &Lease, object_info: &Value) {
    let json = Catalog::parse(&object_info.to_string()).unwrap().to_json();
    let hash = format!("{:x}", Sha256::digest(&json));
    api.queue.put_catalog(&hash, &json).await.unwrap();
    let report = InstanceReport { alive: true, phase: Phase::Up, catalog: Some(hash), ..InstanceReport::default() };
    api.queue.report(lease, &report, true).await.unwrap();
}

fn with_model(model: &str) -> Value {
    let mut graph = workflow();
    graph["4"] = json!({"class_type": "Loader", "inputs": {"ckpt_name": model}});
    graph["3"]["inputs"]["model"] = json!(["4", 0]);
    graph
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_form_strictness_and_all_seeds_are_taken() {
    let api = Api::start().await;
    let list = json!([{"nodeId": "3", "fieldName": "steps", "fieldValue": 30}]);
    let task =
        data(&api.post("/api/tasks", &json!({"workflow": workflow(), "params": list, "randomizeSeeds": "all"})).await);
    let id = task["id"].as_str().unwrap();
    let graph = data(&api.get(&format!("/api/tasks/{id}/workflow")).await);
    assert_eq!(
        (&graph["3"]["inputs"]["steps"], &graph["3"]["inputs"]["seed"]),
        (&json!(30), &task["resolved"]["seeds"]["3.seed"])
    );
    let mapped = json!({"workflow": {
        "3": {"class_type": "K", "inputs": {"positive": ["6", 0], "latent_image": ["5", 0], "steps": 1}},
        "5": {"class_type": "L", "inputs": {"width": 64}},
        "6": {"class_type": "C", "inputs": {"text": "a cat"}}}, "params": {"prompt": "a dog"}, "autoMap": true});
    let task = data(&api.post("/api/tasks", &mapped).await);
    assert_eq!(task["resolved"], json!({"params": {"prompt": "6.text"}}));
    let loose = json!({"workflow": workflow(), "params": {"prompt": "x"}});
    assert_eq!(data(&api.post("/api/tasks", &loose).await)["warnings"][0]["code"], "param_unused");
    let strict = json!({"workflow": workflow(), "params": {"prompt": "x"}, "strict": true});
    let refused = api.post("/api/tasks", &strict).await;
    assert_refused(&refused, 422, "invalid_params", "strict");
    assert_eq!(refused.json()["error"]["details"][0]["code"], "param_unknown_name");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_forms_of_the_graph_are_read_back() {
    let api = Api::start().await;
    let body = r#"{"workflow": {"3":{"class_type":"A", "inputs":{"seed":18446744073709551615,"text":"{{p:x}}","b":1e-7}}}, "params": {"p": "cat"}}"#;
    let task = data(&api.json("POST", "/api/tasks", &[], body.as_bytes()).await);
    let path = format!("/api/tasks/{}/workflow", task["id"].as_str().unwrap());
    let original = api.get(&format!("{path}?form=original")).await;
    let text = String::from_utf8(original.body.clone()).unwrap();
    assert!(
        text.contains(r#"{"3":{"class_type":"A", "inputs":{"seed":18446744073709551615,"text":"{{p:x}}","b":1e-7}}}"#),
        "{text}"
    );
    for form in ["", "?form=resolved"] {
        let resolved = api.get(&format!("{path}{form}")).await;
        let text = String::from_utf8(resolved.body.clone()).unwrap();
        assert!(text.contains(r#""seed":18446744073709551615,"text":"cat","b":1e-7"#), "{text}");
    }
    assert_refused(&api.get(&format!("{path}?form=both")).await, 400, "invalid_query", "form");
    assert_refused(&api.get(&path.replace("/tasks/0", "/tasks/1")).await, 404, "not_found", "another task");
    let plain = data(&api.post("/api/tasks", &json!({"workflow": workflow()})).await);
    let path = format!("/api/tasks/{}/workflow?form=original", plain["id"].as_str().unwrap());
    assert_eq!(data(&api.get(&path).await), workflow());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_all_and_does_nothing() {
    let api = two_instances().await;
    seen(&api, INSTANCE, &["a"]).await;
    seen(&api, OTHER, &["a", "b"]).await;
    let before = api.snapshot();
    let body = json!({"workflow": with_model("b"), "params": {"3.steps": "30", "3.seed": -1, "prompt": "x"}});
    let shown = data(&api.post("/api/tasks?dryRun=true", &body).await);
    assert_eq!(
        (&shown["dryRun"], &shown["checked"], &shown["eligibleInstances"]),
        (&json!(true), &json!(true), &json!([OTHER]))
    );
    assert_eq!(
        (&shown["workflow"]["3"]["inputs"]["steps"], &shown["warnings"][0]["code"]),
        (&json!(30), &json!("param_unused"))
    );
    assert_eq!(shown["workflow"]["3"]["inputs"]["seed"], shown["resolved"]["seeds"]["3.seed"]);
    let all = data(&api.post("/api/tasks?dryRun=true", &json!({"workflow": workflow()})).await);
    assert_eq!(all["eligibleInstances"], json!([INSTANCE, OTHER]));
    let refused = api.post("/api/tasks?dryRun=true", &json!({"workflow": workflow(), "params": {"3.steps": 0}})).await;
    assert_refused(&refused, 422, "invalid_params", "out of range");
    let file = json!({"workflow": workflow(), "params": {"3": {"image": {"$force": {"$file": uuid::Uuid::new_v4().to_string()}}}}});
    assert_refused(&api.post("/api/tasks?dryRun=true", &file).await, 422, "no_such_file", "file");
    assert_refused(&api.post("/api/tasks?dryRun=1", &body).await, 400, "invalid_query", "dryRun");
    // A misspelt dry run must not become a real one.
    assert_refused(&api.post("/api/tasks?dryrun=true", &body).await, 400, "invalid_query", "dryrun");
    let inline = json!({"workflow": workflow(), "params": {"3": {"image": {"$force": {"$base64": PNG}}}}});
    data(&api.post("/api/tasks?dryRun=true", &inline).await);
    assert_eq!((api.snapshot(), api.stored_files()), (before, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_waits_for_the_instance_that_has_its_model() {
    let api = two_instances().await;
    let one = seen(&api, INSTANCE, &["a"]).await;
    let two = seen(&api, OTHER, &["a", "b"]).await;
    let body = json!({"workflow": with_model("a"), "params": {"4.ckpt_name": "b"}});
    let task = data(&api.post("/api/tasks", &body).await);
    assert_eq!(task["eligibleInstances"], json!([OTHER]));
    let path = format!("/api/tasks/{}", task["id"].as_str().unwrap());
    let waiting = data(&api.get(&path).await);
    assert_eq!(
        waiting["waitingFor"],
        format!("a dispatcher: none is running; only {OTHER} has what it needs, next in line")
    );
    let plain = api.submit().await;
    assert_eq!(api.claim(&one).await.task.to_string(), plain, "the first instance passes it by");
    assert_eq!(api.claim(&two).await.task.to_string(), task["id"].as_str().unwrap());
    let answer = api.post("/api/tasks", &json!({"workflow": with_model("a"), "params": {"4.ckpt_name": "c"}})).await;
    assert_refused(&answer, 422, "invalid_params", "a model nobody has");
    assert_eq!(answer.json()["error"]["details"][0]["code"], "param_not_an_option");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_is_only_unknown_once_every_living_instance_is_known() {
    let api = two_instances().await;
    let unknown = json!({"workflow": {"1": {"class_type": "SaveImagee", "inputs": {}}}});
    assert_eq!(api.post("/api/tasks", &unknown).await.status, 200, "nothing is known yet");
    seen(&api, INSTANCE, &["a"]).await;
    let refused = eventually("the api has heard of the instance", Duration::from_secs(20), || async {
        let answer = api.post("/api/tasks", &unknown).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_refused(&refused, 422, "invalid_workflow", "class");
    let problem = refused.json()["error"]["details"][0].clone();
    assert_eq!((&problem["code"], &problem["pointer"]), (&json!("class_unknown"), &json!("/workflow/1/class_type")));
    assert_eq!(problem["candidates"], json!(["SaveImage"]));
}

/// Accepted while it could be converted, repeated when it no longer can.
#[tokio::test(flavor = "multi_thread")]
async fn the_editors_format_is_converted_once_the_instances_are_known() {
    let api = two_instances().await;
    let ui = json!({"workflow": {"nodes": [
        {"id": 7, "type": "Loader", "title": "the model", "widgets_values": ["b"]},
        {"id": 3, "type": "KSampler", "widgets_values": [18446744073709551615_u64, "fixed", 20]},
        {"id": 9, "type": "Show"}
    ], "links": []}, "params": {"@the model.ckpt_name": "a", "3.steps": 30}});
    let refused = api.post("/api/tasks", &ui).await;
    assert_refused(&refused, 422, "invalid_workflow", "nothing is known");
    let problem = refused.json()["error"]["details"][0].clone();
    assert_eq!((&problem["code"], &problem["pointer"]), (&json!("workflow_format_ui"), &json!("/workflow")));
    assert!(problem["message"].as_str().unwrap().contains("Export (API)"));
    let lease = seen(&api, INSTANCE, &["a", "b"]).await;
    let body = ui.to_string();
    let post = async || api.json("POST", "/api/tasks", &[("idempotency-key", "k")], body.as_bytes()).await;
    let accepted = eventually("the api has heard of the instance", Duration::from_secs(20), || async {
        let answer = post().await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    let task = data(&accepted);
    assert_eq!(task["warnings"][0]["code"], "workflow_converted");
    assert!(task["workflowHash"].as_str().is_some_and(|hash| hash.len() == 32));
    let path = format!("/api/tasks/{}/workflow", task["id"].as_str().unwrap());
    assert_eq!(data(&api.get(&format!("{path}?form=original")).await), ui["workflow"]);
    let resolved = String::from_utf8(api.get(&path).await.body).unwrap();
    let expected = r#"{"7":{"inputs":{"ckpt_name":"a"},"class_type":"Loader","_meta":{"title":"the model"}},"3":{"inputs":{"seed":18446744073709551615,"steps":30},"class_type":"KSampler","_meta":{"title":"KSampler"}}"#;
    assert!(resolved.contains(expected), "{resolved}");
    tell(&api, &lease, &json!({"Other": {"input": {}}})).await;
    eventually("the class is gone", Duration::from_secs(20), || async {
        (api.post("/api/tasks", &ui).await.status == 422).then_some(())
    })
    .await;
    let again = post().await;
    assert_eq!((again.header("idempotency-replayed"), &data(&again)["id"]), ("true", &task["id"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_submit_is_answered_whatever_the_instances_have_now() {
    let api = two_instances().await;
    let body = json!({"workflow": {"1": {"class_type": "Gone", "inputs": {}}}}).to_string();
    let post = async |key: &str| api.json("POST", "/api/tasks", &[("idempotency-key", key)], body.as_bytes()).await;
    let first = data(&post("k").await);
    seen(&api, INSTANCE, &["a"]).await;
    eventually("the class is unknown", Duration::from_secs(20), || async {
        (post("another").await.status == 422 || post(&uuid::Uuid::new_v4().to_string()).await.status == 422)
            .then_some(())
    })
    .await;
    let again = post("k").await;
    assert_eq!((again.header("idempotency-replayed"), &data(&again)["id"]), ("true", &first["id"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_inside_the_request_is_stored_once_and_named() {
    let api = Api::start().await;
    let graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}}});
    let params = json!({"1.image": {"$base64": format!("data:image/png;base64,{PNG}"), "filename": "black.png"}});
    let body = json!({"workflow": graph, "params": params});
    let task = data(&api.post("/api/tasks", &body).await);
    let files = data(&api.get("/api/files?kind=upload").await);
    assert_eq!((&files["total"], &files["items"][0]["contentType"]), (&json!(1), &json!("image/png")));
    assert_eq!(files["items"][0]["sizeBytes"], 70);
    let (id, file) = (task["id"].as_str().unwrap(), files["items"][0]["fileId"].as_str().unwrap());
    let detail = data(&api.get(&format!("/api/tasks/{id}")).await);
    assert_eq!(detail["params"], json!({"1.image": {"$file": file}}), "what is kept is small");
    let payload = api.queue.payload(id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(payload.files.len(), 1);
    assert_refused(&api.delete(&format!("/api/files/{file}")).await, 409, "file_in_use", "the task needs it");

    let before = (api.snapshot(), api.stored_files());
    let html = json!({"1.image": {"$base64": "PGh0bWw+PC9odG1sPg==", "filename": "a.png"}});
    let refused = api.post("/api/tasks", &json!({"workflow": graph, "params": html})).await;
    assert_refused(&refused, 422, "invalid_params", "wrong type");
    let problem = refused.json()["error"]["details"][0].clone();
    assert_eq!((&problem["code"], &problem["pointer"]), (&json!("param_wrong_mime"), &json!("/params/1.image")));
    assert_eq!((api.snapshot(), api.stored_files()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_or_repeated_task_leaves_no_file() {
    let api = Api::start_with(Options { waiting_max: 1, ..Options::default() }).await;
    let graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}}});
    let body = json!({"workflow": graph, "params": {"1.image": {"$base64": PNG}}}).to_string();
    let post = async |key: &str| api.json("POST", "/api/tasks", &[("idempotency-key", key)], body.as_bytes()).await;
    let first = post("k").await;
    assert_eq!(data(&first)["id"], data(&post("k").await)["id"]);
    assert_refused(&post("other").await, 429, "queue_full", "full");
    assert_eq!((api.stored_files(), &data(&api.get("/api/files").await)["total"]), (1, &json!(1)));
}

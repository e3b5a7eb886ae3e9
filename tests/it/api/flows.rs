//! Published workflows over HTTP: published, read, guarded, deleted, submitted by name, shown as a schema.

use super::{
    params::seen,
    server::{Api, Options, assert_refused, assert_time, data, token_of, workflow},
};
use crate::support::eventually;
use serde_json::{Value, json};
use shuzhiren::task::FileId;
use std::time::Duration;

/// A publication with a text, a number, a seed, a choice and a picture.
pub fn publication() -> Value {
    json!({
        "description": "测试 portrait",
        "workflow": {
            "3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 20, "text": "{{prompt}}"}},
            "4": {"class_type": "Loader", "inputs": {"ckpt_name": "a"}},
            "5": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "x"}}
        },
        "params": {
            "prompt": {"type": "string", "max": 20},
            "steps": {"target": "3.steps", "type": "integer", "min": 1, "max": 50, "default": 12},
            "seed": {"target": "3.seed", "type": "integer", "default": "random"},
            "model": {"target": "4.ckpt_name", "type": "enum"},
            "picture": {"target": "5.image", "type": "image"}
        }
    })
}

async fn published(api: &Api) -> Value {
    data(&api.put("/api/workflows/portrait", &publication()).await)
}

pub async fn submit(api: &Api, workflow: &str, params: Value) -> Value {
    data(&api.post("/api/tasks", &json!({"workflow": workflow, "params": params})).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_published_read_and_taken_away() {
    let api = Api::start().await;
    let first = published(&api).await;
    assert_eq!((&first["name"], &first["version"], &first["versions"]), (&json!("portrait"), &json!(1), &json!([1])));
    assert_eq!((&first["params"], &first["workflow"]), (&publication()["params"], &publication()["workflow"]));
    assert_time(&first["createdAt"]);
    assert_eq!(published(&api).await, first, "the same content again makes no new version");
    let laid_out = serde_json::to_string_pretty(&publication()).unwrap();
    let answer = api.json("PUT", "/api/workflows/portrait", &[("if-match", "\"1\"")], laid_out.as_bytes()).await;
    assert_eq!((data(&answer), answer.header("etag")), (first.clone(), "\"1\""));

    let mut next = publication();
    next["params"]["steps"]["default"] = json!(30);
    next["version"] = json!(0);
    assert_refused(&api.put("/api/workflows/portrait", &next).await, 409, "version_conflict", "there is one");
    next["version"] = json!(1);
    let second = data(&api.put("/api/workflows/portrait", &next).await);
    assert_eq!(
        (&second["version"], &second["latestVersion"], &second["versions"]),
        (&json!(2), &json!(2), &json!([1, 2]))
    );
    assert_refused(
        &api.put("/api/workflows/portrait", &json!({"version": 1, "workflow": workflow()})).await,
        409,
        "version_conflict",
        "old",
    );
    let other = json!({"workflow": workflow()}).to_string();
    let stale = api.json("PUT", "/api/workflows/portrait", &[("if-match", "\"1\"")], other.as_bytes());
    assert_refused(&stale.await, 409, "version_conflict", "old If-Match");
    assert_eq!(data(&api.get("/api/workflows/portrait").await), second);
    let old = api.get("/api/workflows/portrait?version=1").await;
    assert_eq!((&data(&old)["params"], old.header("etag")), (&publication()["params"], "\"1\""));
    for (path, status, word) in [
        ("/api/workflows/portrait?version=3", 404, "not_found"),
        ("/api/workflows/portrait?version=x", 400, "invalid_query"),
        ("/api/workflows/portrait?versoin=1", 400, "invalid_query"),
        ("/api/workflows/portait", 404, "not_found"),
        ("/api/workflows/portait/schema", 404, "not_found"),
        ("/api/workflows/%7Bx%7D", 404, "not_found"),
    ] {
        assert_refused(&api.get(path).await, status, word, path);
    }
    data(&api.put("/api/workflows/a", &json!({"workflow": workflow()})).await);
    let list = data(&api.get("/api/workflows").await);
    assert_eq!((&list["total"], &list["items"][0]["name"]), (&json!(2), &json!("a")));
    assert_eq!((&list["items"][1]["version"], &list["items"][1]["description"]), (&json!(2), &json!("测试 portrait")));
    assert!(list["items"][1].get("workflow").is_none());

    let id = submit(&api, "portrait", json!({"prompt": "x"})).await["id"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let deleted = data(&api.delete("/api/workflows/portrait").await);
        assert_eq!(deleted, json!({"name": "portrait", "deleted": true, "lastVersion": 2}));
    }
    assert_refused(&api.delete("/api/workflows/never").await, 404, "not_found", "never there");
    assert_refused(&api.get("/api/workflows/portrait").await, 404, "not_found", "gone");
    let task = data(&api.get(&format!("/api/tasks/{id}?include=workflow")).await);
    assert_eq!((&task["status"], &task["workflow"]["3"]["inputs"]["steps"]), (&json!("pending"), &json!(30)));
    assert_eq!(data(&api.put("/api/workflows/portrait", &next_without_version(&next)).await)["version"], 3);
}

fn next_without_version(next: &Value) -> Value {
    let mut next = next.clone();
    next.as_object_mut().unwrap().remove("version");
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_run_is_not_published() {
    let api = Api::start().await;
    let before = api.snapshot();
    let with = |pointer: &str, value: Value| {
        let mut body = publication();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    // A number that is no version would be no guard at all.
    let huge = format!(r#"{{"workflow": {}, "version": 18446744073709551616}}"#, workflow());
    let answer = api.json("PUT", "/api/workflows/portrait", &[], huge.as_bytes()).await;
    assert_eq!((answer.status, &answer.json()["error"]["details"][0]["pointer"]), (400, &json!("/version")));
    for (body, status, word, pointer, code) in [
        (json!({}), 400, "invalid_request", "/workflow", "missing"),
        (json!({"workflow": "x"}), 400, "invalid_request", "/workflow", "not_an_object"),
        (json!({"workflow": {}}), 400, "invalid_workflow", "/workflow", "workflow_empty"),
        (json!({"workflow": {"nodes": []}}), 422, "invalid_workflow", "/workflow", "workflow_format_ui"),
        (json!({"workflow": workflow(), "params": []}), 400, "invalid_request", "/params", "not_an_object"),
        (json!({"workflow": workflow(), "description": 1}), 400, "invalid_request", "/description", "not_a_text"),
        (json!({"workflow": workflow(), "version": -1}), 400, "invalid_request", "/version", "not_an_integer"),
        (json!({"workflow": workflow(), "parms": {}}), 400, "unknown_field", "/parms", "unknown_field"),
        (
            with("/params/steps/target", json!("33.steps")),
            422,
            "invalid_params",
            "/params/steps/target",
            "param_no_such_node",
        ),
        (
            with("/params/steps/default", json!(99)),
            422,
            "invalid_params",
            "/params/steps/default",
            "param_out_of_range",
        ),
        (
            with("/params/prompt", json!({"type": "txt"})),
            422,
            "invalid_params",
            "/params/prompt/type",
            "param_bad_declaration",
        ),
    ] {
        let answer = api.put("/api/workflows/portrait", &body).await;
        assert_refused(&answer, status, word, &body.to_string());
        let detail = &answer.json()["error"]["details"][0];
        assert_eq!((&detail["pointer"], &detail["code"]), (&json!(pointer), &json!(code)), "{body}");
    }
    let long = format!("/api/workflows/{}", "x".repeat(65));
    for path in ["/api/workflows/a%20b", "/api/workflows/.a", "/api/workflows/a@3", &long] {
        assert_refused(&api.put(path, &publication()).await, 422, "invalid_request", path);
    }
    let mut missing = publication();
    missing["params"]["picture"]["default"] = json!(FileId::new().to_string());
    assert_refused(&api.put("/api/workflows/portrait", &missing).await, 422, "no_such_file", "default");
    let user = format!("Bearer {}", token_of("kim", "user"));
    let headers = [("authorization", user.as_str()), ("content-type", "application/json")];
    for (method, body) in [("PUT", publication().to_string()), ("DELETE", String::new())] {
        let answer = api.send(method, "/api/workflows/portrait", &headers, body.as_bytes()).await;
        assert_refused(&answer, 403, "forbidden", method);
    }
    assert!(api.snapshot() == before, "nothing was kept");
    let large = json!({"workflow": workflow(), "description": "x".repeat(1 << 20)});
    assert_refused(&api.put("/api/workflows/portrait", &large).await, 413, "too_large", "a megabyte");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_submitted_by_name() {
    let api = Api::start().await;
    published(&api).await;
    let task = submit(&api, "portrait", json!({"prompt": "a cat"})).await;
    assert_eq!((&task["workflowName"], &task["workflowVersion"]), (&json!("portrait"), &json!(1)));
    let seed = task["resolved"]["seeds"]["3.seed"].clone();
    assert!(seed.is_u64(), "the default is a drawn seed: {task}");
    let path = format!("/api/tasks/{}", task["id"].as_str().unwrap());
    let detail = data(&api.get(&format!("{path}?include=workflow")).await);
    assert_eq!(detail["workflow"]["3"]["inputs"], json!({"seed": seed, "steps": 12, "text": "a cat"}));
    assert_eq!((&detail["params"], &detail["workflowName"]), (&json!({"prompt": "a cat"}), &json!("portrait")));
    let original = data(&api.get(&format!("{path}/workflow?form=original")).await);
    assert_eq!(original, publication()["workflow"]);

    let mut next = publication();
    next["workflow"]["3"]["inputs"]["cfg"] = json!(2.5);
    data(&api.put("/api/workflows/portrait", &next).await);
    for (name, version) in [("portrait", 2), ("portrait@2", 2), ("portrait@1", 1)] {
        assert_eq!(submit(&api, name, json!({"prompt": "x"})).await["workflowVersion"], version, "{name}");
    }
    for (name, candidates) in [
        ("portait", json!(["portrait"])),
        ("portrait@3", json!([])),
        ("portrait@x", json!([])),
        ("a b", json!([])),
        ("", json!([])),
    ] {
        let answer = api.post("/api/tasks", &json!({"workflow": name})).await;
        assert_refused(&answer, 422, "workflow_unknown", name);
        let detail = answer.json()["error"]["details"][0].clone();
        assert_eq!(detail["pointer"], "/workflow");
        assert_eq!(detail.get("candidates").cloned().unwrap_or(json!([])), candidates, "{name}");
    }
    let wrong = json!({"workflow": "portrait", "params": {"promt": "x", "steps": 51, "picture": 7}});
    let answer = api.post("/api/tasks", &wrong).await;
    assert_refused(&answer, 422, "invalid_params", "three problems, one more for what is missing");
    let details = answer.json()["error"]["details"].clone();
    let told: Vec<_> = details
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["pointer"].as_str().unwrap(), one["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("/params/promt", "param_unknown_name"),
            ("/params/steps", "param_out_of_range"),
            ("/params/picture", "param_type"),
            ("/params/prompt", "param_missing"),
        ]
    );
    assert_eq!(details[0]["candidates"], json!(["prompt"]));
    let dry = data(
        &api.post("/api/tasks?dryRun=true", &json!({"workflow": "portrait", "params": {"prompt": "x", "3.steps": 7}}))
            .await,
    );
    assert_eq!(dry["workflow"]["3"]["inputs"]["steps"], 7, "an address wins over a default");

    let list = data(&api.get("/api/tasks?workflow=portrait&status=pending").await);
    assert_eq!((&list["total"], list["items"].as_array().unwrap().len()), (&json!(4), 4));
    assert_eq!(data(&api.get("/api/tasks?workflow=other").await)["total"], 0);
    for query in ["workflow=a%20b", "workflow=portrait&errorType=poison", "batchId=x"] {
        assert_refused(&api.get(&format!("/api/tasks?{query}")).await, 400, "invalid_query", query);
    }
    let user = token_of("kim", "user");
    let asked =
        api.send("GET", "/api/tasks?workflow=portrait", &[("authorization", &format!("Bearer {user}"))], b"").await;
    assert_refused(&asked, 403, "forbidden", "of everybody's tasks");
}

pub async fn wait_until_checked(api: &Api) {
    eventually("the instance is known", Duration::from_secs(20), async || {
        let dry = api.post("/api/tasks?dryRun=true", &json!({"workflow": workflow()})).await;
        (data(&dry)["checked"] == true).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_outlives_the_workflow() {
    let api = Api::start().await;
    published(&api).await;
    let body = json!({"workflow": "portrait", "params": {"prompt": "x"}}).to_string();
    let post = async |key: &str, body: &str| {
        api.json("POST", "/api/tasks", &[("idempotency-key", key)], body.as_bytes()).await
    };
    let first = data(&post("k", &body).await);
    data(&api.delete("/api/workflows/portrait").await);
    let again = post("k", &body).await;
    assert_eq!((again.header("idempotency-replayed"), &data(&again)["id"]), ("true", &first["id"]));
    assert_refused(&post("k", &body.replace("\"x\"", "\"y\"")).await, 422, "idempotency_key_reused", "another body");
    assert_refused(&post("other", &body).await, 422, "workflow_unknown", "another key");
}

/// A submit accepts what the schema accepts, and refuses what it refuses.
#[tokio::test(flavor = "multi_thread")]
async fn the_schema_and_a_submit_agree() {
    let api = Api::start_with(Options::default()).await;
    let config = json!({"servers": [{"id": "s", "name": "s", "ip": "127.0.0.1", "ports": [8001]}]});
    assert_eq!(api.put("/api/config", &config).await.status, 200);
    let _lease = seen(&api, "127.0.0.1:8001", &["a", "b"]).await;
    wait_until_checked(&api).await;
    published(&api).await;
    let schema = data(&api.get("/api/workflows/portrait/schema").await);
    assert_eq!(schema["properties"]["model"]["enum"], json!(["a", "b"]), "{schema}");
    assert_eq!(data(&api.get("/api/workflows/portrait/schema?version=1").await), schema);
    let file = "0b8f3c1e-0000-4000-8000-000000000001";
    let mut both = (0, 0);
    for params in [
        json!({}),
        json!({"prompt": "x"}),
        json!({"prompt": "x".repeat(20)}),
        json!({"prompt": "x".repeat(21)}),
        json!({"prompt": "é".repeat(20)}),
        json!({"prompt": "𝄞".repeat(20)}),
        json!({"prompt": 5}),
        json!({"prompt": null}),
        json!({"prompt": "x", "steps": 1}),
        json!({"prompt": "x", "steps": 50}),
        json!({"prompt": "x", "steps": 51}),
        json!({"prompt": "x", "steps": 0}),
        json!({"prompt": "x", "steps": 2.0}),
        json!({"prompt": "x", "steps": 2.5}),
        json!({"prompt": "x", "steps": "2"}),
        json!({"prompt": "x", "steps": true}),
        json!({"prompt": "x", "seed": -1}),
        json!({"prompt": "x", "seed": "random"}),
        json!({"prompt": "x", "seed": -2}),
        json!({"prompt": "x", "seed": "any"}),
        json!({"prompt": "x", "seed": u64::MAX}),
        json!({"prompt": "x", "model": "a"}),
        json!({"prompt": "x", "model": "c"}),
        json!({"prompt": "x", "model": ["a"]}),
        json!({"prompt": "x", "picture": {"$base64": "aGVsbG8="}}),
        json!({"prompt": "x", "picture": {"$file": 7}}),
        json!({"prompt": "x", "picture": {"file": file}}),
        json!({"prompt": "x", "picture": ""}),
        json!({"prompt": "x", "picture": 5}),
        json!({"prompt": "x", "promt": "x"}),
        json!({"prompt": "x", "3.steps": 4}),
        json!([]),
    ] {
        let answer = api.post("/api/tasks?dryRun=true", &json!({"workflow": "portrait", "params": params})).await;
        let (is_valid, is_taken) = (fits(&schema, &params), answer.status == 200);
        assert_eq!(is_valid, is_taken, "{params}: {}", answer.json());
        *(if is_valid { &mut both.0 } else { &mut both.1 }) += 1;
    }
    assert!(both.0 > 10 && both.1 > 10, "{both:?}");
    // The id fits; whether there is such a file only a submit can know.
    assert!(fits(&schema, &json!({"prompt": "x", "picture": file})));
    assert_refused(
        &api.post(
            "/api/tasks?dryRun=true",
            &json!({"workflow": "portrait", "params": {"prompt": "x", "picture": file}}),
        )
        .await,
        422,
        "no_such_file",
        "of a picture",
    );
}

/// JSON Schema 2020-12, as far as our schemas use it; panics at a word that it does not know.
fn fits(schema: &Value, value: &Value) -> bool {
    let number = |value: &Value| value.as_f64().unwrap();
    let length = |value: &Value| value.as_str().map(|text| text.chars().count() as u64);
    schema.as_object().unwrap().iter().all(|(word, rule)| match word.as_str() {
        "$schema" | "title" | "description" | "default" => true,
        "type" => rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]).iter().any(|kind| is_a(kind, value)),
        "enum" => rule.as_array().unwrap().contains(value),
        "minimum" => !value.is_number() || number(value) >= number(rule),
        "maximum" => !value.is_number() || number(value) <= number(rule),
        "minLength" => length(value).is_none_or(|length| length >= rule.as_u64().unwrap()),
        "maxLength" => length(value).is_none_or(|length| length <= rule.as_u64().unwrap()),
        "anyOf" => rule.as_array().unwrap().iter().any(|one| fits(one, value)),
        "not" => !fits(rule, value),
        "required" => value
            .as_object()
            .is_none_or(|map| rule.as_array().unwrap().iter().all(|name| map.contains_key(name.as_str().unwrap()))),
        "properties" => value
            .as_object()
            .is_none_or(|map| map.iter().all(|(name, value)| rule.get(name).is_none_or(|one| fits(one, value)))),
        "patternProperties" => true,
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let is_known = |name: &String| schema["properties"].get(name).is_some() || is_address(schema, name);
            *rule != false || map.keys().all(is_known)
        }),
        "pattern" => value.as_str().is_none_or(|text| {
            assert!(rule.as_str().unwrap().starts_with("^([0-9a-f]{8}(-"), "the pattern of a file id: {rule}");
            text.parse::<FileId>().is_ok() || text.starts_with("http://") || text.starts_with("https://")
        }),
        other => panic!("{other} is not known here"),
    })
}

fn is_address(schema: &Value, name: &str) -> bool {
    assert!(schema.get("patternProperties").is_none_or(|all| all.get("^[@0-9]|[.]").is_some()));
    schema.get("patternProperties").is_some()
        && (name.contains('.') || name.starts_with(['@', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']))
}

fn is_a(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("{other} is not known here"),
    }
}

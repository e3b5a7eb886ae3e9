//! Keys for API nodes, and `extra_pnginfo`: an instance gets them, and no key can be read.

use super::{Stack, WAIT_MAX, Watcher, eventually};
use crate::support::raw::Reply;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const SECRET_KEY: &str = "0123456789abcdef-a-key-for-secrets-of-tests";
const KEY: &str = "comfyui-key-of-tests-0000";
const TOKEN: &str = "token \"of\" tests\\0000";

async fn stack() -> Stack {
    Stack::start_with_files(1, vec![("SHUZHIREN_SECRET_KEY".to_owned(), SECRET_KEY.to_owned())]).await
}

fn calling(prompt: &str) -> Value {
    json!({"1": {"class_type": "NeedsApiKey", "inputs": {"prompt": prompt}}})
}

fn with_key(prompt: &str) -> Value {
    json!({"workflow": calling(prompt), "extraData": {"api_key_comfy_org": KEY}})
}

fn text(task: &Value) -> &str {
    task["result"]["outputs"][0]["text"].as_str().unwrap_or_else(|| panic!("{task}"))
}

async fn ends(stack: &Stack, body: Value) -> Value {
    let id = stack.client.submit(body).await;
    stack.client.wait_ended(&id).await
}

async fn enable(stack: &Stack, is_enabled: bool) {
    let path = format!("/api/instances/{}", stack.sims[0].addr());
    stack.client.put(&path, json!({"enabled": is_enabled})).await;
}

/// Fails if one of the keys is in the text, as it is or as JSON writes it.
fn refuse_keys(about: &str, text: &[u8]) {
    let json = json!(TOKEN).to_string();
    for key in [KEY, TOKEN, json.trim_matches('"')] {
        let is_there = text.windows(key.len()).any(|window| window == key.as_bytes());
        assert!(!is_there, "{about} shows a key: {}", String::from_utf8_lossy(&text[..text.len().min(4_000)]));
    }
}

/// Everything that Redis has ever been asked to write, and the payloads unpacked.
fn refuse_keys_in_redis(stack: &Stack) {
    let files = stack.redis.snapshot();
    for entry in std::fs::read_dir(files.path()).unwrap() {
        let path = entry.unwrap().path();
        refuse_keys(&path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    let mut raw = stack.redis.raw();
    let Reply::List(names) = raw.run(&["KEYS", "*payload:*"]) else { panic!("no list") };
    for name in names {
        let Reply::Text(name) = name else { panic!("no name") };
        if let Reply::Text(packed) = raw.run(&["GET", std::str::from_utf8(&name).unwrap()]) {
            refuse_keys("a payload", &zstd::stream::decode_all(packed.as_slice()).unwrap());
        }
    }
}

/// The encrypted keys of a task in Redis.
fn stored_keys(stack: &Stack, id: &str) -> Option<String> {
    let mut raw = stack.redis.raw();
    match raw.run(&["HGET", &format!("{{shuzhiren}}:task:{id}"), "keys"]) {
        Reply::Text(text) => Some(String::from_utf8(text).unwrap()),
        _ => None,
    }
}

/// Bug report 4: API nodes need a key, which is secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_reaches_the_node_and_is_shown_nowhere() {
    let stack = stack().await;
    let mut watcher = Watcher::new(&stack).await;
    let without = ends(&stack, json!({"workflow": calling("x")})).await;
    assert!(without["error"]["message"].as_str().unwrap().contains("login first"), "{without}");

    let called = ends(&stack, with_key("x")).await;
    assert_eq!(text(&called), format!("called with a key of {} bytes", KEY.len()), "{}", stack.log());
    let both =
        json!({"workflow": calling("y"), "extraData": {"api_key_comfy_org": KEY, "auth_token_comfy_org": TOKEN}});
    assert_eq!(text(&ends(&stack, both).await), format!("called with a key of {} bytes", TOKEN.len()));
    // Nodes that give it away.
    let failed = ends(&stack, with_key("fail")).await;
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains("the key *** has no credits: ***"), "{failed}");
    assert_eq!(text(&ends(&stack, with_key("echo")).await), "called with ***");
    let mut token = with_key("fail");
    token["extraData"] = json!({"auth_token_comfy_org": TOKEN});
    ends(&stack, token).await;

    let mut batch = with_key("x");
    batch["sweep"] = json!({"1.prompt": ["a", "b"]});
    let (status, batch) = stack.client.call(Method::POST, "/api/tasks", Some(batch)).await;
    assert_eq!(status, 200, "{batch}");
    for task in batch["data"]["tasks"].as_array().unwrap() {
        let task = stack.client.wait_ended(task["id"].as_str().unwrap()).await;
        assert_eq!(text(&task), format!("called with a key of {} bytes", KEY.len()));
    }
    // Everything that can be read.
    let id = failed["id"].as_str().unwrap();
    let batch_id = batch["data"]["batchId"].as_str().unwrap();
    let last = &batch["data"]["tasks"][1]["id"];
    for path in [
        format!("/api/tasks/{id}?include=workflow"),
        format!("/api/tasks/{id}/workflow?form=original"),
        format!("/api/tasks/{id}/workflow"),
        format!("/api/batches/{batch_id}"),
        "/api/tasks?limit=200".to_owned(),
        "/api/config".to_owned(),
        "/api/instances".to_owned(),
        format!("/api/instances/{}", stack.sims[0].addr()),
    ] {
        refuse_keys(&path, stack.client.get(&path).await.to_string().as_bytes());
    }
    let (status, shown) = stack.client.call(Method::POST, "/api/tasks?dryRun=true", Some(with_key("x"))).await;
    assert_eq!(status, 200, "{shown}");
    refuse_keys("a dry run", shown.to_string().as_bytes());
    loop {
        let event = watcher.next().await;
        refuse_keys("an event", event.to_string().as_bytes());
        if event["type"] == "task_completed" && event["data"]["taskId"] == *last {
            break;
        }
    }
    let metrics = format!("http://127.0.0.1:{}/metrics", stack.api.port);
    let metrics = stack.client.http().get(metrics).send().await.unwrap().text().await.unwrap();
    refuse_keys("metrics", metrics.as_bytes());
    refuse_keys("the log", (stack.log() + &stack.api_log()).as_bytes());
    refuse_keys_in_redis(&stack);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_encrypted_until_its_task_ends_and_a_retry_needs_it_again() {
    let stack = stack().await;
    enable(&stack, false).await;
    let id = stack.client.submit(with_key("x")).await;
    let stored = stored_keys(&stack, &id).unwrap();
    assert!(stored.starts_with("encrypted:v1:"), "{stored}");
    refuse_keys_in_redis(&stack);
    stack.client.delete(&format!("/api/tasks/{id}")).await;
    assert_eq!(stored_keys(&stack, &id), None, "it ends with its task");

    let path = format!("/api/tasks/{id}/retry");
    let (status, refused) = stack.client.call(Method::POST, &path, None).await;
    assert_eq!((status, &refused["error"]["type"]), (StatusCode::CONFLICT, &json!("keys_gone")), "{refused}");
    for bad in [json!({"extraData": {"client_id": "x"}}), json!({"params": {}})] {
        let (status, _) = stack.client.call(Method::POST, &path, Some(bad)).await;
        assert!(status.is_client_error());
    }
    enable(&stack, true).await;
    let again = json!({"extraData": {"api_key_comfy_org": KEY}});
    let (status, revived) = stack.client.call(Method::POST, &path, Some(again)).await;
    assert_eq!(status, 200, "{revived}");
    let ended = stack.client.wait_ended(&id).await;
    assert_eq!(text(&ended), format!("called with a key of {} bytes", KEY.len()));
    assert_eq!(stored_keys(&stack, &id), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_tells_two_keys_apart() {
    let stack = stack().await;
    let send = async |body: Value| {
        let url = format!("{}/api/tasks", stack.client.base);
        let request = stack.client.http().post(url).bearer_auth(&stack.client.token).header("Idempotency-Key", "k");
        let answer = request.json(&body).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let (first, again) = (send(with_key("x")).await, send(with_key("x")).await);
    assert_eq!((first.0, again.0), (StatusCode::OK, StatusCode::OK));
    assert_eq!(first.1["data"]["id"], again.1["data"]["id"]);
    let mut other = with_key("x");
    other["extraData"]["api_key_comfy_org"] = json!("another key");
    let (status, refused) = send(other).await;
    assert_eq!(
        (status, &refused["error"]["type"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_key_reused"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_server_serves_tasks_without_one() {
    let stack = stack().await;
    let port = stack.sims[0].addr().port();
    let put = async |ip: &str, extra: Value| {
        let server = json!({"id": "server-1", "ip": ip, "ports": [port], "extraData": extra});
        stack.client.call(Method::PUT, "/api/config", Some(json!({"servers": [server]}))).await
    };
    let (status, shown) = put("127.0.0.1", json!({"api_key_comfy_org": KEY})).await;
    assert_eq!(
        (status, &shown["data"]["servers"][0]["extraData"]),
        (StatusCode::OK, &json!({"api_key_comfy_org": "***"}))
    );
    let masked = json!({"api_key_comfy_org": "***"});
    assert_eq!(put("127.0.0.1", masked.clone()).await.0, 200, "the stored key stays");
    let (status, refused) = put("localhost", masked).await;
    assert_eq!(status, 422, "a stored key does not go to another machine: {refused}");
    assert_eq!(put("127.0.0.1", json!({"api_key": "x"})).await.0, 422);

    let expected = format!("called with a key of {} bytes", KEY.len());
    let body = || json!({"workflow": calling("x"), "maxAttempts": 1});
    // The config reaches the dispatcher a moment later.
    let task = eventually("the key is used", WAIT_MAX, || async {
        let task = ends(&stack, body()).await;
        (task["status"] == "completed").then_some(task)
    })
    .await;
    assert_eq!(text(&task), expected);
    // The instance would answer the same prompt from its cache.
    let mut own = json!({"workflow": calling("own")});
    own["extraData"] = json!({"api_key_comfy_org": "own key"});
    assert_eq!(text(&ends(&stack, own).await), "called with a key of 7 bytes", "the task's key wins");
    let failed = ends(&stack, json!({"workflow": calling("fail")})).await;
    assert!(failed["error"]["message"].as_str().unwrap().contains("***"), "{failed}");
    refuse_keys("the config", stack.client.get("/api/config").await.to_string().as_bytes());
    refuse_keys("the failure", failed.to_string().as_bytes());
    refuse_keys("the log", (stack.log() + &stack.api_log()).as_bytes());
    refuse_keys_in_redis(&stack);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_installation_key_keys_are_refused_with_the_cure() {
    let stack = Stack::start(1, 0).await;
    let server = json!({"id": "a", "ip": "127.0.0.1", "ports": [8188], "extraData": {"api_key_comfy_org": KEY}});
    for (method, path, body) in [
        (Method::POST, "/api/tasks", with_key("x")),
        (Method::POST, "/api/tasks?dryRun=true", with_key("x")),
        (Method::PUT, "/api/config", json!({"servers": [server]})),
    ] {
        let (status, refused) = stack.client.call(method, path, Some(body)).await;
        assert_eq!((status.as_u16(), &refused["error"]["type"]), (422, &json!("secret_key_missing")), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains("SHUZHIREN_SECRET_KEY"), "{refused}");
    }
    refuse_keys_in_redis(&stack);
}

/// Bug report 5: nodes read `extra_pnginfo`, which is an object; its workflow is what the editor sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_finds_the_submitted_graph_in_extra_pnginfo() {
    let stack = stack().await;
    // Different values, because the instance would answer the same ones from its cache.
    let reading = |value: &str| json!({"1": {"class_type": "NeedsPngInfo", "inputs": {"value": value}}});
    assert_eq!(text(&ends(&stack, json!({"workflow": reading("a")})).await), "null", "an object without a workflow");
    let own = json!({"workflow": reading("b"), "extraData": {"extra_pnginfo": {"workflow": {"mine": 1}}}});
    assert_eq!(text(&ends(&stack, own).await), r#"{"mine":1}"#);

    let editor = json!({"nodes": [{"id": 1, "type": "NeedsPngInfo", "mode": 0, "order": 0, "pos": [3, 4], "inputs": [],
        "outputs": [], "widgets_values": ["x"]}], "links": [], "version": 0.4});
    let submitted = ends(&stack, json!({"workflow": editor, "params": {"1.value": "y"}})).await;
    assert_eq!(serde_json::from_str::<Value>(text(&submitted)).unwrap(), editor, "as it was submitted");
    // A published workflow keeps it, too.
    stack.client.put("/api/workflows/reads", json!({"workflow": editor})).await;
    let published = ends(&stack, json!({"workflow": "reads"})).await;
    assert_eq!(serde_json::from_str::<Value>(text(&published)).unwrap(), editor, "as it was published");
}

//! Examples of bodies and responses. Tests send every body to a server, and check every response against its schema.

use serde_json::{Map, Value, json};

const WORKFLOW: &str = r#"{"3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 20}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog"}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "x"}}}"#;
const TASK: &str = r#"{"code": 200, "data": {"id": "01935f0e-7c00-7000-8000-000000000001",
    "taskId": "01935f0e-7c00-7000-8000-000000000001", "instanceId": null, "status": "pending", "progress": 0,
    "createdAt": "2024-01-01T00:00:00.000Z", "updatedAt": "2024-01-01T00:00:00.000Z", "queuedAt": "2024-01-01T00:00:00.000Z",
    "startedAt": null, "finishedAt": null, "waitedMs": 0, "owner": "admin", "priority": "normal", "attempt": 0, "maxAttempts": 3,
    "nodesDone": 0, "nodesTotal": 3}}"#;
const INSTANCE: &str = r#"{"id": "127.0.0.1:8001", "serverId": "server-1", "serverName": "主服务器", "ip": "127.0.0.1", "port": 8001,
    "enabled": true, "alive": true, "busy": false, "lastHeartbeat": "2024-01-01T00:00:00.000Z", "version": "0.3.64",
    "queueDepth": 0, "currentTaskId": null, "phase": "up", "lastError": null,
    "device": {"name": "cuda:0 NVIDIA RTX 4090", "vramTotal": 25757220864, "vramFree": 24000000000}}"#;
const NODES: &str = r#"{"code": 200, "data": {"classes": {"SaveImage": {"title": "Save Image", "category": "image", "outputNode": true,
    "inputs": [{"name": "images", "type": "IMAGE", "required": true, "link": true},
    {"name": "filename_prefix", "type": "STRING", "required": true, "default": "ComfyUI"}], "outputs": [],
    "instances": ["127.0.0.1:8001"]}}}}"#;
const FILE: &str = r#"{"code": 200, "data": {"fileId": "7f9c24e8-3b12-4b1a-9d5c-0a1b2c3d4e5f", "filename": "image.png",
    "url": "https://shuzhiren.example/upload/file/7f9c24e8-3b12-4b1a-9d5c-0a1b2c3d4e5f", "kind": "upload",
    "contentType": "image/png", "sizeBytes": 4096,
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "createdAt": "2024-01-01T00:00:00.000Z",
    "owner": "admin"}}"#;
const OVERVIEW: &str = r#"{"code": 200, "data": {"totalInstances": 8, "aliveInstances": 8, "busyInstances": 2,
    "freeInstances": 6, "pendingTasks": 5,
    "runningTasks": 2, "completedTasks": 100, "failedTasks": 0, "cancelledTasks": 1, "throughputPerMinute": 12,
    "oldestWaitingMs": 1500, "files": {"uploads": {"count": 1, "bytes": 4096}, "outputs": {"count": 100, "bytes": 90000000},
    "stored": {"count": 101, "bytes": 90004096}}, "warnings": []}}"#;
const CONFIG: &str = r#"{"servers": [{"id": "server-1", "name": "主服务器", "ip": "127.0.0.1", "ports": [8001], "enabled": true}],
    "healthCheck": {"interval": 30000}}"#;
const LOGIN: &str = r#"{"code": 200, "data": {"token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x",
    "expiresAt": "2024-01-02T00:00:00.000Z", "user": {"username": "admin", "role": "admin"}}}"#;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Bodies: (operation, name, body).
fn bodies() -> Vec<(&'static str, &'static str, Value)> {
    let workflow = parsed(WORKFLOW);
    let listed = json!([{ "nodeId": "6", "fieldName": "text", "fieldValue": "a cat" }]);
    vec![
        ("login", "administrator", json!({ "username": "admin", "password": "admin123" })),
        ("switchInstance", "drain", json!({ "enabled": false })),
        ("switchInstance", "use again", json!({ "enabled": true })),
        ("submitTask", "a workflow as it is", json!({ "workflow": workflow })),
        (
            "submitTask",
            "with values for its inputs",
            json!({ "workflow": workflow, "params": { "6.text": "a cat", "3.seed": 42 }, "strict": true }),
        ),
        (
            "submitTask",
            "with every option",
            json!({
                "workflow": workflow, "params": listed, "randomizeSeeds": "all", "autoMap": true, "priority": "high",
                "timeoutMs": 600_000, "startBy": "2100-01-01T00:00:00.000Z", "maxAttempts": 3, "metadata": { "order": 7 },
                "extraData": { "extra_pnginfo": { "order": 7 } },
            }),
        ),
        (
            "submitTask",
            "a published workflow, three times",
            json!({ "workflow": "text-to-image", "params": { "prompt": "a cat" }, "count": 3 }),
        ),
        (
            "submitTask",
            "a batch of combinations",
            json!({ "workflow": workflow, "sweep": { "3.seed": [1, 2], "6.text": ["a cat", "a dog"] } }),
        ),
        (
            "publishWorkflow",
            "with one parameter",
            json!({ "workflow": workflow, "description": "A picture of a text",
                "params": { "prompt": { "target": "6.text", "type": "string" } } }),
        ),
        ("changeConfig", "one server", parsed(CONFIG)),
        (
            "changeConfig",
            "checks only",
            json!({ "healthCheck": { "interval": 30_000, "timeout": 10_000, "failuresToDown": 3 } }),
        ),
    ]
}

/// Responses: (operation, response).
fn answers() -> Vec<(&'static str, Value)> {
    let task = parsed(TASK);
    let mut cancelled = task.clone();
    cancelled["data"]["status"] = json!("cancelled");
    cancelled["data"]["finishedAt"] = json!("2024-01-01T00:00:01.000Z");
    let page = json!({ "total": 1, "items": [task["data"]], "nextCursor": null });
    let file = parsed(FILE);
    let mut instance = parsed(INSTANCE);
    let instances = json!([instance]);
    instance["history"] = json!([{ "at": "2024-01-01T00:00:00.000Z", "phase": "up" }]);
    let config = json!({
        "servers": [{ "id": "server-1", "name": "主服务器", "ip": "127.0.0.1", "ports": [8001], "enabled": true,
            "scheme": "http", "basePath": "", "headers": {}, "extraData": {} }],
        "healthCheck": { "interval": 30_000, "timeout": 10_000, "failuresToDown": 3 }, "version": 7,
    });
    let flow = json!({ "name": "text-to-image", "version": 1, "latestVersion": 1, "versions": [1], "description": "A picture of a text",
        "params": { "prompt": { "target": "6.text", "type": "string" } }, "workflow": parsed(WORKFLOW),
        "createdAt": "2024-01-01T00:00:00.000Z", "updatedAt": "2024-01-01T00:00:00.000Z" });
    let flows = json!({ "total": 1, "items": [{ "name": flow["name"], "version": 1, "description": flow["description"],
        "params": flow["params"], "updatedAt": flow["updatedAt"] }] });
    let flow_schema = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "text-to-image@1", "type": "object",
        "properties": { "prompt": { "type": "string" } } });
    let batch = json!({ "batchId": "01935f0e-7c00-7000-8000-00000000ffff", "count": 3,
        "counts": { "pending": 2, "running": 1, "completed": 0, "failed": 0, "cancelled": 0 }, "progress": 12, "owner": "admin",
        "createdAt": "2024-01-01T00:00:00.000Z", "updatedAt": "2024-01-01T00:00:00.000Z" });
    let envelope = |data: Value| json!({ "code": 200, "data": data });
    let files = json!({ "total": 1, "items": [file["data"]] });
    vec![
        ("login", parsed(LOGIN)),
        ("listInstances", envelope(instances)),
        ("getInstance", envelope(instance.clone())),
        ("switchInstance", envelope(instance.clone())),
        ("releaseInstance", envelope(instance)),
        ("listTasks", envelope(page)),
        ("submitTask", task.clone()),
        ("getTask", task.clone()),
        ("cancelTask", cancelled),
        ("retryTask", task),
        ("getTaskWorkflow", envelope(parsed(WORKFLOW))),
        ("listWorkflows", envelope(flows)),
        ("getWorkflow", envelope(flow.clone())),
        ("publishWorkflow", envelope(flow)),
        ("getWorkflowSchema", envelope(flow_schema)),
        ("deleteWorkflow", envelope(json!({ "name": "text-to-image", "deleted": true, "lastVersion": 1 }))),
        ("getBatch", envelope(batch.clone())),
        ("cancelBatch", envelope(batch)),
        ("listNodes", parsed(NODES)),
        ("listFiles", envelope(files)),
        ("uploadFile", file.clone()),
        ("deleteFile", file),
        ("getConfig", envelope(config.clone())),
        ("changeConfig", envelope(config)),
        ("getOverview", parsed(OVERVIEW)),
        ("getHealth", envelope(json!({ "status": "ok", "redis": "connected" }))),
    ]
}

/// Adds the examples to their operations.
pub(super) fn add(document: &mut Value) {
    let (bodies, answers) = (bodies(), answers());
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        for (_, name, body) in bodies.iter().filter(|(operation, _, _)| *operation == id) {
            operation["requestBody"]["content"]["application/json"]["examples"][name] = json!({ "value": body });
        }
        for (_, answer) in answers.iter().filter(|(operation, _)| *operation == id) {
            operation["responses"]["200"]["content"]["application/json"]["example"] = answer.clone();
        }
    }
}

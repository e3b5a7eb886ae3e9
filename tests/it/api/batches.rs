//! `count` and `sweep` over HTTP: one answer, one filter, one cancel, all or nothing.

use super::{
    server::{Api, INSTANCE, Options, assert_refused, assert_time, data, token_of, workflow},
    urls::stage,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// PNG of a single black pixel, base64.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg==";

fn ids(batch: &Value) -> Vec<String> {
    batch["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

async fn input(api: &Api, id: &str, node: &str, input: &str) -> Value {
    data(&api.get(&format!("/api/tasks/{id}?include=workflow")).await)["workflow"][node]["inputs"][input].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_makes_tasks_with_seeds_of_their_own() {
    let api = Api::start().await;
    let batch = data(&api.post("/api/tasks", &json!({"workflow": workflow(), "count": 4, "priority": "high"})).await);
    assert_eq!((&batch["count"], batch.as_object().unwrap().len()), (&json!(4), 3), "{batch}");
    let seeds: BTreeSet<u64> = batch["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["resolved"]["seeds"]["3.seed"].as_u64().unwrap())
        .collect();
    assert_eq!(seeds.len(), 4);
    for (index, task) in batch["tasks"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&task["batchId"], &task["batchIndex"]), (&batch["batchId"], &json!(index)));
        assert_eq!((&task["status"], &task["priority"]), (&json!("pending"), &json!("high")));
        assert!(seeds.contains(&input(&api, task["id"].as_str().unwrap(), "3", "seed").await.as_u64().unwrap()));
    }
    assert!(ids(&batch).is_sorted(), "the ids are in the order of the batch");
    let kept = json!({"workflow": workflow(), "count": 2, "randomizeSeeds": "none"});
    let kept = data(&api.post("/api/tasks", &kept).await);
    assert_eq!(input(&api, &ids(&kept)[1], "3", "seed").await, 7, "as the graph has it");
    let set =
        data(&api.post("/api/tasks", &json!({"workflow": workflow(), "count": 2, "params": {"3.seed": 5}})).await);
    assert_eq!(input(&api, &ids(&set)[1], "3", "seed").await, 5, "as params have it");
    let one = data(&api.post("/api/tasks", &json!({"workflow": workflow(), "count": 1})).await);
    assert_eq!((&one["count"], ids(&one).len()), (&json!(1), 1));
    let plain = data(&api.post("/api/tasks", &json!({"workflow": workflow()})).await);
    assert!(plain["id"].is_string() && plain.get("batchId").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_is_every_combination_in_its_order() {
    let api = Api::start().await;
    let body = json!({"workflow": workflow(), "params": {"9.filename_prefix": "y"}, "count": 2,
        "sweep": {"3.seed": [1, 2], "3.steps": [10, 20, 30]}});
    let batch = data(&api.post("/api/tasks", &body).await);
    let ids = ids(&batch);
    assert_eq!((&batch["count"], ids.len()), (&json!(12), 12));
    let mut seen = Vec::new();
    for id in &ids {
        seen.push((
            input(&api, id, "3", "seed").await.as_u64().unwrap(),
            input(&api, id, "3", "steps").await.as_u64().unwrap(),
        ));
    }
    let order: Vec<(u64, u64)> =
        [1, 2].iter().flat_map(|seed| [10, 10, 20, 20, 30, 30].map(|steps| (*seed, steps))).collect();
    assert_eq!(seen, order);
    let last = data(&api.get(&format!("/api/tasks/{}", ids[11])).await);
    assert_eq!(last["params"], json!({"9.filename_prefix": "y", "3.seed": 2, "3.steps": 30}));

    let dry = data(&api.post("/api/tasks?dryRun=true", &body).await);
    assert_eq!((&dry["count"], &dry["workflow"]["3"]["inputs"]["steps"]), (&json!(12), &json!(10)));
    let list = data(&api.get(&format!("/api/tasks?batchId={}&limit=5", batch["batchId"].as_str().unwrap())).await);
    assert_eq!((&list["total"], &list["items"][0]["batchIndex"]), (&json!(12), &json!(11)), "the last first");
    let next = list["nextCursor"].as_str().unwrap();
    let list = data(
        &api.get(&format!("/api/tasks?batchId={}&limit=5&cursor={next}", batch["batchId"].as_str().unwrap())).await,
    );
    assert_eq!(list["items"][0]["batchIndex"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_watched_and_cancelled() {
    let api = Api::with_instance().await;
    let lease = api.lease().await;
    let batch = data(&api.post("/api/tasks", &json!({"workflow": workflow(), "count": 5})).await);
    let path = format!("/api/batches/{}", batch["batchId"].as_str().unwrap());
    let alone = api.submit().await;
    let claim = api.claim(&lease).await;
    api.queue.start(&lease, claim.task, claim.attempt).await.unwrap();
    let stand = data(&api.get(&path).await);
    assert_eq!(stand["counts"], json!({"pending": 4, "running": 1, "completed": 0, "failed": 0, "cancelled": 0}));
    assert_eq!((&stand["count"], &stand["progress"], &stand["owner"]), (&json!(5), &json!(0), &json!("admin")));
    assert_time(&stand["createdAt"]);
    let filter = format!("/api/tasks?batchId={}", batch["batchId"].as_str().unwrap());
    assert_eq!(data(&api.get(&format!("{filter}&status=running")).await)["total"], 1);

    let user = format!("Bearer {}", token_of("kim", "user"));
    for method in ["GET", "DELETE"] {
        assert_refused(&api.send(method, &path, &[("authorization", &user)], b"").await, 404, "not_found", method);
    }
    let listed = api.send("GET", &filter, &[("authorization", &user)], b"").await;
    assert_eq!(data(&listed)["total"], 0, "somebody else's");

    let ended = data(&api.delete(&path).await);
    assert_eq!(
        (&ended["cancelled"], &ended["counts"]["cancelled"], &ended["progress"]),
        (&json!(5), &json!(5), &json!(100))
    );
    assert_eq!(data(&api.delete(&path).await)["cancelled"], 0, "said again");
    assert_eq!(data(&api.get(&format!("/api/tasks/{alone}")).await)["status"], "pending", "{INSTANCE}");
    for id in ["x", &ids(&batch)[0], "00000000-0000-7000-8000-00000000ffff"] {
        assert_refused(&api.get(&format!("/api/batches/{id}")).await, 404, "not_found", id);
        assert_refused(&api.delete(&format!("/api/batches/{id}")).await, 404, "not_found", id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_of_every_task_is_told_once_and_nothing_is_accepted() {
    let api = Api::start().await;
    let before = api.snapshot();
    let body = json!({"workflow": workflow(), "params": {"77.text": "x"}, "count": 3,
        "sweep": {"3.seed": [1, {"$file": 5}, 3], "3.stepz": [1, 2], "9.images": [["3", 0], "x"]}});
    let answer = api.post("/api/tasks", &body).await;
    assert_refused(&answer, 422, "invalid_params", "a sweep");
    let details = answer.json()["error"]["details"].clone();
    let told: BTreeSet<(String, String)> = details
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["pointer"].as_str().unwrap().to_owned(), one["code"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [
        ("/params/77.text", "param_no_such_node"),
        ("/sweep/3.seed/1", "param_bad_directive"),
        ("/sweep/3.stepz/0", "param_no_such_input"),
        ("/sweep/3.stepz/1", "param_no_such_input"),
        ("/sweep/9.images/1", "param_overwrites_link"),
    ];
    assert_eq!(told, expected.iter().map(|(pointer, code)| ((*pointer).to_owned(), (*code).to_owned())).collect());
    assert_eq!(details.as_array().unwrap().len(), 5);
    let many: Vec<String> = (0..1_000).map(|number| format!("x{number}")).collect();
    let answer = api.post("/api/tasks", &json!({"workflow": workflow(), "sweep": {"3.nope": many}})).await;
    assert_eq!(answer.json()["error"]["details"].as_array().unwrap().len(), 100, "bounded");
    for (member, value, status, pointer) in [
        ("count", json!(0), 422, "/count"),
        ("count", json!(1_001), 422, "/count"),
        ("count", json!("2"), 400, "/count"),
        ("sweep", json!([]), 400, "/sweep"),
        ("sweep", json!({"3.seed": 1}), 400, "/sweep/3.seed"),
        ("sweep", json!({"3.seed": []}), 422, "/sweep/3.seed"),
        ("sweep", json!({"3.seed": vec![1; 500], "3.steps": [1, 2, 3]}), 422, "/sweep"),
    ] {
        let answer = api.post("/api/tasks", &json!({"workflow": workflow(), member: value})).await;
        assert_refused(&answer, status, "invalid_request", pointer);
        assert_eq!(answer.json()["error"]["details"][0]["pointer"], pointer);
    }
    assert!(api.snapshot() == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_accepted_whole_or_not_at_all() {
    let api = Api::start_with(Options { waiting_max: 10, rate_burst: 50, ..Options::default() }).await;
    let post = async |count: u64| api.post("/api/tasks", &json!({"workflow": workflow(), "count": count})).await;
    data(&post(8).await);
    let before = api.snapshot();
    assert_refused(&post(3).await, 429, "queue_full", "three more");
    assert!(api.snapshot() == before);
    data(&post(2).await);
    assert_refused(&post(1).await, 429, "queue_full", "the eleventh");
    let mut last = post(10).await;
    for _ in 0..5 {
        assert!(
            matches!(last.json()["error"]["type"].as_str(), Some("queue_full" | "rate_limited")),
            "{}",
            last.json()
        );
        last = post(10).await;
    }
    assert_refused(&last, 429, "rate_limited", "a batch costs what its tasks would");
}

/// Each use of a file costs Redis some microseconds, and a batch is one call.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_uses_files_five_thousand_times_at_most() {
    let api = Api::start().await;
    let file = data(&super::upload::upload(&api, "a.png", super::upload::PNG).await)["fileId"].clone();
    let node = json!({"class_type": "LoadImage", "inputs": {"image": {"$file": file}}});
    let graph: serde_json::Map<String, Value> = (0..5).map(|id| (id.to_string(), node.clone())).collect();
    let mut body = json!({"workflow": graph, "count": 1_000});
    assert_eq!(data(&api.post("/api/tasks?dryRun=true", &body).await)["count"], 1_000);
    body["workflow"]["5"] = node;
    let before = api.snapshot();
    for path in ["/api/tasks", "/api/tasks?dryRun=true"] {
        let answer = api.post(path, &body).await;
        assert_refused(&answer, 422, "invalid_request", path);
        let detail = &answer.json()["error"]["details"][0];
        assert_eq!(detail["code"], "batch_too_large");
        assert!(detail["message"].as_str().unwrap().contains("more than 5000 times"), "{detail}");
    }
    assert!(api.snapshot() == before);
}

/// A request that can never be accepted does not ask for a retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_larger_than_the_queue_is_refused_for_good() {
    let api = Api::start_with(Options { waiting_max: 10, ..Options::default() }).await;
    for (member, value) in [("count", json!(11)), ("sweep", json!({"3.steps": (1..12).collect::<Vec<_>>()}))] {
        let body = json!({"workflow": workflow(), member: value});
        for path in ["/api/tasks", "/api/tasks?dryRun=true"] {
            let answer = api.post(path, &body).await;
            assert_refused(&answer, 422, "invalid_request", member);
            let detail = &answer.json()["error"]["details"][0];
            assert_eq!((&detail["pointer"], &detail["code"]), (&json!(format!("/{member}")), &json!("too_many_tasks")));
            assert!(detail["message"].as_str().unwrap().contains("at most 10 may wait"), "{detail}");
        }
    }
    data(&api.post("/api/tasks", &json!({"workflow": workflow(), "count": 10})).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_the_whole_batch() {
    let api = Api::start().await;
    let post = async |key: &str, body: &Value| {
        api.json("POST", "/api/tasks", &[("idempotency-key", key)], body.to_string().as_bytes()).await
    };
    let body = json!({"workflow": workflow(), "count": 3});
    let first = post("k", &body).await;
    let batch = data(&first);
    assert_eq!(first.header("idempotency-replayed"), "");
    let before = api.snapshot();
    let again = post("k", &body).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((&data(&again)["batchId"], ids(&data(&again))), (&batch["batchId"], ids(&batch)));
    let single = json!({"workflow": workflow()});
    assert_refused(
        &post("k", &json!({"workflow": workflow(), "count": 4})).await,
        422,
        "idempotency_key_reused",
        "more",
    );
    assert_refused(&post("k", &single).await, 422, "idempotency_key_reused", "a single one");
    assert!(api.snapshot() == before);
    data(&post("s", &single).await);
    assert_refused(&post("s", &body).await, 422, "idempotency_key_reused", "a batch after a single one");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_inside_a_batch_are_stored_once() {
    let api = Api::start().await;
    let graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "a.png", "mask": "b.png"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}});
    let picture = |name: &str| json!({"$base64": PNG, "filename": name});
    let body = json!({"workflow": graph, "params": {"1.image": picture("one.png")}, "count": 2,
        "sweep": {"1.mask": [picture("two.png"), picture("three.png")]}});
    let batch = data(&api.post("/api/tasks", &body).await);
    assert_eq!(ids(&batch).len(), 4);
    let files = data(&api.get("/api/files").await);
    assert_eq!(files["total"], 3, "{files}");
    let mut masks = Vec::new();
    for id in ids(&batch) {
        let task = data(&api.get(&format!("/api/tasks/{id}")).await);
        assert!(task["params"]["1.image"]["$file"].is_string(), "{task}");
        masks.push(task["params"]["1.mask"]["$file"].as_str().unwrap().to_owned());
    }
    assert!(masks[0] == masks[1] && masks[2] == masks[3] && masks[0] != masks[2]);
    let stored = api.stored_files();
    let mut broken = body.clone();
    broken["sweep"]["1.mask"][1] = json!({"$base64": "***"});
    let answer = api.post("/api/tasks", &broken).await;
    assert_refused(&answer, 422, "invalid_params", "one of them is none");
    assert_eq!(answer.json()["error"]["details"][0]["pointer"], "/sweep/1.mask/1");
    let mut missing = body;
    missing["params"]["1.mask"] = json!({"$file": "0b8f3c1e-0000-4000-8000-000000000001"});
    missing.as_object_mut().unwrap().remove("sweep");
    assert_refused(&api.post("/api/tasks", &missing).await, 422, "no_such_file", "of all");
    assert_eq!(api.stored_files(), stored, "what was stored for nothing is taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_in_a_batch_is_fetched_once_for_all() {
    let (api, web) = stage().await;
    let graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "a.png", "mask": "b.png"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}});
    let link = |path: &str| json!({"$url": web.url(path)});
    let body = json!({"workflow": graph, "params": {"1.image": link("a.png")}, "count": 2,
        "sweep": {"1.mask": [link("b.png"), link("a.png")]}});
    let dry = data(&api.post("/api/tasks?dryRun=true", &body).await);
    assert_eq!((&dry["count"], &dry["warnings"][0]["code"]), (&json!(4), &json!("url_not_fetched")));
    assert_eq!(web.request_count("a.png"), 0);
    let batch = data(&api.post("/api/tasks", &body).await);
    assert_eq!((web.request_count("a.png"), web.request_count("b.png")), (1, 1));
    let mut files = Vec::new();
    for id in ids(&batch) {
        let payload = api.queue.payload(id.parse().unwrap()).await.unwrap().unwrap();
        let of = |input: &str| payload.files.iter().find(|file| file.input == input).unwrap().file_id;
        files.push((of("image"), of("mask")));
    }
    let [first, second, third, fourth] = files.as_slice() else { panic!("four: {files:?}") };
    assert!(first == second && third == fourth && first.0 == third.0);
    assert!(first.1 != first.0 && third.1 == third.0);

    let before = data(&api.get("/api/files").await)["total"].clone();
    let mut broken = body.clone();
    broken["sweep"]["1.mask"][1] = link("status/404");
    let answer = api.post("/api/tasks", &broken).await;
    assert_refused(&answer, 422, "invalid_params", "one of them is not there");
    assert_eq!(answer.json()["error"]["details"][0]["pointer"], "/sweep/1.mask/1");
    assert_eq!(data(&api.get("/api/files").await)["total"], before);
}

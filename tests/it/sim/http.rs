//! Routes, statuses and bodies; order, ids and duplicates; what a submit may carry.

use super::client::{picture, stand, stand_with, steps};
use serde_json::{Value, json};
use shuzhiren::sim::{Mode, SimOptions};

const TROUBLE: &str = "500 Internal Server Error\n\nServer got itself in trouble";

#[tokio::test]
async fn every_route_answers_with_and_without_api() {
    let stand = stand().await;
    for path in [
        "/prompt",
        "/queue",
        "/history",
        "/history/nope",
        "/system_stats",
        "/features",
        "/object_info/EmptyImage",
        "/models",
        "/models/checkpoints",
        "/embeddings",
        "/extensions",
        "/users",
    ] {
        let plain = stand.get(path).await;
        assert_eq!(plain.0, 200, "{path}");
        assert_eq!(plain, stand.get(&format!("/api{path}")).await, "{path}");
    }
    assert_eq!(stand.get("/prompt").await.1, "{\"exec_info\": {\"queue_remaining\": 0}}");
    assert_eq!(stand.get("/queue").await.1, "{\"queue_running\": [], \"queue_pending\": []}");
    assert_eq!(stand.get("/history/nope").await.1, "{}");
    assert_eq!(stand.get("/features").await.1, "{\"supports_preview_metadata\": true, \"max_upload_size\": 104857600}");
    assert_eq!(stand.get("/object_info/NoSuch").await.1, "{}");
    assert_eq!(stand.get("/internal/files/output").await.1, "[]");
    assert_eq!(stand.get_json("/system_stats").await["system"]["comfyui_version"], "0.3.64");
    let all = stand.get_json("/object_info").await;
    assert_eq!(all["KSampler"]["input"]["required"]["seed"][1]["max"], json!(u64::MAX));
    assert!(all["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0].as_array().unwrap().len() > 3);
}

#[tokio::test]
async fn wrong_paths_methods_and_bodies_are_refused_as_recorded() {
    let stand = stand().await;
    for path in ["/nope", "/api/jobs", "/models/nope", "/api/internal/logs", "/interrupt", "/api/free"] {
        assert_eq!(stand.get(path).await, (404, String::new()), "{path}");
    }
    // A 0.3 instance has no jobs API, yet a POST is a 405: the file server of the page comes last and accepts only GET.
    for path in ["/prompt", "/nope", "/api/jobs/x/cancel"] {
        let put = stand.http.put(stand.url(path)).send().await.unwrap();
        assert_eq!(
            (put.status().as_u16(), put.text().await.unwrap()),
            (405, "405: Method Not Allowed".to_owned()),
            "{path}"
        );
    }
    assert_eq!(stand.get("/internal/nope").await, (404, "404: Not Found".to_owned()));
    let options = stand.http.request(reqwest::Method::OPTIONS, stand.url("/prompt")).send().await.unwrap();
    assert_eq!(options.status(), 200);
    for (path, body) in [
        ("/prompt", ""),
        ("/prompt", "{x"),
        ("/prompt", "5"),
        ("/prompt", "{\"prompt\": null}"),
        ("/prompt", "{\"prompt\": [1]}"),
        ("/prompt", "{\"prompt\": \"x\"}"),
        ("/prompt", "{\"prompt\": {\"1\": 5}}"),
        ("/queue", ""),
        ("/history", ""),
        ("/free", ""),
        ("/queue", "{\"delete\": 5}"),
    ] {
        assert_eq!(stand.post_text(path, body).await, (500, TROUBLE.to_owned()), "{path} {body}");
    }
    assert_eq!(stand.get("/history?max_items=abc").await, (500, TROUBLE.to_owned()));
    for (path, body) in [
        ("/queue", "{}"),
        ("/history", "{}"),
        ("/free", "{}"),
        ("/queue", "{\"delete\": [\"nope\"]}"),
        ("/interrupt", ""),
    ] {
        assert_eq!(stand.post_text(path, body).await, (200, String::new()), "{path} {body}");
    }
    for body in ["{}", "[1]", "\"x\""] {
        let (status, text) = stand.post_text("/prompt", body).await;
        let error: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &error["error"]["type"]), (400, &json!("no_prompt")), "{body}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413() {
    let stand = stand_with(SimOptions { upload_bytes_max: 10_000, ..SimOptions::default() }).await;
    let (status, text) = stand.post_text("/prompt", &" ".repeat(10_001)).await;
    assert_eq!((status, text.as_str()), (413, "Maximum request body size 10000 exceeded."));
    assert_eq!(stand.post_text("/prompt", &" ".repeat(10_000)).await.0, 500);
}

#[tokio::test]
async fn an_origin_of_another_host_is_refused() {
    let stand = stand().await;
    for (origin, status) in [
        (stand.sim.url(), 200),
        ("http://evil.example".to_owned(), 403),
        (stand.sim.url().replace("127.0.0.1", "localhost"), 403),
        ("http://127.0.0.1:1".to_owned(), 403),
        ("null".to_owned(), 200),
    ] {
        let response = stand.http.get(stand.url("/prompt")).header("Origin", &origin).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{origin}");
    }
}

#[tokio::test]
async fn any_value_is_accepted_as_prompt_id() {
    let stand = stand().await;
    for (sent, id) in
        [(json!(7), "7"), (Value::Null, "None"), (json!(""), ""), (json!({"a": 1}), "{'a': 1}"), (json!("a/b"), "a/b")]
    {
        let reply = stand.submit(&json!({"prompt": steps(1, 0.0, 1), "prompt_id": sent})).await;
        assert_eq!(reply["prompt_id"], id);
    }
    let minted = stand.submit(&json!({"prompt": steps(1, 0.0, 1)})).await;
    assert!(uuid::Uuid::parse_str(minted["prompt_id"].as_str().unwrap()).is_ok());
    assert_eq!(minted["number"], 5);
    assert_eq!(stand.ended(minted["prompt_id"].as_str().unwrap()).await["prompt"][0], 5);
    assert!(stand.get_json("/history/a%2Fb").await["a/b"].is_object());
}

#[tokio::test]
async fn prompts_run_by_number_then_id() {
    let stand = stand().await;
    stand.submit(&json!({"prompt": steps(20, 0.4, 0), "prompt_id": "first"})).await;
    stand.until_running("first").await;
    for (id, extra) in [
        ("c", json!({})),
        ("b", json!({"number": 1})),
        ("a", json!({"number": "1"})),
        ("front", json!({"front": true})),
        ("z", json!({"number": -9.5})),
    ] {
        let mut body = json!({"prompt": steps(1, 0.0, 1), "prompt_id": id});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        stand.submit(&body).await;
    }
    assert_eq!(stand.get_json("/prompt").await["exec_info"]["queue_remaining"], 6);
    assert_eq!(stand.post("/prompt", &json!({"prompt": steps(1, 0.0, 1), "number": "abc"})).await.0, 500);
    stand.ended("c").await;
    let started: Vec<String> = stand
        .sim
        .log()
        .into_iter()
        .filter(|entry| entry.event == shuzhiren::sim::LogEvent::Started)
        .map(|entry| entry.prompt_id)
        .collect();
    assert_eq!(started, ["first", "z", "front", "a", "b", "c"]);
}

#[tokio::test]
async fn a_duplicate_id_runs_twice_and_leaves_one_history_entry() {
    let stand = stand().await;
    stand.submit(&json!({"prompt": steps(5, 0.1, 1), "prompt_id": "p"})).await;
    stand.until_running("p").await;
    stand.submit(&json!({"prompt": steps(5, 0.1, 2), "prompt_id": "p"})).await;
    let queue = stand.get_json("/queue").await;
    assert_eq!((&queue["queue_running"][0][1], &queue["queue_pending"][0][1]), (&json!("p"), &json!("p")));
    let entry = loop {
        let entry = stand.ended("p").await;
        if entry["prompt"][0] == 1 {
            break entry;
        }
    };
    assert_eq!(entry["prompt"][2]["1"]["inputs"]["seed"], 2);
    assert_eq!(stand.sim.executions("p"), 2);
}

#[tokio::test]
async fn pending_prompts_are_deleted_without_a_trace() {
    let stand = stand().await;
    let mut socket = stand.socket("other").await;
    stand.submit(&json!({"prompt": steps(100, 10.0, 1), "prompt_id": "run"})).await;
    stand.until_running("run").await;
    for id in ["p1", "p2", "p3"] {
        stand.submit(&json!({"prompt": steps(1, 0.0, 1), "prompt_id": id})).await;
    }
    while socket.next_json().await["data"]["status"]["exec_info"]["queue_remaining"] != 4 {}
    let ids = async || {
        let queue = stand.get_json("/queue").await;
        queue["queue_pending"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item[1].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    stand.post("/queue", &json!({"delete": ["p2", "run", "nope"]})).await;
    assert_eq!(ids().await, ["p1", "p3"]);
    while socket.next_json().await["data"]["status"]["exec_info"]["queue_remaining"] != 3 {}
    stand.post("/queue", &json!({"delete": "p1"})).await;
    assert_eq!(ids().await, ["p1", "p3"], "Python iterates over the letters of a string");
    stand.post("/queue", &json!({"clear": true})).await;
    assert!(ids().await.is_empty());
    assert_eq!(stand.get_json("/history/p2").await, json!({}));
    stand.post_text("/interrupt", "").await;
    assert_eq!(stand.ended("run").await["status"]["status_str"], "error");
}

#[tokio::test]
async fn history_can_be_listed_deleted_and_cleared() {
    let stand = stand().await;
    for id in ["a", "b", "c"] {
        stand
            .submit(
                &json!({"prompt": steps(1, 0.0, 1), "prompt_id": id, "extra_data": {"api_key_comfy_org": "s3cret"}}),
            )
            .await;
        let entry = stand.ended(id).await;
        assert_eq!(entry["prompt"][3], json!({}), "secrets must not be in the history");
    }
    let ids = async |path: &str| stand.get_json(path).await.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(ids("/history").await, ["a", "b", "c"]);
    assert_eq!(ids("/history?max_items=2").await, ["b", "c"]);
    assert_eq!(ids("/history?max_items=1&offset=1").await, ["b"]);
    stand.post("/history", &json!({"delete": ["b"]})).await;
    assert_eq!(ids("/history").await, ["a", "c"]);
    stand.post("/history", &json!({"clear": true})).await;
    assert!(ids("/history").await.is_empty());
}

#[tokio::test]
async fn u64_seeds_are_exact() {
    let stand = stand().await;
    let max = "{\"prompt\": {\"1\": {\"class_type\": \"TestStepsText\", \"inputs\": {\"steps\": 1, \"seconds\": 0.0, \"text\": \"x\", \"seed\": SEED}}}, \"prompt_id\": \"p\"}";
    assert_eq!(stand.post_text("/prompt", &max.replace("SEED", "18446744073709551615")).await.0, 200);
    stand.ended("p").await;
    assert!(stand.get("/history/p").await.1.contains("\"seed\": 18446744073709551615"));
    let (status, text) = stand.post_text("/prompt", &max.replace("SEED", "18446744073709551616")).await;
    assert!(status == 400 && text.contains("value_bigger_than_max"), "{text}");
}

#[tokio::test]
async fn unused_nodes_are_harmless_unless_they_lack_inputs() {
    let stand = stand().await;
    let mut graph = picture(8, "x");
    graph["3"] = json!({"class_type": "ImageInvert", "inputs": {"image": ["99", 0]}});
    graph["4"] = json!({"class_type": "EmptyImage", "inputs": {"width": "wide"}});
    assert_eq!(stand.run(&graph).await["status"]["status_str"], "success");
    graph["5"] = json!({"class_type": "EmptyImage"});
    stand.submit(&json!({"prompt": graph, "prompt_id": "zombie"})).await;
    stand.until_running("zombie").await;
    stand.submit(&json!({"prompt": steps(1, 0.0, 1), "prompt_id": "next"})).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let queue = stand.get_json("/queue").await;
    assert_eq!((&queue["queue_running"][0][1], &queue["queue_pending"][0][1]), (&json!("zombie"), &json!("next")));
    assert_eq!(stand.get_json("/sim/state").await["zombie"], true);
}

#[tokio::test]
async fn too_long_chains_are_refused_without_overflow() {
    let stand = stand_with(SimOptions { mode: Mode::V03, ..SimOptions::default() }).await;
    let chain = |length: usize| {
        let mut graph = picture(8, "x");
        for at in 0..length {
            let from = if at == 0 { "1".to_owned() } else { format!("n{}", at - 1) };
            graph[format!("n{at}")] = json!({"class_type": "ImageInvert", "inputs": {"image": [from, 0]}});
        }
        graph["2"]["inputs"]["images"] = json!([format!("n{}", length - 1), 0]);
        graph
    };
    assert_eq!(stand.post("/prompt", &json!({"prompt": chain(300), "prompt_id": "p"})).await.0, 200);
    for length in [1_500, 50_000] {
        let (status, text) = stand.post("/prompt", &json!({"prompt": chain(length)})).await;
        assert!(status == 400 && text.contains("maximum recursion depth"), "{length}: {status}");
    }
    assert_eq!(stand.ended("p").await["status"]["status_str"], "success");
}

#[tokio::test]
async fn no_request_ends_the_process() {
    let stand = stand().await;
    let values = [
        json!(null),
        json!(5),
        json!("x"),
        json!([]),
        json!({}),
        json!([1, 2]),
        json!(["1", 0]),
        json!(true),
        json!(-1e300),
    ];
    for value in &values {
        for path in ["/prompt", "/queue", "/history", "/interrupt", "/free", "/upload/image", "/upload/mask"] {
            stand.post(path, value).await;
        }
        for key in
            ["prompt", "prompt_id", "extra_data", "number", "front", "partial_execution_targets", "delete", "clear"]
        {
            stand.post("/queue", &json!({key: value})).await;
            let mut body = json!({"prompt": steps(1, 0.0, 1)});
            body[key] = value.clone();
            if key != "extra_data" {
                stand.post("/prompt", &body).await;
            }
        }
        for class in ["EmptyImage", "KSampler", "SaveImage", "LoadImage", "TestSteps", "ImageScaleBy", "PreviewAny"] {
            let mut graph = picture(8, "x");
            for (name, _) in
                stand.get_json(&format!("/object_info/{class}")).await[class]["input"]["required"].as_object().unwrap()
            {
                graph["7"] = json!({"class_type": class, "inputs": {name: value}});
                graph["8"] = json!({"class_type": "PreviewAny", "inputs": {"source": ["7", 0]}});
                stand.post("/prompt", &json!({"prompt": graph})).await;
            }
        }
    }
    for path in [
        "/history/%ff",
        "/view?filename=%00",
        "/view?filename=a%0ab&type=input",
        "/history?max_items=-5&offset=-5",
        "/ws",
        "/object_info/%2F",
    ] {
        stand.get(path).await;
    }
    stand.post("/interrupt", &json!({})).await;
    assert_eq!(stand.run(&picture(8, "after")).await["status"]["status_str"], "success");
}

/// Expected answers were recorded from a live 0.3.64.
#[tokio::test]
async fn malformed_inputs_are_refused_with_pythons_errors() {
    let stand = stand().await;
    let refused = async |node: Value| {
        let mut graph = picture(8, "x");
        graph["1"] = node;
        let (status, text) = stand.post("/prompt", &json!({"prompt": graph})).await;
        assert_eq!(status, 400, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["node_errors"]["1"]["errors"].clone()
    };
    let empty = |inputs: Value| json!({"class_type": "EmptyImage", "inputs": inputs});
    assert_eq!(refused(empty(json!(["1"]))).await.as_array().unwrap().len(), 4, "each required input is missing");
    assert_eq!(refused(empty(json!(5))).await[0]["details"], "argument of type 'int' is not iterable");
    let load = refused(json!({"class_type": "LoadImage", "inputs": {"image": 5}})).await;
    assert_eq!(load[0]["type"], "exception_during_inner_validation");
    assert_eq!(load[0]["details"], "'int' object has no attribute 'endswith'");
    let slot = refused(empty(json!({"width": ["2", "0"], "height": 1, "batch_size": 1, "color": 1}))).await;
    assert_eq!(slot[0]["details"], "tuple indices must be integers or slices, not str");
    let mut graph = picture(8, "x");
    graph["2"]["inputs"]["images"] = json!(5);
    let entry = stand.run(&graph).await;
    assert_eq!(entry["status"]["messages"][2][1]["exception_message"], "'int' object is not subscriptable\n");
}

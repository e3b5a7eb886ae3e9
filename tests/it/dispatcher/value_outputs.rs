//! Results besides `{filename}`: values of every key, long texts, bare paths, and names that are never used twice.

use super::completes_once;
use crate::support::stack::Stack;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn ui_out(ui: &Value) -> Value {
    json!({"workflow": {"1": {"class_type": "UiOut", "inputs": {"ui": ui.to_string()}}}})
}

fn outputs(task: &Value) -> &Vec<Value> {
    task["result"]["outputs"].as_array().unwrap()
}

async fn bytes_of(stack: &Stack, output: &Value) -> Vec<u8> {
    stack.client.download(output["url"].as_str().unwrap()).await
}

/// Bug reports 7 and 8: values of any key arrive with their kind, long ones as files, none is missing.
#[tokio::test]
async fn every_value_of_a_result_is_an_output() {
    let stack = Stack::start(1, 1).await;
    let long = json!({"points": (0..60_000).collect::<Vec<_>>()}).to_string();
    assert!(long.len() > 300_000);
    let ui = json!({"value": [0.873, true], "tags": ["cat, dog"], "openpose_json": ["[{\"people\": []}]"],
        "text": [long, "short"], "animated": [false], "nothing": [null, [], {}]});
    let task = completes_once(&stack, ui_out(&ui)).await;
    let seen: Vec<(&str, &str, &str)> = outputs(&task)
        .iter()
        .map(|output| {
            let word = |name: &str| output[name].as_str().unwrap();
            assert_eq!(output["nodeId"], "1");
            (word("key"), word("kind"), word("text"))
        })
        .collect();
    let expected = [
        ("value", "number", "0.873"),
        ("value", "boolean", "true"),
        ("tags", "text", "cat, dog"),
        ("openpose_json", "json", "[{\"people\": []}]"),
        ("text", "text", &long[..1024]),
        ("text", "text", "short"),
    ];
    assert_eq!(seen, expected, "{task}");
    assert_eq!((&outputs(&task)[0]["value"], &outputs(&task)[1]["value"]), (&json!(0.873), &json!(true)));
    assert!(task.get("warnings").is_none(), "{task}");
    let stored = &outputs(&task)[4];
    assert_eq!((&stored["truncated"], &stored["sizeBytes"]), (&json!(true), &json!(long.len())), "{stored}");
    assert_eq!(stored["contentType"], "application/json");
    assert_eq!(String::from_utf8(bytes_of(&stack, stored).await).unwrap(), long);
    assert_eq!(task["result"]["files"], json!([stored["url"]]));

    // More than 1 MiB of texts that are short each: the rest are files.
    let sixty: Vec<String> = (0..60).map(|n| format!("{n:02}{}", "x".repeat(60_000))).collect();
    let task = completes_once(&stack, ui_out(&json!({"text": sixty}))).await;
    assert_eq!(outputs(&task).len(), 60);
    for (n, output) in outputs(&task).iter().enumerate() {
        assert!(output["text"].as_str().unwrap().starts_with(&format!("{n:02}x")), "{n}");
        assert_eq!(output["truncated"] == true, output["fileId"].is_string(), "{n}");
    }
    let last = bytes_of(&stack, &outputs(&task)[59]).await;
    assert_eq!((last.len(), &last[..2]), (60_002, &b"59"[..]));
}

/// Protocol §18: savers of 3D files name them by a bare string, in the folder of outputs or of temporary files.
#[tokio::test]
async fn a_3d_file_named_by_a_string_is_fetched_from_where_it_is() {
    let stack = Stack::start(1, 1).await;
    let graph = json!({
        "1": {"class_type": "UiOut", "inputs": {"ui": json!({"result": ["3d/x_00001.glb", null, []]}).to_string()}},
        "2": {"class_type": "UiOut", "inputs": {"ui": json!({"result": ["p_1f.ply"]}).to_string(), "folder": "temp"}},
        // The stand-in makes no such file: the string is only a text.
        "3": {"class_type": "UiOut", "inputs": {"ui": json!({"name": ["chair.usdz"]}).to_string()}},
        "4": {"class_type": "UiOut", "inputs": {"ui": json!({"files": [{"filename": "a.csv", "subfolder": "t"}]}).to_string()}},
    });
    let task = completes_once(&stack, json!({"workflow": graph})).await;
    let rows: Vec<Value> = outputs(&task)
        .iter()
        .map(|output| {
            json!([
                output["nodeId"],
                output["kind"],
                output["contentType"],
                output["originalName"],
                output["subfolder"],
                output["temporary"],
                output["text"]
            ])
        })
        .collect();
    assert_eq!(
        rows,
        [
            json!(["1", "model3d", "model/gltf-binary", "x_00001.glb", "3d", null, null]),
            json!(["2", "model3d", "model/ply", "p_1f.ply", null, true, null]),
            json!(["3", "text", null, null, null, null, "chair.usdz"]),
            json!(["4", "file", "text/csv", "a.csv", "t", null, null]),
        ],
        "{task}"
    );
    assert!(bytes_of(&stack, &outputs(&task)[0]).await.starts_with(b"glTF"));
    let [warning] = &task["warnings"].as_array().unwrap()[..] else { panic!("{task}") };
    assert_eq!(
        (&warning["code"], &warning["nodeId"], &warning["key"]),
        (&json!("output_dropped"), &json!("3"), &json!("name"))
    );
    assert!(warning["message"].as_str().unwrap().contains("chair.usdz"), "{warning}");
}

/// `/view` serves files by a folder of the machine, and a name may contain its folder.
#[tokio::test]
async fn a_file_that_the_instance_serves_arrives_however_it_is_named() {
    let stack = Stack::start(1, 1).await;
    let out = |ui: Value| json!({"class_type": "UiOut", "inputs": {"ui": ui.to_string()}});
    let graph = json!({
        "1": out(json!({"result": ["/comfyui/output/hy/abs.glb"]})),
        "2": out(json!({"images": [{"filename": "p.png", "subfolder": "/comfyui/output/q", "type": "output"}]})),
        "3": out(json!({"images": [{"filename": "r/p.png", "subfolder": "", "type": null}]})),
        "4": out(json!({"images": [{"filename": "x.png", "subfolder": "/etc", "made": false}]})),
    });
    let task = completes_once(&stack, json!({"workflow": graph})).await;
    let rows: Vec<Value> = outputs(&task)
        .iter()
        .map(|output| json!([output["nodeId"], output["kind"], output["originalName"], output["subfolder"]]))
        .collect();
    let expected = [
        json!(["1", "model3d", "abs.glb", null]),
        json!(["2", "image", "p.png", null]),
        json!(["3", "image", "p.png", "r"]),
    ];
    assert_eq!(rows, expected, "{task}");
    assert!(!task.to_string().contains("comfyui/output"), "no folder of the machine is shown: {task}");
    let [warning] = &task["warnings"].as_array().unwrap()[..] else { panic!("{task}") };
    assert_eq!((&warning["code"], &warning["nodeId"]), (&json!("output_dropped"), &json!("4")), "{task}");
}

/// Previews that are gone, files elsewhere, and one missing file of several cost no result.
#[tokio::test]
async fn what_cannot_be_fetched_is_left_out_with_a_warning() {
    let stack = Stack::start(1, 1).await;
    let out = |ui: Value| json!({"class_type": "UiOut", "inputs": {"ui": ui.to_string()}});
    let graph = json!({
        "1": out(json!({"images": [{"filename": "kept.png"}, {"filename": "lost.png", "made": false}]})),
        "2": out(json!({"images": [{"filename": "preview.png", "type": "temp", "made": false}]})),
        "3": out(json!({"images": [{"filename": "a.png", "type": "s3", "made": false}]})),
        "4": out(json!({"images": [{"filename": "https://example.com/a.png", "made": false}]})),
        "5": out(json!({"images": [{"filename": "../x.png", "made": false}]})),
    });
    let task = completes_once(&stack, json!({"workflow": graph})).await;
    let kinds: Vec<Value> = outputs(&task).iter().map(|one| json!([one["nodeId"], one["kind"]])).collect();
    assert_eq!(kinds, [json!(["1", "image"]), json!(["3", "json"]), json!(["4", "json"])], "{task}");
    assert!(outputs(&task)[2]["text"].as_str().unwrap().contains("https://example.com/a.png"), "{task}");
    let warnings = task["warnings"].as_array().unwrap();
    assert!(warnings.iter().all(|warning| warning["code"] == "output_dropped"), "{task}");
    let nodes: BTreeSet<&str> = warnings.iter().map(|warning| warning["nodeId"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["1", "2", "3", "4", "5"].into(), "{task}");
}

#[tokio::test]
async fn a_completed_task_without_outputs_says_why() {
    let stack = Stack::start(1, 1).await;
    let task = completes_once(&stack, ui_out(&json!({}))).await;
    assert_eq!(task["result"]["outputs"], json!([]));
    let [warning] = &task["warnings"].as_array().unwrap()[..] else { panic!("{task}") };
    assert_eq!(warning["code"], "no_outputs", "{task}");
}

/// Bug report 11: what the clients of the README save under `filename` never overwrites anything.
#[tokio::test]
async fn two_runs_of_two_savers_have_four_names() {
    let stack = Stack::start(1, 1).await;
    let save =
        |prefix: &str| json!({"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}});
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 7}},
        "9": save("front/img"), "10": save("back/img"),
    });
    let (mut names, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..2 {
        let task = completes_once(&stack, json!({"workflow": graph})).await;
        let id = task["id"].as_str().unwrap().replace('-', "");
        for output in outputs(&task) {
            let name = output["filename"].as_str().unwrap();
            assert!(name.starts_with(&format!("img_{}_0000", &id[16..])) && name.ends_with(".png"), "{name}");
            assert_eq!(output["originalName"], "img_00001_.png");
            names.insert(name.to_lowercase());
            folders.insert(output["subfolder"].as_str().unwrap().to_owned());
            let answer = reqwest::Client::new().head(output["url"].as_str().unwrap()).send().await.unwrap();
            let disposition = answer.headers()["content-disposition"].to_str().unwrap();
            assert_eq!(disposition, format!("inline; filename=\"{name}\"; filename*=UTF-8''{name}"));
        }
        let again = stack.client.task(task["id"].as_str().unwrap()).await;
        assert_eq!(again["result"], task["result"], "a name does not change");
    }
    assert_eq!((names.len(), folders), (4, ["back", "front"].map(str::to_owned).into()), "{names:?}");
}

/// The second run of a workflow is measured by the times of the first, and says how long it still takes.
#[tokio::test]
async fn progress_follows_the_times_of_the_first_run() {
    let stack = Stack::start(1, 1).await;
    let graph = |seed: u64| {
        json!({"workflow": {
            "1": {"class_type": "TestStepsText", "inputs": {"steps": 1, "seconds": 0.0, "text": "a", "seed": seed, "preview": false}},
            "2": {"class_type": "TestStepsText", "inputs": {"steps": 20, "seconds": 2.0, "text": "b", "seed": seed, "preview": false}},
        }})
    };
    let first = completes_once(&stack, graph(1)).await;
    assert!(first["waitedMs"].is_u64() && first.get("remainingMs").is_none(), "{first}");
    let id = stack.client.submit(graph(2)).await;
    let halfway = crate::support::eventually("steps are reported", crate::support::stack::WAIT_MAX, || async {
        let task = stack.client.task(&id).await;
        assert_ne!(task["status"], "completed", "it was not seen while it ran");
        task["step"].as_u64().is_some_and(|step| step >= 3).then_some(task)
    })
    .await;
    let (step, steps) = (halfway["step"].as_u64().unwrap(), halfway["steps"].as_u64().unwrap());
    assert_eq!((steps, halfway["currentNode"].as_str()), (20, Some("2")), "{halfway}");
    // Node 1 took no time: the share of the steps is that of the run.
    let percent = halfway["progress"].as_u64().unwrap();
    assert!(percent.abs_diff(step * 100 / steps) <= 10, "{halfway}");
    assert!(halfway["remainingMs"].as_u64().is_some_and(|ms| ms < 20_000), "{halfway}");
    let ended = stack.client.wait_ended(&id).await;
    assert!(ended.get("step").is_none() && ended.get("remainingMs").is_none(), "{ended}");
}

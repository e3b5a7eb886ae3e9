//! Every kind of output that known nodes make: typed, with facts from its header, in graph order, from every folder.

use super::{
    completes_once,
    http_proxy::{Action, HttpProxy},
    proxied,
};
use crate::support::stack::{Stack, workflow};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Graph with one of each saving node, in another order than they execute.
fn all_savers() -> Value {
    let save = |class: &str, input: &str, from: &str, more: Value| {
        let mut inputs = json!({input: [from, 0], "filename_prefix": "kind/of/x"});
        inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"class_type": class, "inputs": inputs})
    };
    let film = json!({"fps": 6.0, "lossless": true, "quality": 80, "method": "default", "compress_level": 4, "codec": "vp9", "crf": 32.0});
    json!({
        "40": {"class_type": "PreviewAny", "inputs": {"source": "a text"}},
        "31": save("SaveLatent", "samples", "30", json!({})),
        "24": {"class_type": "PreviewAudio", "inputs": {"audio": ["20", 0]}},
        "23": save("SaveAudioOpus", "audio", "20", json!({"quality": "128k"})),
        "22": save("SaveAudioMP3", "audio", "20", json!({"quality": "V0"})),
        "21": save("SaveAudio", "audio", "20", json!({})),
        "16": save("SaveWEBM", "images", "1", film.clone()),
        "15": save("SaveVideo", "video", "14", json!({"format": "auto", "codec": "auto"})),
        "13": save("SaveAnimatedPNG", "images", "1", film.clone()),
        "12": save("SaveAnimatedWEBP", "images", "1", film),
        "11": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "10": save("SaveImage", "images", "1", json!({})),
        "1": {"class_type": "EmptyImage", "inputs": {"width": 48, "height": 32, "batch_size": 2, "color": 7}},
        "14": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 24.0}},
        "20": {"class_type": "EmptyAudio", "inputs": {"duration": 1.0, "sample_rate": 44_100, "channels": 2}},
        "30": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    })
}

fn listed(task: &Value) -> Vec<(String, String, String, bool)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let outputs = task["result"]["outputs"].as_array().unwrap();
    outputs
        .iter()
        .map(|output| {
            let is_temporary = output["temporary"] == true;
            (word(&output["nodeId"]), word(&output["kind"]), word(&output["contentType"]), is_temporary)
        })
        .collect()
}

fn expected(rows: &[(&str, &str, &str, bool)]) -> Vec<(String, String, String, bool)> {
    rows.iter().map(|row| (row.0.to_owned(), row.1.to_owned(), row.2.to_owned(), row.3)).collect()
}

#[tokio::test]
async fn every_kind_is_returned_typed_and_complete() {
    let stack = Stack::start(1, 1).await;
    let task = completes_once(&stack, json!({"workflow": all_savers()})).await;
    let rows = [
        ("40", "text", "", false),
        ("31", "latent", "application/octet-stream", false),
        ("24", "audio", "audio/flac", true),
        ("23", "audio", "audio/ogg", false),
        ("22", "audio", "audio/mpeg", false),
        ("21", "audio", "audio/flac", false),
        ("16", "video", "video/webm", false),
        ("15", "video", "video/mp4", false),
        ("13", "image", "image/png", false),
        ("12", "image", "image/webp", false),
        ("11", "image", "image/png", true),
        ("11", "image", "image/png", true),
        ("10", "image", "image/png", false),
        ("10", "image", "image/png", false),
    ];
    assert_eq!(listed(&task), expected(&rows), "{task}");
    let files = task["result"]["files"].as_array().unwrap();
    let outputs: Vec<&Value> =
        task["result"]["outputs"].as_array().unwrap().iter().filter(|output| output["kind"] != "text").collect();
    assert_eq!(files.len(), outputs.len());
    for (link, output) in files.iter().zip(&outputs) {
        assert_eq!(link, &output["url"]);
        let bytes = stack.client.download(link.as_str().unwrap()).await;
        assert_eq!(json!(bytes.len()), output["sizeBytes"], "{output}");
        if output["kind"] == "image" {
            assert_eq!((&output["width"], &output["height"]), (&json!(48), &json!(32)), "{output}");
        }
    }
    let contents: BTreeSet<&str> = outputs.iter().map(|output| output["sha256"].as_str().unwrap()).collect();
    assert_eq!(stack.stored_files().len(), contents.len(), "one object for the same bytes");

    // The instance answers again from its cache; the next task has files of its own.
    let preview = json!({"1": all_savers()["1"], "11": all_savers()["11"]});
    let mut ids = vec![];
    for _ in 0..2 {
        let task = completes_once(&stack, json!({"workflow": preview})).await;
        assert_eq!(listed(&task), expected(&[("11", "image", "image/png", true); 2]), "{task}");
        for output in task["result"]["outputs"].as_array().unwrap() {
            assert!(stack.client.download(output["url"].as_str().unwrap()).await.starts_with(b"\x89PNG"));
            assert!(!ids.contains(&output["fileId"]), "a file of another task");
            ids.push(output["fileId"].clone());
        }
    }
}

/// Outputs of custom nodes: unknown keys, 3D, videos as `gifs`, nested lists.
#[tokio::test]
async fn unknown_keys_with_a_file_name_are_outputs() {
    let (stack, proxy) = proxied(&[]).await;
    stack.sims[0].set(|faults| faults.ws_lose = vec!["executed".to_owned()]);
    proxy.rule(
        "GET /history/",
        usize::MAX,
        Action::Edit(|text| {
            let mut history: Value = serde_json::from_str(&text).unwrap();
            for entry in history.as_object_mut().unwrap().values_mut() {
                entry["outputs"]["3"] = json!({
                    "gifs": [[{"filename": "a.mp4", "subfolder": "x/y", "type": "output", "format": "video/h264-mp4"}]],
                    "3d": [{"filename": "b.glb", "subfolder": "", "type": "temp"}],
                    "whatever": {"filename": "c.zip"},
                    "flag": [true, 7, null],
                });
            }
            history.to_string()
        }),
    );
    forge(&proxy, "GET /view?filename=a.mp4&subfolder=x%2Fy&type=output", "\0\0\0\u{18}ftypisom0000isom0000");
    forge(&proxy, "GET /view?filename=b.glb&subfolder=&type=temp", "glTF\u{2}\0\0\0");
    forge(&proxy, "GET /view?filename=c.zip&subfolder=&type=output", "PK\u{3}\u{4}");
    let task = completes_once(&stack, json!({"workflow": workflow::quick(3)})).await;
    let rows = [
        ("3", "video", "video/mp4", false),
        ("3", "model3d", "model/gltf-binary", true),
        ("3", "file", "application/zip", false),
        ("3", "boolean", "", false),
        ("3", "number", "", false),
    ];
    assert_eq!(listed(&task), expected(&rows), "{task}");
}

/// Pictures that are sent over the WebSocket only, in the order of the graph; the previews of a node that others use are
/// none.
#[tokio::test]
async fn pictures_sent_over_the_socket_are_outputs() {
    let stack = Stack::start(1, 1).await;
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 6, "batch_size": 3, "color": 7}},
        "4": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["2", 0]}},
        "2": {"class_type": "TestSteps", "inputs": {"steps": 2, "seconds": 0.0, "image": ["1", 0], "preview": true}},
        "3": {"class_type": "PreviewAny", "inputs": {"source": "last"}},
    });
    let task = completes_once(&stack, json!({"workflow": graph})).await;
    let mut rows = vec![("4", "image", "image/png", false); 3];
    rows.push(("3", "text", "", false));
    assert_eq!(listed(&task), expected(&rows), "{task}");
    for output in &task["result"]["outputs"].as_array().unwrap()[..3] {
        assert_eq!((&output["width"], &output["height"], &output["key"]), (&json!(8), &json!(6), &json!("websocket")));
        assert!(stack.client.download(output["url"].as_str().unwrap()).await.starts_with(b"\x89PNG"));
    }
    assert!(task.get("warnings").is_none(), "{task}");
}

fn forge(proxy: &HttpProxy, line: &'static str, body: &str) {
    proxy.rule(line, 1, Action::Forge(200, body.to_owned()));
}

//! Checks of a publication, and the files that it keeps.

use super::{
    flows::{publication, submit, wait_until_checked},
    params::seen,
    server::{Api, assert_refused, data},
    upload::{PNG, upload},
    urls::stage,
};
use serde_json::{Value, json};

/// Files that graph or defaults name can be deleted only after the workflow, so that a submit by name finds them.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_file_stays_while_its_workflow_is_published() {
    let api = Api::start().await;
    let file = data(&upload(&api, "a.png", PNG).await)["fileId"].as_str().unwrap().to_owned();
    let other = data(&upload(&api, "b.png", b"another").await)["fileId"].as_str().unwrap().to_owned();
    let third = data(&upload(&api, "c.png", b"a third").await)["fileId"].as_str().unwrap().to_owned();
    let mut body = publication();
    body["params"]["picture"]["default"] = json!(file);
    body["workflow"]["6"] = json!({"class_type": "LoadImage", "inputs": {"image": {"$file": other}}});
    // Bug report 12: the host of the request is ours, as is the public URL.
    let link = format!("http://test/upload/file/{third}");
    body["workflow"]["7"] = json!({"class_type": "LoadImage", "inputs": {"image": {"$url": link}}});
    data(&api.put("/api/workflows/portrait", &body).await);
    for id in [&file, &other, &third] {
        let answer = api.delete(&format!("/api/files/{id}")).await;
        assert_refused(&answer, 409, "file_in_use", "published");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("portrait@1") && message.contains("delete that workflow"), "{message}");
    }
    submit(&api, "portrait", json!({"prompt": "x", "6.image": "x.png"})).await;
    data(&api.delete("/api/workflows/portrait").await);
    data(&api.delete(&format!("/api/files/{other}")).await);
    let answer = api.delete(&format!("/api/files/{file}")).await;
    assert_refused(&answer, 409, "file_in_use", "the task has it");
    assert!(answer.json()["message"].as_str().unwrap().contains("task"));
}

/// A publication refuses what every submit of it would refuse, and accepts the editor's format as a submit does.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_is_judged_as_a_submit() {
    let (api, web) = stage().await;
    let config = json!({"servers": [{"id": "s", "name": "s", "ip": "127.0.0.1", "ports": [8001]}]});
    assert_eq!(api.put("/api/config", &config).await.status, 200);
    let _lease = seen(&api, "127.0.0.1:8001", &["a", "b"]).await;
    wait_until_checked(&api).await;
    let load = |image: Value| {
        json!({"1": {"class_type": "LoadImage", "inputs": {"image": image}},
               "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}})
    };
    let base64 = json!({"$base64": "aGk="});
    for (image, code) in [
        (json!({"$url": "http://169.254.169.254/latest/meta-data/"}), "param_url_not_allowed"),
        (json!("http://169.254.169.254/latest/meta-data/"), "param_url_not_allowed"),
        (json!({"$url": "file:///etc/passwd"}), "param_url_invalid"),
        (json!({"$url": "https://x/a.png", "sha256": "abc"}), "workflow_bad_file"),
        (base64.clone(), "workflow_bad_directive"),
        (json!({"$literal": "x"}), "workflow_bad_directive"),
    ] {
        let body = json!({"workflow": load(image)});
        for answer in [api.put("/api/workflows/w", &body).await, api.post("/api/tasks", &body).await] {
            assert_refused(&answer, 422, "invalid_workflow", &body.to_string());
            let detail = &answer.json()["error"]["details"][0];
            assert_eq!(
                (&detail["code"], &detail["pointer"]),
                (&json!(code), &json!("/workflow/1/inputs/image")),
                "{body}"
            );
        }
    }
    let many: serde_json::Map<String, Value> =
        (0..33).map(|n| (n.to_string(), load(json!({"$url": format!("https://x/{n}.png")}))["1"].clone())).collect();
    assert_refused(&api.put("/api/workflows/w", &json!({"workflow": many})).await, 422, "invalid_workflow", "33 URLs");
    assert_refused(&api.get("/api/workflows/w").await, 404, "not_found", "nothing was kept");
    // In params it is taken.
    let told = json!({"workflow": load(json!("a.png")), "params": {"1.image": base64}});
    data(&api.post("/api/tasks?dryRun=true", &told).await);

    let ui = json!({"nodes": [
        {"id": 1, "type": "LoadImage", "mode": 0, "widgets_values": [web.url("a.png")], "outputs": [{"type": "IMAGE"}]},
        {"id": 9, "type": "SaveImage", "mode": 0, "inputs": [{"name": "images", "type": "IMAGE", "link": 1}]}
    ], "links": [[1, 1, 0, 9, 0, "IMAGE"]]});
    let body = json!({"workflow": ui, "params": {"picture": {"target": "1.image", "type": "image"}}});
    let kept = data(&api.put("/api/workflows/w", &body).await);
    assert_eq!(kept["warnings"][0]["code"], "workflow_converted", "{kept}");
    assert_eq!(kept["workflow"]["9"]["inputs"], json!({"images": ["1", 0]}));
    assert_eq!(data(&api.put("/api/workflows/w", &body).await)["version"], 1, "the same again");
    assert_eq!(web.request_count("a.png"), 0);
    submit(&api, "w", json!({})).await;
    assert_eq!(web.request_count("a.png"), 1, "fetched for the task");
}

//! Node classes of the fleet, merged for forms.

use super::{
    params::{OTHER, seen, two_instances},
    server::{INSTANCE, assert_refused, data},
};
use crate::support::eventually;
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_fleets_classes_are_merged_and_said_once() {
    let api = two_instances().await;
    assert_eq!(data(&api.get("/api/nodes").await), json!({"classes": {}}), "nothing is known yet");
    seen(&api, INSTANCE, &["a"]).await;
    seen(&api, OTHER, &["b", "a"]).await;
    let all = eventually("both are known", Duration::from_secs(20), || async {
        let all = api.get("/api/nodes").await;
        (data(&all)["classes"]["Loader"]["instances"] == json!([INSTANCE, OTHER])).then_some(all)
    })
    .await;
    let classes = data(&all)["classes"].clone();
    assert_eq!(classes.as_object().unwrap().len(), 5);
    let loader = &classes["Loader"]["inputs"][0];
    assert_eq!(
        (&loader["name"], &loader["type"], &loader["options"]),
        (&json!("ckpt_name"), &json!("COMBO"), &json!(["a", "b"]))
    );
    assert_eq!(
        classes["KSampler"]["inputs"],
        json!([{"name": "seed", "type": "INT", "required": true, "min": 0, "max": u64::MAX},
               {"name": "steps", "type": "INT", "required": true, "min": 1, "max": 100}])
    );
    assert_eq!(
        (&classes["SaveImage"]["outputNode"], &classes["SaveImage"]["inputs"][0]["link"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        (&classes["LoadImage"]["inputs"][0]["upload"], &classes["LoadImage"]["outputNode"]),
        (&json!(true), &json!(false))
    );

    let tag = all.header("etag").to_owned();
    assert_eq!(all.header("cache-control"), "private, no-cache");
    let again = api.json("GET", "/api/nodes", &[("if-none-match", &tag)], b"").await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, tag.as_str()));
    let some = api.get("/api/nodes?class=SaveImage,Nobody").await;
    assert_eq!(data(&some)["unknown"], json!(["Nobody"]));
    assert_eq!(data(&some)["classes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["SaveImage"]);
    assert_ne!(some.header("etag"), tag);
    let names = vec!["x"; 201].join(",");
    for query in ["class=", "class=,", "classes=A", "class=A&class=B", &format!("class={names}")] {
        assert_refused(&api.get(&format!("/api/nodes?{query}")).await, 400, "invalid_query", query);
    }
}

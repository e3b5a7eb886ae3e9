//! Private mode: a link opens its file for a while, a login always.

use super::{
    server::{Api, Options, assert_refused, data, token_of},
    upload::{PNG, upload},
};
use serde_json::{Value, json};
use shuzhiren::task::FileId;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(600);

async fn private(ttl: Duration) -> Api {
    Api::start_with(Options { link_ttl: Some(ttl), ..Options::default() }).await
}

/// Path and query of a link.
fn path(link: &str) -> &str {
    &link[link.find("/upload/file/").unwrap()..]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_link_opens_its_file_and_no_other() {
    let api = private(TTL).await;
    let file = data(&upload(&api, "a.png", PNG).await).clone();
    let other = data(&upload(&api, "b.png", b"another").await).clone();
    let link = file["url"].as_str().unwrap();
    let answer = api.send("GET", path(link), &[], b"").await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, PNG));
    let kept: u64 = answer.header("cache-control").strip_prefix("private, max-age=").unwrap().parse().unwrap();
    assert!((1..=750).contains(&kept), "no longer than the link is good: {kept}");
    let part = api.send("GET", path(link), &[("range", "bytes=0-1")], b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &PNG[..2]));
    assert_eq!(api.send("HEAD", path(link), &[], b"").await.status, 200);

    let (plain, query) = path(link).split_once('?').unwrap();
    let (expires, signature) = query.split_once('&').unwrap();
    let others = path(other["url"].as_str().unwrap()).split_once('?').unwrap();
    for refused in [
        plain.to_owned(),
        format!("{plain}?{expires}"),
        format!("{plain}?{signature}"),
        format!("{plain}?{expires}0&{signature}"),
        format!("{plain}?{expires}&{signature}A"),
        format!("{plain}?{expires}&signature="),
        format!("{plain}?expires=-1&{signature}"),
        format!("{}?{query}", others.0),
        format!("{plain}?{}", others.1),
        plain.replace(file["fileId"].as_str().unwrap(), "00000000-0000-4000-8000-000000000000"),
    ] {
        assert_refused(&api.send("GET", &refused, &[], b"").await, 401, "unauthorized", &refused);
    }
    let twice = format!("{plain}?{query}&{expires}");
    assert_refused(&api.send("GET", &twice, &[], b"").await, 400, "invalid_query", "said twice");
    let unknown = format!("{plain}?{query}&download=1");
    assert_refused(&api.send("GET", &unknown, &[], b"").await, 400, "invalid_query", "nobody reads it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_link_says_so_and_reading_again_gives_a_fresh_one() {
    let api = private(Duration::from_secs(1)).await;
    let file = data(&upload(&api, "a.png", PNG).await).clone();
    let link = file["url"].as_str().unwrap();
    crate::support::eventually("the link has expired", Duration::from_secs(10), async || {
        let answer = api.send("GET", path(link), &[], b"").await;
        (answer.status != 200).then(|| assert_refused(&answer, 403, "link_expired", "expired"))
    })
    .await;
    let listed = data(&api.get("/api/files").await)["items"][0]["url"].as_str().unwrap().to_owned();
    assert_ne!(listed, link);
    assert_eq!(api.send("GET", path(&listed), &[], b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_opens_what_is_its_own() {
    let api = private(TTL).await;
    let file = data(&upload(&api, "a.png", PNG).await).clone();
    let plain = format!("/upload/file/{}", file["fileId"].as_str().unwrap());
    let admin = api.get(&plain).await;
    assert_eq!((admin.status, admin.header("cache-control")), (200, "no-store"));
    let stranger = format!("Bearer {}", token_of("mallory", "user"));
    let answer = api.send("GET", &plain, &[("authorization", &stranger)], b"").await;
    assert_refused(&answer, 404, "not_found", "another user's");
    let link = path(file["url"].as_str().unwrap());
    let answer = api.send("GET", link, &[("authorization", &stranger)], b"").await;
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (200, PNG),
        "whoever has a good link needs no login, and may have one"
    );
    let forged = format!("{link}A");
    let answer = api.send("GET", &forged, &[("authorization", &stranger)], b"").await;
    assert_refused(&answer, 404, "not_found", "a link that is none");
    assert_eq!(api.get(&forged).await.status, 200, "an admin's login");
    for bad in ["Bearer nonsense", "Basic abc"] {
        let answer = api.send("GET", link, &[("authorization", bad)], b"").await;
        assert_refused(&answer, 401, "unauthorized", bad);
    }
}

/// A file that its submitter may not read is one that does not exist, whichever way it is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_takes_no_file_of_another_user() {
    let mut api = private(TTL).await;
    let admin = api.token.clone();
    api.token = token_of("kim", "user");
    let kims = data(&upload(&api, "a.png", PNG).await)["fileId"].as_str().unwrap().to_owned();
    let default = data(&upload(&api, "b.png", b"another").await)["fileId"].as_str().unwrap().to_owned();
    let load = |image: Value| json!({"1": {"class_type": "LoadImage", "inputs": {"image": image}}});
    let body = |id: &str| {
        [
            json!({"workflow": load(json!({"$file": id}))}),
            json!({"workflow": load(json!("x.png")), "params": {"1.image": {"$file": id}}}),
            json!({"workflow": load(json!("x.png")), "params": {"1.image": {"$file": id}}, "count": 2}),
            json!({"workflow": load(json!("x.png")), "sweep": {"1.image": [{"$file": id}]}}),
        ]
    };
    let nobodys = FileId::new().to_string();
    api.token = token_of("mallory", "user");
    let before = api.snapshot();
    for (body, missing) in body(&kims).iter().zip(body(&nobodys)) {
        for path in ["/api/tasks", "/api/tasks?dryRun=true"] {
            let (refused, absent) = (api.post(path, body).await, api.post(path, &missing).await);
            assert_refused(&refused, 422, "no_such_file", &body.to_string());
            assert_eq!(refused.json()["message"], absent.json()["message"].as_str().unwrap().replace(&nobodys, &kims));
        }
    }
    assert!(api.snapshot() == before);
    for token in [token_of("kim", "user"), admin.clone()] {
        api.token = token;
        for body in body(&kims) {
            data(&api.post("/api/tasks", &body).await);
        }
    }
    // A user who may submit a workflow may use the files that its publisher put into it, and no others.
    let params = json!({"picture": {"target": "1.image", "type": "image", "default": default}});
    data(&api.put("/api/workflows/w", &json!({"workflow": load(json!("x.png")), "params": params})).await);
    api.token = token_of("mallory", "user");
    data(&api.post("/api/tasks", &json!({"workflow": "w"})).await);
    data(&api.post("/api/tasks", &json!({"workflow": "w", "count": 2})).await);
    let answer = api.post("/api/tasks", &json!({"workflow": "w", "params": {"picture": kims}})).await;
    assert_refused(&answer, 422, "no_such_file", "named by the caller");

    let open = Api::start().await;
    let file = data(&upload(&open, "a.png", PNG).await)["fileId"].as_str().unwrap().to_owned();
    let user = format!("Bearer {}", token_of("mallory", "user"));
    let headers = [("authorization", user.as_str()), ("content-type", "application/json")];
    let answer = open.send("POST", "/api/tasks", &headers, body(&file)[1].to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "whoever knows an id may read the file: {}", answer.json());
}

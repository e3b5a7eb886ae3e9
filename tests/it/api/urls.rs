//! Files at URLs: fetched once into the store, or refused with a sentence. A hostile site does no harm.

use super::server::{Api, INSTANCE, Options, assert_refused, data};
use crate::support::{
    eventually, http,
    web::{PNG, Web},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::time::Instant;

/// With a fleet that was never seen, and a site at loopback, which is allowed.
pub(super) async fn stage() -> (Api, Web) {
    stage_with(Options::default()).await
}

async fn stage_with(options: Options) -> (Api, Web) {
    let fetch_allow = Some(vec!["127.0.0.1".to_owned()]);
    (Api::start_with(Options { fetch_allow, ..options }).await, Web::start().await)
}

fn graph() -> Value {
    json!({"1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}}})
}

pub(super) fn with_url(url: &str) -> Value {
    json!({"workflow": graph(), "params": {"1.image": {"$url": url}}})
}

/// The one problem of a refusal.
#[track_caller]
fn problem(answer: &http::Response, about: &str) -> (String, String, String) {
    assert_refused(answer, 422, "invalid_params", about);
    let details = answer.json()["error"]["details"].clone();
    assert_eq!(details.as_array().unwrap().len(), 1, "{about}: {details}");
    let text = |name: &str| details[0][name].as_str().unwrap().to_owned();
    (text("code"), text("pointer"), text("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_at_a_url_is_fetched_once_and_kept_like_an_upload() {
    let (api, web) = stage().await;
    let sha256 = format!("{:x}", Sha256::digest(PNG));
    let params = json!({"1.image": {"$url": web.url("a.jpg"), "sha256": sha256},
                        "2": {"image": {"$url": web.url("a.jpg")}, "mask": {"$url": web.url("view?id=7")}}});
    let mut graph = graph();
    graph["2"] = json!({"class_type": "LoadImage", "inputs": {"image": "y.png", "mask": "z.png"}});
    let task = data(&api.post("/api/tasks", &json!({"workflow": graph, "params": params})).await);
    let id: shuzhiren::task::TaskId = task["id"].as_str().unwrap().parse().unwrap();
    let payload = api.queue.payload(id).await.unwrap().unwrap();
    assert_eq!(payload.files.len(), 3);
    assert!(payload.workflow.get().contains(r#""image":null"#), "{}", payload.workflow);
    assert_eq!((web.request_count("a.jpg"), web.request_count("view?id=7")), (1, 1), "the same URL once");
    let files = data(&api.get("/api/files?kind=upload").await);
    let mut names: Vec<&str> =
        files["items"].as_array().unwrap().iter().map(|file| file["filename"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a.png", "view.png"], "named by what they are");
    for file in files["items"].as_array().unwrap() {
        assert_eq!((&file["sha256"], &file["contentType"]), (&json!(sha256), &json!("image/png")));
        let link = format!("/upload/file/{}", file["fileId"].as_str().unwrap());
        assert_eq!(api.get(&link).await.body, PNG);
        let path = format!("/api/files/{}", file["fileId"].as_str().unwrap());
        assert_refused(&api.delete(&path).await, 409, "file_in_use", "the task needs it");
    }
    let shown = data(&api.get(&format!("/api/tasks/{}", task["id"].as_str().unwrap())).await);
    assert_eq!(shown["params"], params, "as submitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_send_tells_nothing_of_ours() {
    let (api, web) = stage().await;
    data(&api.post("/api/tasks", &with_url(&web.url(&format!("to/{}#fragment", web.url("a.png"))))).await);
    let heads = web.heads();
    assert_eq!(heads.len(), 2, "{heads:?}");
    for head in heads {
        let head = head.to_lowercase();
        assert!(head.contains("user-agent: shuzhiren/") && head.contains("accept-encoding: identity"), "{head}");
        for secret in ["authorization", "cookie", "referer", "#", "forwarded"] {
            assert!(!head.contains(secret), "{secret}: {head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_site_is_told_and_leaves_nothing() {
    let (api, web) = stage_with(Options { fetch_timeout: Duration::from_secs(2), ..Options::default() }).await;
    let before = (api.snapshot(), api.stored_files());
    let rows = [
        ("to/http://169.254.169.254/latest/meta-data/", "param_url_not_allowed"),
        ("to//to//to/http://[::1]/", "param_url_not_allowed"),
        ("to/http://2130706433.nip.invalid/", "param_url_unreachable"),
        ("to/file:///etc/passwd", "param_url_invalid"),
        ("to/http://user:pw@127.0.0.1/", "param_url_invalid"),
        ("to/http://", "param_url_bad_answer"),
        ("loop", "param_url_bad_answer"),
        ("status/404", "param_url_bad_answer"),
        ("status/204", "param_url_bad_answer"),
        ("empty", "param_url_bad_answer"),
        ("lying", "param_url_bad_answer"),
        ("gzip", "param_url_bad_answer"),
        ("huge", "param_url_too_large"),
        ("endless", "param_url_too_large"),
        ("big/2", "param_url_too_large"),
        // Above what is fetched, below what may be uploaded.
        ("chunked/24", "param_url_too_large"),
        ("slow", "param_url_too_slow"),
        ("silent", "param_url_unreachable"),
        ("page.png", "param_url_wrong_type"),
        ("text.png", "param_url_wrong_type"),
        ("login", "param_url_wrong_type"),
    ];
    let mut found = Vec::new();
    for (path, _) in rows {
        let asked = Instant::now();
        let answer = api.post("/api/tasks", &with_url(&web.url(path))).await;
        assert!(asked.elapsed() < Duration::from_secs(5), "{path}");
        if answer.status == 200 {
            found.push((path, "accepted".to_owned()));
            continue;
        }
        let (code, pointer, message) = problem(&answer, path);
        assert_eq!(pointer, "/params/1.image");
        assert!(!message.contains("127.0.0.1") && !message.contains("169.254"), "{message}");
        found.push((path, code));
    }
    // All rows at once: which one is wrong says what is broken.
    assert_eq!(found, rows.map(|(path, code)| (path, code.to_owned())));
    assert_eq!(api.snapshot(), before.0);
    // What is dropped in the middle is removed beside the answer.
    eventually("the pieces to be gone", Duration::from_secs(5), async || {
        (api.stored_files() == before.1).then_some(())
    })
    .await;
    let inner = "http://169.254.169.254/latest/meta-data/";
    for (url, code) in [
        (inner, "param_url_not_allowed"),
        ("http://127.0.0.2/", "param_url_not_allowed"),
        ("http://[::1]/", "param_url_not_allowed"),
        ("ftp://example.com/a", "param_url_invalid"),
        ("https://user@example.com/a", "param_url_invalid"),
        ("a.png", "param_url_invalid"),
        ("http://no-such-host.invalid/", "param_url_unreachable"),
    ] {
        let (found, ..) = problem(&api.post("/api/tasks", &with_url(url)).await, url);
        assert_eq!(found, code, "{url}");
    }
    let another = json!({"$url": web.url("a.png"), "sha256": "0".repeat(64)});
    let answer = api.post("/api/tasks", &json!({"workflow": graph(), "params": {"1.image": another}})).await;
    assert_eq!(problem(&answer, "sha256").0, "param_url_sha256");
    assert_eq!(api.snapshot(), before.0);
    eventually("the file to be gone", Duration::from_secs(5), async || (api.stored_files() == before.1).then_some(()))
        .await;
}

/// A closed port, a port that does not respond, a name of an internal address and an unknown name get the same answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_no_port_scanner() {
    let fetch_timeout = Duration::from_secs(1);
    let (api, web) = stage_with(Options { fetch_timeout, ..Options::default() }).await;
    let strict = Api::start_with(Options { fetch_allow: Some(Vec::new()), fetch_timeout, ..Options::default() }).await;
    let open = format!("http://localhost:{}/a.png", web.address.port());
    let mut told = Vec::new();
    for url in ["http://127.0.0.1:1/", &web.url("silent"), "http://no-such-host.invalid/"] {
        told.push(problem(&api.post("/api/tasks", &with_url(url)).await, url));
    }
    for url in [open.as_str(), "http://localhost:1/", "http://no-such-host.invalid/"] {
        told.push(problem(&strict.post("/api/tasks", &with_url(url)).await, url));
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(web.request_count("a.png"), 0, "where a name leads is judged before anybody is asked");
    data(&api.post("/api/tasks", &with_url(&open)).await);
    assert_eq!(web.request_count("a.png"), 1, "the name leads to an address that is allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_comes_in_one_answer_and_the_good_one_is_not_kept() {
    let (api, web) = stage().await;
    let before = (api.snapshot(), api.stored_files());
    let params = json!({"1.image": {"$url": web.url("a.png")}, "1.mask": {"$force": {"$url": web.url("empty")}},
                        "1.a": {"$force": {"$url": web.url("status/500")}}});
    let answer = api.post("/api/tasks", &json!({"workflow": graph(), "params": params})).await;
    assert_refused(&answer, 422, "invalid_params", "two are bad");
    let details = answer.json()["error"]["details"].clone();
    let pointers: Vec<&str> = details.as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/params/1.mask", "/params/1.a"]);
    assert_eq!((web.request_count("a.png"), api.snapshot(), api.stored_files()), (1, before.0, before.1));
    let many: serde_json::Map<String, Value> =
        (0..33).map(|n| (format!("1.i{n}"), json!({"$force": {"$url": web.url(&format!("n{n}"))}}))).collect();
    let answer = api.post("/api/tasks", &json!({"workflow": graph(), "params": many})).await;
    assert_eq!(problem(&answer, "too many").0, "param_url_too_many");
    assert_eq!(web.heads().len(), 3, "nothing more was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_a_repetition_and_a_retry_fetch_nothing() {
    let (api, web) = stage().await;
    let body = with_url(&web.url("a.png"));
    let shown = data(&api.post("/api/tasks?dryRun=true", &body).await);
    assert_eq!(
        (&shown["warnings"][0]["code"], &shown["warnings"][0]["param"]),
        (&json!("url_not_fetched"), &json!("1.image"))
    );
    let (code, ..) = problem(&api.post("/api/tasks?dryRun=true", &with_url("http://10.0.0.1/")).await, "dry run");
    assert_eq!(code, "param_url_not_allowed", "what can be judged without asking is");
    assert_eq!((web.heads().len(), api.stored_files()), (0, 0));

    let text = body.to_string();
    let post = async |body: &str| api.json("POST", "/api/tasks", &[("idempotency-key", "k")], body.as_bytes()).await;
    let first = data(&post(&text).await);
    let again = post(&text).await;
    assert_eq!((again.header("idempotency-replayed"), &data(&again)["id"]), ("true", &first["id"]));
    let other = with_url(&web.url("b.png")).to_string();
    assert_refused(&post(&other).await, 422, "idempotency_key_reused", "another body");
    let id = first["id"].as_str().unwrap();
    data(&api.delete(&format!("/api/tasks/{id}")).await);
    data(&api.post(&format!("/api/tasks/{id}/retry"), &json!({})).await);
    assert_eq!((web.heads().len(), api.stored_files()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_task_leaves_no_fetched_file() {
    let (api, web) = stage_with(Options { waiting_max: 1, ..Options::default() }).await;
    data(&api.post("/api/tasks", &json!({"workflow": graph()})).await);
    assert_refused(&api.post("/api/tasks", &with_url(&web.url("a.png"))).await, 429, "queue_full", "full");
    assert_eq!(
        (web.request_count("a.png"), api.stored_files(), &data(&api.get("/api/files").await)["total"]),
        (1, 0, &json!(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fetching_can_be_switched_off() {
    let (api, web) = (Api::start().await, Web::start().await);
    assert_eq!(problem(&api.post("/api/tasks", &with_url(&web.url("a.png"))).await, "off").0, "param_url_off");
    assert!(web.heads().is_empty());
}

/// A link where `/object_info` says that files are taken, and only there; also written into the graph itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_fetched_where_the_instances_take_files() {
    let fetch_allow = Some(vec!["127.0.0.1".to_owned()]);
    let (api, web) = (Api::start_with(Options { fetch_allow, ..Options::default() }).await, Web::start().await);
    let config = json!({"servers": [{"id": "s", "name": "s", "ip": "127.0.0.1", "ports": [8001]}]});
    assert_eq!(api.put("/api/config", &config).await.status, 200);
    super::params::seen(&api, INSTANCE, &["a"]).await;
    let graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": web.url("own.png")}},
                       "2": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
                       "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": web.url("text")}}});
    let body = json!({"workflow": graph, "params": {"2.image": web.url("param.png")}});
    let task = data(&api.post("/api/tasks", &body).await);
    let id = task["id"].as_str().unwrap();
    let payload = api.queue.payload(id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        (payload.files.len(), web.request_count("own.png"), web.request_count("param.png"), web.heads().len()),
        (2, 1, 1, 2)
    );
    let original = data(&api.get(&format!("/api/tasks/{id}/workflow?form=original")).await);
    assert_eq!(original, graph);
    let bad = json!({"1": {"class_type": "LoadImage", "inputs": {"image": web.url("empty")}},
                     "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}});
    let refused = api.post("/api/tasks", &json!({"workflow": bad})).await;
    assert_refused(&refused, 422, "invalid_workflow", "in the graph itself");
    assert_eq!(refused.json()["error"]["details"][0]["pointer"], "/workflow/1/inputs/image");
}

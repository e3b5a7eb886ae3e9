//! `GET /upload/file/:fileId` and `DELETE /api/files/:id`.

use super::{
    server::{Api, assert_refused, data, workflow},
    upload::{PNG, upload},
};
use serde_json::json;

async fn stored(api: &Api, filename: &str, bytes: &[u8]) -> String {
    data(&upload(api, filename, bytes).await)["fileId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_gives_the_bytes_to_everybody_and_runs_nothing() {
    let api = Api::start().await;
    let id = stored(&api, "a \\\"b\\\".png", PNG).await;
    let answer = api.send("GET", &format!("/upload/file/{id}"), &[], b"").await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, PNG));
    for (name, value) in [
        ("content-type", "image/png"),
        ("content-length", &*PNG.len().to_string()),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cache-control", "private, max-age=31536000, immutable"),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert!(
        answer.header("content-disposition").starts_with("inline; filename=\"a _b_.png\";"),
        "{}",
        answer.header("content-disposition")
    );
    let head = api.send("HEAD", &format!("/upload/file/{id}"), &[], b"").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, &*PNG.len().to_string(), 0));
    assert_eq!((head.header("etag"), head.header("content-type")), (answer.header("etag"), "image/png"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_could_run_is_an_attachment() {
    let api = Api::start().await;
    let html = b"<html><script>alert(1)</script>".as_slice();
    for (name, bytes) in [
        ("a.html", html),
        ("a.xhtml", html),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("a.xml", b"<?xml version='1.0'?><a/>"),
        ("a.js", b"alert(1)"),
        ("a.mht", b"MIME-Version: 1.0"),
        ("a.pdf", b"%PDF-1.7"),
        ("a.png", html),
        ("a.png.html", html),
        ("a.txt", html),
    ] {
        let id = stored(&api, name, bytes).await;
        let answer = api.send("GET", &format!("/upload/file/{id}"), &[], b"").await;
        let (kind, content_type) =
            (answer.header("content-disposition").to_owned(), answer.header("content-type").to_owned());
        let is_plain = content_type == "text/plain; charset=utf-8";
        assert!(kind.starts_with("attachment;") || is_plain, "{name}: {kind} {content_type}");
        assert!(
            !["html", "svg", "xml", "javascript"].iter().any(|word| content_type.contains(word)),
            "{name}: {content_type}"
        );
        assert_eq!(
            (answer.header("x-content-type-options"), answer.header("content-security-policy")),
            ("nosniff", "default-src 'none'; sandbox")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_and_conditions_are_honoured() {
    let api = Api::start().await;
    let id = stored(&api, "a.bin", b"0123456789").await;
    let path = format!("/upload/file/{id}");
    let get = async |headers: &[(&str, &str)]| api.send("GET", &path, headers, b"").await;
    let etag = get(&[]).await.header("etag").to_owned();
    assert_eq!(etag.len(), 66);
    for (range, status, body, content_range) in [
        ("bytes=0-0", 206, "0", "bytes 0-0/10"),
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=5-99", 206, "56789", "bytes 5-9/10"),
        ("bytes=0-1,4-5", 200, "0123456789", ""),
        ("lines=1-2", 200, "0123456789", ""),
    ] {
        let answer = get(&[("range", range)]).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(
            (answer.status, text.as_str(), answer.header("content-range")),
            (status, body, content_range),
            "{range}"
        );
        assert_eq!(answer.header("content-length"), body.len().to_string(), "{range}");
    }
    let outside = get(&[("range", "bytes=10-")]).await;
    assert_refused(&outside, 416, "range_not_satisfiable", "outside");
    assert_eq!(outside.header("content-range"), "bytes */10");
    for value in [etag.as_str(), "*", &format!("\"x\", W/{etag}")] {
        let answer = get(&[("if-none-match", value)]).await;
        assert_eq!((answer.status, answer.body.len(), answer.header("etag")), (304, 0, etag.as_str()), "{value}");
    }
    assert_eq!(get(&[("if-none-match", "\"x\"")]).await.status, 200);
    assert_eq!(get(&[("if-range", "\"x\""), ("range", "bytes=0-0")]).await.status, 200);
    assert_eq!(get(&[("if-range", &etag), ("range", "bytes=0-0")]).await.status, 206);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_need_stays_and_another_goes() {
    let api = Api::start().await;
    let files = api.stored_files();
    let id = stored(&api, "a.png", PNG).await;
    let mut graph = workflow();
    graph["5"] = json!({"class_type": "LoadImage", "inputs": {"image": ""}});
    let body = json!({"workflow": graph, "params": {"5": {"image": {"$file": id}}}});
    let task = data(&api.post("/api/tasks", &body).await)["id"].as_str().unwrap().to_owned();
    assert_refused(&api.delete(&format!("/api/files/{id}")).await, 409, "file_in_use", "in use");
    assert_eq!(api.send("GET", &format!("/upload/file/{id}"), &[], b"").await.status, 200);
    data(&api.delete(&format!("/api/tasks/{task}")).await);
    let gone = data(&api.delete(&format!("/api/files/{id}")).await);
    assert_eq!(gone["fileId"], id);
    assert_refused(&api.delete(&format!("/api/files/{id}")).await, 404, "not_found", "gone");
    assert_refused(&api.send("GET", &format!("/upload/file/{id}"), &[], b"").await, 404, "not_found", "gone");
    assert_refused(&api.post("/api/tasks", &body).await, 422, "no_such_file", "gone");
    assert_eq!((data(&api.get("/api/files").await)["total"].as_u64(), api.stored_files()), (Some(0), files));
}

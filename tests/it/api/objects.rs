//! Equal content is stored once, for all users and uploads.

use super::{
    server::{Api, data},
    upload::{PNG, upload},
};
use serde_json::{Value, json};

async fn files(api: &Api) -> Value {
    data(&api.get("/api/monitor/overview").await)["files"].clone()
}

fn totals(uploads: u64, stored: u64) -> Value {
    let total = |count: u64| json!({"count": count, "bytes": count * PNG.len() as u64});
    json!({"uploads": total(uploads), "outputs": total(0), "stored": total(stored)})
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_the_same_bytes_are_files_of_their_own_and_one_object() {
    let api = Api::start().await;
    let before = api.stored_files();
    assert_eq!(files(&api).await, totals(0, 0));
    let mut ids = Vec::new();
    for name in ["a.png", "b.png", "c.png"] {
        let file = data(&upload(&api, name, PNG).await).clone();
        assert_eq!(file["filename"], name);
        ids.push(file["fileId"].as_str().unwrap().to_owned());
    }
    assert_eq!(api.stored_files(), before + 1, "one object");
    assert_eq!(files(&api).await, totals(3, 1));
    // The first goes, the object that it brought stays.
    for (left, id) in [(2, &ids[0]), (1, &ids[1])] {
        assert_eq!(api.delete(&format!("/api/files/{id}")).await.status, 200);
        assert_eq!(files(&api).await, totals(left, 1));
        assert_eq!(api.stored_files(), before + 1);
    }
    for id in &ids[..2] {
        assert_eq!(api.send("GET", &format!("/upload/file/{id}"), &[], b"").await.status, 404);
    }
    let link = format!("/upload/file/{}", ids[2]);
    let answer = api.send("GET", &link, &[], b"").await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, PNG));
    assert!(answer.header("content-disposition").contains("c.png"), "the name is the file's own");
    let part = api.send("GET", &link, &[("range", "bytes=1-3")], b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &PNG[1..4]));
    assert_eq!(api.delete(&format!("/api/files/{}", ids[2])).await.status, 200);
    assert_eq!((files(&api).await, api.stored_files()), (totals(0, 0), before));
    data(&upload(&api, "again.png", PNG).await);
    assert_eq!((files(&api).await, api.stored_files()), (totals(1, 1), before + 1));
}

/// Uploads and deletes of one content at the same time: in the end every file that is listed can be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_and_deletes_of_one_content_do_not_meet() {
    let api = std::sync::Arc::new(Api::start().await);
    let before = api.stored_files();
    let mut users = tokio::task::JoinSet::new();
    for user in 0..8 {
        let api = api.clone();
        users.spawn(async move {
            for round in 0..8 {
                let id = data(&upload(&api, "a.png", PNG).await)["fileId"].as_str().unwrap().to_owned();
                let link = format!("/upload/file/{id}");
                let read = api.send("GET", &link, &[], b"").await;
                assert_eq!((read.status, read.body.as_slice()), (200, PNG), "user {user}, round {round}");
                if user > 0 || round < 7 {
                    assert_eq!(api.delete(&format!("/api/files/{id}")).await.status, 200);
                }
            }
        });
    }
    users.join_all().await;
    assert_eq!((files(&api).await, api.stored_files()), (totals(1, 1), before + 1));
    let last = data(&api.get("/api/files").await)["items"][0]["fileId"].as_str().unwrap().to_owned();
    assert_eq!(api.send("GET", &format!("/upload/file/{last}"), &[], b"").await.body, PNG);
}

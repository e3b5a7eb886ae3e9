//! Files that were stored but never registered, because their process was killed in between, are deleted in time. No
//! other file is.

use crate::support::{
    eventually,
    raw::RawRedis,
    stack::{ApiClient, Stack, WAIT_MAX},
};
use futures_util::stream;
use shuzhiren::{
    queue::{FileKind, FileRecord, Queue, QueueLimits},
    settings::RedisSettings,
    task::FileId,
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tokio::{sync::mpsc, task::JoinHandle};

/// Stored files, complete or partial.
fn stored(folder: &Path) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    shards.flat_map(|shard| std::fs::read_dir(shard).unwrap()).map(|entry| entry.unwrap().path()).collect()
}

fn make_old(path: &Path) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(25 * 3_600)).unwrap();
}

fn place(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(&name[..2]).join(name);
    std::fs::write(&path, b"left over").unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_upload_of_a_killed_api_is_deleted() {
    let mut stack = Stack::start(1, 0).await;
    RawRedis::connect(&stack.redis.socket()).run(&["CONFIG", "SET", "appendfsync", "always"]);
    let kept = stack.client.upload("kept.png", b"kept".to_vec()).await;
    make_old(&stored(&stack.files())[0]);
    // Redis goes down while the file is sent, so it is stored and cannot be registered.
    let (rest, lost) = half_sent(&stack.client);
    eventually("the upload is accepted", WAIT_MAX, async || {
        stored(&stack.files()).iter().any(|path| is_staged(path)).then_some(())
    })
    .await;
    stack.redis.kill();
    rest.send("st\r\n--edge--\r\n").unwrap();
    drop(rest);
    let lost_bytes = eventually("the bytes are stored", WAIT_MAX, async || {
        let files = stored(&stack.files());
        files.into_iter().find(|path| std::fs::read(path).is_ok_and(|bytes| bytes == b"lost") && !is_staged(path))
    })
    .await;
    stack.api.kill();
    assert!(!lost.await.unwrap(), "the upload was never acknowledged");
    stack.redis.launch();
    let (young, staged) = (place(&stack.files(), &FileId::new().to_string()), format!("{}#1", FileId::new()));
    let staged = place(&stack.files(), &staged);
    make_old(&staged);
    let foreign = stack.files().join("00").join("README");
    std::fs::write(&foreign, b"not ours").unwrap();
    make_old(&foreign);
    make_old(&lost_bytes);

    stack.add_dispatcher();
    eventually("the orphan files are deleted", WAIT_MAX, async || {
        (!lost_bytes.exists() && !staged.exists()).then_some(())
    })
    .await;
    eventually("the whole store was scanned", WAIT_MAX, async || stack.log().contains("count=1").then_some(())).await;
    assert!(young.exists(), "young: may still be registered");
    assert!(foreign.exists(), "not the name of a stored file");
    assert_eq!(stored(&stack.files()).len(), 3);
    let kept_id = kept["fileId"].as_str().unwrap();
    assert!(stack.files().join(&kept_id[..2]).join(kept_id).exists(), "registered, however old");
}

/// Starts an upload of the bytes `lost`, of which the last two are missing. Returns the sender of the rest, and whether
/// the upload was acknowledged.
fn half_sent(client: &ApiClient) -> (mpsc::UnboundedSender<&'static str>, JoinHandle<bool>) {
    let (rest, receiver) = mpsc::unbounded_channel();
    rest.send("--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"lost.png\"\r\n\r\nlo").unwrap();
    let body = stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|text: &str| (Ok::<_, std::io::Error>(text), receiver))
    });
    let request = client
        .http()
        .post(format!("{}/api/files/upload", client.base))
        .bearer_auth(&client.token)
        .header("Content-Type", "multipart/form-data; boundary=edge")
        .body(reqwest::Body::wrap_stream(body));
    let sent = tokio::spawn(async move { request.send().await.is_ok_and(|answer| answer.status() == 200) });
    (rest, sent)
}

fn is_staged(path: &Path) -> bool {
    path.to_str().unwrap().contains('#')
}

/// With an emptied Redis, or in the folder of another installation, no file is registered and none is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_another_installation_are_kept() {
    let mut stack = Stack::start(1, 0).await;
    let unregistered = place(&stack.files(), &FileId::new().to_string());
    make_old(&unregistered);
    std::fs::write(stack.files().join("installation"), b"another").unwrap();
    stack.add_dispatcher();
    eventually("the refusal is logged", WAIT_MAX, async || stack.log().contains("another installation").then_some(()))
        .await;
    assert!(unregistered.exists());
}

/// The process died after its file was registered as a duplicate and before its own copy was deleted.
#[tokio::test(flavor = "multi_thread")]
async fn the_duplicate_left_by_a_dead_dispatcher_is_deleted_and_the_original_kept() {
    let mut stack = Stack::start(1, 0).await;
    let first = stack.client.upload("a.png", b"the same".to_vec()).await;
    let settings = RedisSettings { namespace: "shuzhiren".to_owned(), ..stack.redis.settings() };
    let limits = QueueLimits { waiting_max: 0, keep_tasks: Duration::from_secs(3_600) };
    let queue = Queue::connect(&settings, limits).await.unwrap();
    let id = FileId::new();
    let copy = place(&stack.files(), &id.to_string());
    let record = FileRecord {
        id,
        kind: FileKind::Output,
        filename: "b.png".to_owned(),
        content_type: "image/png".to_owned(),
        size_bytes: 8,
        sha256: first["sha256"].as_str().unwrap().to_owned(),
        owner: "admin".to_owned(),
        task_id: None,
        created_ms: 0,
        task_expires_ms: None,
        shares: None,
    };
    let object = queue.add_file(&record).await.unwrap().expect("the bytes are known");
    assert_eq!(object.to_string(), first["fileId"].as_str().unwrap());
    // One hour later.
    let (orphans, member) = (format!("{{{}}}:orphans", settings.namespace), format!("again:{id}"));
    let moved = RawRedis::connect(&stack.redis.socket()).run(&["ZADD", &orphans, "XX", "CH", "1", &member]);
    assert_eq!(moved.text(), "1", "the copy is listed");
    stack.add_dispatcher();
    eventually("the copy is deleted", WAIT_MAX, async || (!copy.exists()).then_some(())).await;
    for file in [first["fileId"].as_str().unwrap().to_owned(), id.to_string()] {
        let bytes = stack.client.download(&format!("{}/upload/file/{file}", stack.client.base)).await;
        assert_eq!(bytes, b"the same", "{file}");
    }
}

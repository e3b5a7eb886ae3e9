//! A store that is not writable, does not exist, or belongs to another system.

use super::{diagnose, storage};
use crate::support::TestRedis;
use shuzhiren::queue::{Queue, QueueLimits};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_writable_is_a_failure() {
    let redis = TestRedis::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a file"), "").unwrap();
    for (url, level) in [
        // No user, not even root, may create a file there.
        (storage(Path::new("/sys")), "fail"),
        (storage(&folder.path().join("a%20file")), "fail"),
        ("data/files".to_owned(), "fail"),
        (storage(&folder.path().join("not-there-yet")), "warn"),
    ] {
        let found = diagnose(&["--storage-url", &url], &[("REDIS_URL", &redis.url())]).await;
        let (seen, said, todo) = found.of("store");
        assert!(seen == level && !todo.is_empty(), "{url}: {seen} {said} → {todo}");
        assert_eq!(found.code, i32::from(level == "fail"), "{url}");
    }
    assert!(!folder.path().join("not-there-yet").exists(), "the check must not create it");
    let found = diagnose(&[], &[("REDIS_URL", &redis.url())]).await;
    assert_eq!((found.of("store").0, found.code), ("fail", 1), "no store is set");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_another_system_are_reported() {
    let redis = TestRedis::start();
    let limits = QueueLimits { waiting_max: 0, keep_tasks: std::time::Duration::from_secs(60) };
    let queue = Queue::connect(&redis.settings(), limits).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = redis.url();
    let storage = storage(folder.path());
    let settings = [("REDIS_URL", url.as_str()), ("SHUZHIREN_NAMESPACE", "test"), ("SHUZHIREN_STORAGE_URL", &storage)];
    assert_eq!(diagnose(&[], &settings).await.of("store.installation").1, "not used by any system yet");
    let mark = folder.path().join("installation");
    std::fs::write(&mark, queue.installation()).unwrap();
    assert_eq!(diagnose(&[], &settings).await.of("store.installation").0, "ok");
    std::fs::write(&mark, "another-system").unwrap();
    let found = diagnose(&[], &settings).await;
    let (level, said, todo) = found.of("store.installation");
    assert!(
        level == "warn" && said.contains("another-system") && todo.contains("SHUZHIREN_NAMESPACE"),
        "{said} → {todo}"
    );
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "another-system", "the mark must not be changed");
    crate::support::raw::RawRedis::connect(&redis.socket()).run(&["FLUSHALL"]);
    let found = diagnose(&[], &settings).await;
    let (level, said, todo) = found.of("store.installation");
    assert!(level == "warn" && said.contains("holds no system") && todo.contains("restore"), "{said} → {todo}");
}

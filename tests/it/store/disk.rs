//! Behaviour and failures of disks only.

use super::{NO_LIMIT, TestStore, all, pattern, url};
use shuzhiren::{
    store::{Error, Store},
    task::FileId,
};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

#[tokio::test]
async fn a_file_that_cannot_be_moved_into_place_leaves_nothing() {
    let test = TestStore::on_disk().await;
    let id = FileId::new();
    fs::create_dir(test.path(id)).unwrap();
    let mut writer = test.store.create(id, NO_LIMIT).await.unwrap();
    writer.write(pattern(1_000_000, 1).into()).await.unwrap();
    assert!(matches!(writer.finish().await, Err(Error::Unavailable(_))));
    assert_eq!(test.files(), [test.path(id)], "only the obstacle");
}

#[tokio::test]
async fn a_reopened_store_keeps_its_files_and_deletes_those_of_dead_writers() {
    let test = TestStore::on_disk().await;
    let (id, _) = test.put(b"kept").await;
    let staged = |id: FileId| PathBuf::from(format!("{}#1", test.path(id).display()));
    let (old, fresh) = (staged(FileId::new()), staged(FileId::new()));
    let foreign = test.path(FileId::new()).with_file_name("notes#1");
    let two_days_ago = SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
    for path in [&old, &fresh, &foreign] {
        fs::write(path, "half").unwrap();
    }
    for path in [&old, &foreign, &test.path(id)] {
        fs::File::options().write(true).open(path).unwrap().set_modified(two_days_ago).unwrap();
    }
    let again = Store::open(&url(&test.folder())).await.unwrap();
    assert_eq!(all(again.read(id.into(), None).await.unwrap()).await, b"kept");
    assert_eq!((old.exists(), fresh.exists(), foreign.exists()), (false, true, true));
}

#[tokio::test]
async fn an_invalid_url_is_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for url in ["files", "file://files", "", &url(&file), &url(&file.join("beneath"))] {
        let Err(Error::Unusable(message)) = Store::open(url).await else { panic!("`{url}` must be refused") };
        assert!(message.contains(url) || message.contains(file.to_str().unwrap()), "{message}");
    }
    let deep = folder.path().join("a b/文");
    Store::open(&url(&deep)).await.unwrap();
    assert!(deep.is_dir());
}

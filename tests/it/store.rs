//! Tests of the store: real files in a temporary folder, and a real S3 server.

mod bucket;
mod disk;
mod own_process;
mod table;

use crate::support::{eventually, s3::S3};
use bytes::Bytes;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use shuzhiren::{
    store::{Download, Store, Stored},
    task::{FileId, ObjectId},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const NO_LIMIT: u64 = u64::MAX;
/// Prefix of a test's files in the bucket.
const PREFIX: &str = "one/two";

/// A store, and the location of its files.
struct TestStore {
    store: Store,
    home: Home,
}

enum Home {
    Disk(tempfile::TempDir),
    Bucket(S3),
}

impl TestStore {
    async fn on_disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Store::open(&url(folder.path())).await.unwrap(), home: Home::Disk(folder) }
    }

    async fn in_a_bucket() -> Self {
        let s3 = S3::start().await;
        let store = Store::open_with(&s3.url(PREFIX), Some(&s3.keys())).await.unwrap();
        Self { store, home: Home::Bucket(s3) }
    }

    fn folder(&self) -> PathBuf {
        match &self.home {
            Home::Disk(folder) => folder.path().to_path_buf(),
            Home::Bucket(s3) => s3.folder(PREFIX),
        }
    }

    /// Returns all files of the store, including unfinished ones.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = files_in(&self.folder());
        if let Home::Bucket(s3) = &self.home {
            files.extend(s3.parts());
        }
        files
    }

    fn path(&self, id: FileId) -> PathBuf {
        let id = id.to_string();
        self.folder().join(&id[..2]).join(id)
    }

    async fn put(&self, bytes: &[u8]) -> (FileId, Stored) {
        let id = FileId::new();
        let mut writer = self.store.create(id, NO_LIMIT).await.unwrap();
        writer.write(Bytes::copy_from_slice(bytes)).await.unwrap();
        (id, writer.finish().await.unwrap())
    }

    async fn bytes(&self, id: FileId) -> Vec<u8> {
        all(self.store.read(id.into(), None).await.unwrap()).await
    }

    /// Waits until the store is empty: a dropped writer removes its file in the background.
    async fn is_empty(&self) {
        eventually("the store is empty", Duration::from_secs(10), || async { self.files().is_empty().then_some(()) })
            .await;
    }
}

fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    entries(folder).iter().filter(|path| path.is_dir()).flat_map(|shard| entries(shard)).collect()
}

async fn all(download: Download) -> Vec<u8> {
    download.bytes.map_ok(|bytes| bytes.to_vec()).try_concat().await.unwrap()
}

/// Makes bytes without a repeating pattern.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let word = |at: u64| (at + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    (0..length as u64 / 8 + 1).flat_map(word).take(length).collect()
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn object(id: FileId) -> ObjectId {
    id.into()
}

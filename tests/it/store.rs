//! Tests of the room `store`: real files in a folder of the test's own.

use crate::support::eventually;
use bytes::Bytes;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use shuzhiren::{
    store::{Download, Error, Store, Stored},
    task::FileId,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

const NO_LIMIT: u64 = u64::MAX;
/// Names the test that a child process of this binary is to run in earnest.
const CHILD: &str = "SHUZHIREN_TEST_CHILD";
/// The folder of a child's store.
const FOLDER: &str = "SHUZHIREN_TEST_FOLDER";

struct TestStore {
    store: Store,
    folder: tempfile::TempDir,
}

impl TestStore {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Store::open(&url(folder.path())).await.unwrap(), folder }
    }

    /// Every file in the folder, unfinished ones included.
    fn files(&self) -> Vec<PathBuf> {
        files_in(self.folder.path())
    }

    fn path(&self, id: FileId) -> PathBuf {
        let id = id.to_string();
        self.folder.path().join(&id[..2]).join(id)
    }

    async fn put(&self, bytes: &[u8]) -> (FileId, Stored) {
        let id = FileId::new();
        let mut writer = self.store.create(id, NO_LIMIT).await.unwrap();
        writer.write(Bytes::copy_from_slice(bytes)).await.unwrap();
        (id, writer.finish().await.unwrap())
    }

    /// Waits until nothing is left: a dropped writer removes its file in the background.
    async fn is_empty(&self) {
        eventually("nothing is left in the store", Duration::from_secs(10), || async {
            self.files().is_empty().then_some(())
        })
        .await;
    }
}

fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    shards
        .flat_map(|shard| fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>())
        .collect()
}

async fn all(download: Download) -> Vec<u8> {
    download.bytes.map_ok(|bytes| bytes.to_vec()).try_concat().await.unwrap()
}

/// Bytes that differ everywhere.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let word = |at: u64| (at + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    (0..length as u64 / 8 + 1).flat_map(word).take(length).collect()
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[tokio::test]
async fn what_was_written_is_what_is_read() {
    let test = TestStore::open().await;
    for length in [0, 1, 511, 512, 513, 262_143, 262_144, 262_145, 1_000_000] {
        let bytes = pattern(length, length as u64);
        let (id, stored) = test.put(&bytes).await;
        let head = bytes[..length.min(512)].to_vec();
        assert_eq!(stored, Stored { size_bytes: length as u64, sha256: sha256(&bytes), head });
        let download = test.store.read(id, None).await.unwrap();
        assert_eq!((download.size_bytes, download.range.clone()), (length as u64, 0..length as u64));
        assert!(all(download).await == bytes, "{length} bytes");
    }
    assert_eq!(test.files().len(), 9);
}

#[tokio::test]
async fn the_size_of_the_pieces_does_not_matter() {
    let test = TestStore::open().await;
    let bytes = pattern(700_001, 7);
    for piece in [1_000, 262_144, 300_000] {
        let id = FileId::new();
        let mut writer = test.store.create(id, 700_001).await.unwrap();
        for chunk in bytes.chunks(piece) {
            writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
            writer.write(Bytes::new()).await.unwrap();
        }
        assert_eq!(writer.finish().await.unwrap().sha256, sha256(&bytes));
        assert!(all(test.store.read(id, None).await.unwrap()).await == bytes);
    }
}

#[tokio::test]
async fn a_range_is_clamped_to_the_file() {
    let test = TestStore::open().await;
    let bytes = pattern(300_000, 1);
    let (id, _) = test.put(&bytes).await;
    for (asked, expected) in [
        (0..1, 0..1),
        (0..300_000, 0..300_000),
        (299_999..300_000, 299_999..300_000),
        (100..262_200, 100..262_200),
        (10..u64::MAX, 10..300_000),
        (300_000..300_001, 300_000..300_000),
        (u64::MAX..u64::MAX, 300_000..300_000),
        (5..5, 5..5),
    ] {
        let download = test.store.read(id, Some(asked.clone())).await.unwrap();
        assert_eq!((download.size_bytes, download.range.clone()), (300_000, expected.clone()), "{asked:?}");
        let (start, end) = (usize::try_from(expected.start).unwrap(), usize::try_from(expected.end).unwrap());
        assert!(all(download).await == bytes[start..end], "{asked:?}");
    }
    #[allow(clippy::reversed_empty_ranges, reason = "a caller may get it wrong")]
    let backwards = test.store.read(id, Some(9..5)).await.unwrap();
    assert_eq!((backwards.range.clone(), all(backwards).await), (5..5, vec![]));
    let (empty, _) = test.put(b"").await;
    assert!(all(test.store.read(empty, Some(0..10)).await.unwrap()).await.is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_deleting_it_is_fine() {
    let test = TestStore::open().await;
    let (id, _) = test.put(b"x").await;
    let other = FileId::new();
    assert!(matches!(test.store.read(other, None).await, Err(Error::NotFound)));
    assert!(matches!(test.store.read(other, Some(0..1)).await, Err(Error::NotFound)));
    test.store.delete(other).await.unwrap();
    test.store.delete(id).await.unwrap();
    test.store.delete(id).await.unwrap();
    assert!(matches!(test.store.read(id, None).await, Err(Error::NotFound)));
    assert!(test.files().is_empty());
}

#[tokio::test]
async fn a_file_deleted_meanwhile_is_read_to_its_end() {
    let test = TestStore::open().await;
    let bytes = pattern(500_000, 3);
    let (id, _) = test.put(&bytes).await;
    let download = test.store.read(id, None).await.unwrap();
    test.store.delete(id).await.unwrap();
    assert!(all(download).await == bytes);
}

#[tokio::test]
async fn nothing_is_visible_before_the_end_and_nothing_is_left_of_a_dropped_writer() {
    let test = TestStore::open().await;
    let id = FileId::new();
    let mut writer = test.store.create(id, NO_LIMIT).await.unwrap();
    writer.write(pattern(1_000_000, 1).into()).await.unwrap();
    assert!(matches!(test.store.read(id, None).await, Err(Error::NotFound)));
    assert_eq!(test.files().len(), 1, "it is being written under another name");
    drop(writer);
    test.is_empty().await;
    drop(test.store.create(id, NO_LIMIT).await.unwrap());
    test.is_empty().await;
}

#[tokio::test]
async fn a_write_that_is_given_up_midway_leaves_nothing() {
    let test = TestStore::open().await;
    let mut writer = test.store.create(FileId::new(), NO_LIMIT).await.unwrap();
    let big = Bytes::from(pattern(20_000_000, 1));
    let cut = tokio::time::timeout(Duration::from_millis(5), writer.write(big)).await;
    assert!(cut.is_err(), "20 MB are not written in 5 ms");
    drop(writer);
    test.is_empty().await;
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_and_gone() {
    let test = TestStore::open().await;
    let exact = FileId::new();
    let mut writer = test.store.create(exact, 1_000_000).await.unwrap();
    writer.write(pattern(1_000_000, 1).into()).await.unwrap();
    writer.finish().await.unwrap();
    test.store.delete(exact).await.unwrap();

    let id = FileId::new();
    let mut writer = test.store.create(id, 1_000_000).await.unwrap();
    writer.write(pattern(1_000_000, 1).into()).await.unwrap();
    let refused = writer.write(Bytes::from_static(b"x")).await;
    assert!(matches!(refused, Err(Error::TooLarge { limit: 1_000_000 })), "{refused:?}");
    assert!(test.files().is_empty(), "gone at once");
    assert!(writer.finish().await.is_err(), "a refused file cannot be finished");
    assert!(matches!(test.store.read(id, None).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn a_file_that_cannot_be_put_in_its_place_leaves_nothing() {
    let test = TestStore::open().await;
    let id = FileId::new();
    fs::create_dir(test.path(id)).unwrap();
    let mut writer = test.store.create(id, NO_LIMIT).await.unwrap();
    writer.write(pattern(1_000_000, 1).into()).await.unwrap();
    assert!(matches!(writer.finish().await, Err(Error::Unavailable(_))));
    assert_eq!(test.files(), [test.path(id)], "only what stood in the way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_do_not_disturb_one_another() {
    let test = TestStore::open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..32 {
        let store = test.store.clone();
        tasks.spawn(async move {
            let (id, bytes) = (FileId::new(), pattern(600_000, seed));
            let mut writer = store.create(id, NO_LIMIT).await.unwrap();
            for chunk in bytes.chunks(10_000) {
                writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
                tokio::task::yield_now().await;
            }
            if seed % 4 == 3 {
                drop(writer);
                return None;
            }
            assert_eq!(writer.finish().await.unwrap().sha256, sha256(&bytes));
            Some((id, bytes))
        });
    }
    for (id, bytes) in tasks.join_all().await.into_iter().flatten() {
        assert!(all(test.store.read(id, None).await.unwrap()).await == bytes);
    }
    eventually("24 files", Duration::from_secs(10), || async { (test.files().len() == 24).then_some(()) }).await;
}

#[tokio::test]
async fn a_store_opened_again_has_its_files_and_sheds_what_dead_writers_left() {
    let test = TestStore::open().await;
    let (id, _) = test.put(b"kept").await;
    let staged = |id: FileId| PathBuf::from(format!("{}#1", test.path(id).display()));
    let (old, fresh) = (staged(FileId::new()), staged(FileId::new()));
    let stranger = test.path(FileId::new()).with_file_name("notes#1");
    let two_days_ago = SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
    for path in [&old, &fresh, &stranger] {
        fs::write(path, "half").unwrap();
    }
    for path in [&old, &stranger, &test.path(id)] {
        fs::File::options().write(true).open(path).unwrap().set_modified(two_days_ago).unwrap();
    }
    let again = Store::open(&url(test.folder.path())).await.unwrap();
    assert_eq!(all(again.read(id, None).await.unwrap()).await, b"kept");
    assert_eq!((old.exists(), fresh.exists(), stranger.exists()), (false, true, true));
}

#[tokio::test]
async fn a_url_that_cannot_work_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for url in ["files", "file://files", "s3://bucket/files", "", &url(&file), &url(&file.join("beneath"))] {
        let Err(Error::Unusable(message)) = Store::open(url).await else { panic!("`{url}` must be refused") };
        assert!(message.contains(url) || message.contains(file.to_str().unwrap()), "{message}");
    }
    let deep = folder.path().join("a b/文");
    Store::open(&url(&deep)).await.unwrap();
    assert!(deep.is_dir());
}

/// Memory is looked at in a process of its own, where no other test allocates.
#[test]
fn two_hundred_megabytes_pass_through_little_memory() {
    const NAME: &str = "two_hundred_megabytes_pass_through_little_memory";
    if std::env::var(CHILD).as_deref() != Ok(NAME) {
        let status = child(NAME, "exec \"$0\" \"$@\"").status().unwrap();
        assert!(status.success());
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let test = TestStore::open().await;
        let chunk = Bytes::from(pattern(1_000_000, 1));
        let (before, id) = (peak_bytes(), FileId::new());
        let mut writer = test.store.create(id, 200_000_000).await.unwrap();
        for _ in 0..200 {
            writer.write(chunk.clone()).await.unwrap();
        }
        let stored = writer.finish().await.unwrap();
        let mut hash = Sha256::new();
        let mut bytes = test.store.read(id, None).await.unwrap().bytes;
        while let Some(piece) = bytes.try_next().await.unwrap() {
            hash.update(&piece);
        }
        assert_eq!((stored.size_bytes, stored.sha256), (200_000_000, format!("{:x}", hash.finalize())));
        let grown = peak_bytes() - before;
        assert!(grown < 16_000_000, "{grown} bytes more at the peak");
    });
}

/// The most memory that this process has had.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A disk that takes no more: the system's limit on a file's size (EFBIG), which needs no rights, and, where this process
/// may mount, a file system of 4 MB (ENOSPC).
#[test]
fn a_full_disk_is_said_to_be_full_and_keeps_nothing_half_written() {
    const NAME: &str = "a_full_disk_is_said_to_be_full_and_keeps_nothing_half_written";
    if std::env::var(CHILD).as_deref() == Ok(NAME) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(fill(Path::new(&std::env::var(FOLDER).unwrap())));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // `ulimit -f` counts blocks of 512 bytes (1,024 in bash): 1 or 2 MB.
    let limited = "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\"";
    assert!(child(NAME, limited).env(FOLDER, folder.path()).status().unwrap().success());

    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).output();
    if mounted.is_ok_and(|output| output.status.success()) {
        let passed = child(NAME, "exec \"$0\" \"$@\"").env(FOLDER, folder.path()).status().unwrap().success();
        assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
        assert!(passed, "on a file system of 4 MB");
    }
}

async fn fill(folder: &Path) {
    let store = Store::open(&url(folder)).await.unwrap();
    let small = FileId::new();
    let mut writer = store.create(small, NO_LIMIT).await.unwrap();
    writer.write(pattern(300_000, 1).into()).await.unwrap();
    writer.finish().await.unwrap();

    let mut writer = store.create(FileId::new(), NO_LIMIT).await.unwrap();
    let full = writer.write(pattern(8_000_000, 2).into()).await;
    assert!(matches!(full, Err(Error::Full)), "{full:?}");
    assert!(writer.finish().await.is_err());
    assert_eq!(files_in(folder).len(), 1, "only the small one");

    assert!(all(store.read(small, None).await.unwrap()).await == pattern(300_000, 1), "reads go on");
    let mut writer = store.create(FileId::new(), NO_LIMIT).await.unwrap();
    writer.write(pattern(500_000, 3).into()).await.unwrap();
    writer.finish().await.unwrap();
    store.delete(small).await.unwrap();
    assert_eq!(files_in(folder).len(), 1, "there is room again");
}

/// This binary once more, for one test, started by a shell that runs `script` first.
fn child(name: &str, script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("store::{name}"), "--nocapture"]).env(CHILD, name);
    command
}

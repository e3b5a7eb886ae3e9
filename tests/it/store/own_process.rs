//! Tests that need their own process: for its memory, or for a system limit.

use super::{NO_LIMIT, PREFIX, TestStore, all, files_in, pattern, url};
use crate::support::s3::S3;
use bytes::Bytes;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use shuzhiren::{
    store::{Error, Store},
    task::FileId,
};
use std::{fs, path::Path, process::Command};

/// Variable with the name of the test that a child process of this binary runs.
const CHILD: &str = "SHUZHIREN_TEST_CHILD";
/// Variable with the folder of a child's store.
const FOLDER: &str = "SHUZHIREN_TEST_FOLDER";
/// Shell script that only executes the test.
const AS_IS: &str = "exec \"$0\" \"$@\"";

/// Measures memory in a separate process, where no other test allocates.
#[test]
fn two_hundred_megabytes_pass_through_little_memory() {
    const NAME: &str = "two_hundred_megabytes_pass_through_little_memory";
    if std::env::var(CHILD).as_deref() != Ok(NAME) {
        assert!(has_passed(&mut child(NAME, AS_IS)));
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let test = TestStore::on_disk().await;
        let chunk = Bytes::from(pattern(1_000_000, 1));
        let (before, id) = (peak_bytes(), FileId::new());
        let mut writer = test.store.create(id, 200_000_000).await.unwrap();
        for _ in 0..200 {
            writer.write(chunk.clone()).await.unwrap();
        }
        let stored = writer.finish().await.unwrap();
        let mut hash = Sha256::new();
        let mut bytes = test.store.read(id.into(), None).await.unwrap().bytes;
        while let Some(piece) = bytes.try_next().await.unwrap() {
            hash.update(&piece);
        }
        assert_eq!((stored.size_bytes, stored.sha256), (200_000_000, format!("{:x}", hash.finalize())));
        let grown = peak_bytes() - before;
        assert!(grown < 16_000_000, "{grown} bytes more at the peak");
    });
}

/// Runs twenty concurrent uploads of 20 MB to a bucket. The server is in the parent, so that its memory does not count.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_uploads_to_a_bucket_pass_through_little_memory() {
    const NAME: &str = "twenty_uploads_to_a_bucket_pass_through_little_memory";
    if std::env::var(CHILD).as_deref() != Ok(NAME) {
        let s3 = S3::start().await;
        let mut child = child(NAME, AS_IS);
        child.env(FOLDER, s3.url(PREFIX)).env("AWS_ACCESS_KEY_ID", s3.keys().access);
        child.env("AWS_SECRET_ACCESS_KEY", s3.keys().secret.expose());
        assert!(tokio::task::spawn_blocking(move || has_passed(&mut child)).await.unwrap());
        assert_eq!((files_in(&s3.folder(PREFIX)).len(), s3.parts().len()), (20, 0));
        return;
    }
    // The key comes from the variables of AWS' own tools.
    let store = Store::open(&std::env::var(FOLDER).unwrap()).await.unwrap();
    let chunk = Bytes::from(pattern(100_000, 1));
    let before = peak_bytes();
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (store, chunk) = (store.clone(), chunk.clone());
        uploads.spawn(async move {
            let mut writer = store.create(FileId::new(), NO_LIMIT).await.unwrap();
            for _ in 0..200 {
                writer.write(chunk.clone()).await.unwrap();
            }
            writer.finish().await.unwrap().size_bytes
        });
    }
    assert_eq!(uploads.join_all().await, [20_000_000; 20]);
    let grown = peak_bytes() - before;
    eprintln!("{grown} bytes more at the peak");
    assert!(grown < 200_000_000, "{grown} bytes more at the peak");
}

/// Returns the peak memory of this process.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Simulates a full disk: a limit on the file size (EFBIG), which needs no privileges, and, if this process may mount,
/// a file system of 4 MB (ENOSPC).
#[test]
fn a_full_disk_is_reported_and_keeps_no_unfinished_file() {
    const NAME: &str = "a_full_disk_is_reported_and_keeps_no_unfinished_file";
    if std::env::var(CHILD).as_deref() == Ok(NAME) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(fill(Path::new(&std::env::var(FOLDER).unwrap())));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // `ulimit -f` counts blocks of 512 bytes (1,024 in bash): 1 or 2 MB.
    let limited = "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\"";
    assert!(has_passed(child(NAME, limited).env(FOLDER, folder.path())), "under a limit of the file size");

    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).output();
    if mounted.is_ok_and(|output| output.status.success()) {
        let passed = has_passed(child(NAME, AS_IS).env(FOLDER, folder.path()));
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
    assert_eq!(files_in(folder).len(), 1, "only the small file");

    assert!(all(store.read(small.into(), None).await.unwrap()).await == pattern(300_000, 1), "reads still work");
    let mut writer = store.create(FileId::new(), NO_LIMIT).await.unwrap();
    writer.write(pattern(500_000, 3).into()).await.unwrap();
    writer.finish().await.unwrap();
    store.delete(small.into()).await.unwrap();
    assert_eq!(files_in(folder).len(), 1, "there is space again");
}

/// Makes the command that runs one test of this binary in a shell after `script`.
fn child(name: &str, script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("store::own_process::{name}"), "--nocapture"]).env(CHILD, name);
    command
}

/// Runs a child and checks the count of passed tests: a name that matches no test would succeed too.
fn has_passed(child: &mut Command) -> bool {
    let output = child.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    eprintln!("{stdout}{stderr}");
    output.status.success() && stdout.contains("test result: ok. 1 passed")
}

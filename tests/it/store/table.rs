//! Behaviour of every store, on a disk and in a bucket.

use super::{NO_LIMIT, TestStore, all, object, pattern, sha256};
use crate::support::eventually;
use bytes::Bytes;
use shuzhiren::{
    store::{Error, Stored},
    task::FileId,
};
use std::{fs, time::Duration};

macro_rules! everywhere {
    ($($name:ident)*) => {
        mod on_disk {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::TestStore::on_disk().await).await; })*
        }

        mod in_a_bucket {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::TestStore::in_a_bucket().await).await; })*
        }
    };
}

everywhere! {
    what_was_written_is_what_is_read
    the_size_of_the_pieces_does_not_matter
    a_range_is_clamped_to_the_file
    a_missing_file_is_not_found_and_can_be_deleted
    a_file_deleted_during_a_read_is_read_to_its_end
    an_unfinished_file_is_invisible_and_a_dropped_writer_leaves_nothing
    a_write_aborted_midway_leaves_nothing
    a_file_over_the_limit_is_refused_and_deleted
    concurrent_writers_are_independent
    identical_bytes_are_stored_once
    lost_bytes_are_restored_by_the_next_identical_upload
    the_first_installation_marks_the_store
    old_files_are_those_of_their_shard
}

async fn what_was_written_is_what_is_read(test: TestStore) {
    for length in [0, 1, 511, 512, 513, 262_143, 262_144, 262_145, 1_000_000, 5_242_880, 5_242_881, 12_000_000] {
        let bytes = pattern(length, length as u64);
        let (id, stored) = test.put(&bytes).await;
        let head = bytes[..length.min(512)].to_vec();
        assert_eq!(stored, Stored { size_bytes: length as u64, sha256: sha256(&bytes), head });
        let download = test.store.read(id.into(), None).await.unwrap();
        assert_eq!((download.size_bytes, download.range.clone()), (length as u64, 0..length as u64));
        assert!(all(download).await == bytes, "{length} bytes");
    }
    assert_eq!(test.files().len(), 12);
}

async fn the_size_of_the_pieces_does_not_matter(test: TestStore) {
    let bytes = pattern(5_700_001, 7);
    for piece in [10_000, 262_144, 5_242_880] {
        let id = FileId::new();
        let mut writer = test.store.create(id, 5_700_001).await.unwrap();
        for chunk in bytes.chunks(piece) {
            writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
            writer.write(Bytes::new()).await.unwrap();
        }
        assert_eq!(writer.finish().await.unwrap().sha256, sha256(&bytes));
        assert!(all(test.store.read(id.into(), None).await.unwrap()).await == bytes);
    }
}

async fn a_range_is_clamped_to_the_file(test: TestStore) {
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
        let download = test.store.read(id.into(), Some(asked.clone())).await.unwrap();
        assert_eq!((download.size_bytes, download.range.clone()), (300_000, expected.clone()), "{asked:?}");
        let (start, end) = (usize::try_from(expected.start).unwrap(), usize::try_from(expected.end).unwrap());
        assert!(all(download).await == bytes[start..end], "{asked:?}");
    }
    #[allow(clippy::reversed_empty_ranges, reason = "a caller may get it wrong")]
    let backwards = test.store.read(id.into(), Some(9..5)).await.unwrap();
    assert_eq!((backwards.range.clone(), all(backwards).await), (5..5, vec![]));
    let (empty, _) = test.put(b"").await;
    assert!(all(test.store.read(empty.into(), Some(0..10)).await.unwrap()).await.is_empty());
}

async fn a_missing_file_is_not_found_and_can_be_deleted(test: TestStore) {
    let (id, _) = test.put(b"x").await;
    let other = FileId::new();
    assert!(matches!(test.store.read(other.into(), None).await, Err(Error::NotFound)));
    assert!(matches!(test.store.read(other.into(), Some(0..1)).await, Err(Error::NotFound)));
    test.store.delete(other.into()).await.unwrap();
    test.store.delete(id.into()).await.unwrap();
    test.store.delete(id.into()).await.unwrap();
    assert!(matches!(test.store.read(id.into(), None).await, Err(Error::NotFound)));
    assert!(test.files().is_empty());
}

async fn a_file_deleted_during_a_read_is_read_to_its_end(test: TestStore) {
    let bytes = pattern(500_000, 3);
    let (id, _) = test.put(&bytes).await;
    let download = test.store.read(id.into(), None).await.unwrap();
    test.store.delete(id.into()).await.unwrap();
    assert!(all(download).await == bytes);
}

async fn an_unfinished_file_is_invisible_and_a_dropped_writer_leaves_nothing(test: TestStore) {
    let id = FileId::new();
    let mut writer = test.store.create(id, NO_LIMIT).await.unwrap();
    writer.write(pattern(6_000_000, 1).into()).await.unwrap();
    assert!(matches!(test.store.read(id.into(), None).await, Err(Error::NotFound)));
    assert!(!test.path(id).exists());
    assert_eq!(test.files().len(), 1, "it is written under another name");
    drop(writer);
    test.is_empty().await;
    drop(test.store.create(id, NO_LIMIT).await.unwrap());
    test.is_empty().await;
}

async fn a_write_aborted_midway_leaves_nothing(test: TestStore) {
    let mut writer = test.store.create(FileId::new(), NO_LIMIT).await.unwrap();
    // Endless, so that it is cut in the middle on fast and slow machines.
    let piece = Bytes::from(pattern(2_000_000, 1));
    let endless = async {
        loop {
            writer.write(piece.clone()).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let cut: Result<(), _> = tokio::time::timeout(Duration::from_millis(20), endless).await;
    assert!(cut.is_err());
    drop(writer);
    test.is_empty().await;
}

async fn a_file_over_the_limit_is_refused_and_deleted(test: TestStore) {
    let exact = FileId::new();
    let mut writer = test.store.create(exact, 1_000_000).await.unwrap();
    writer.write(pattern(1_000_000, 1).into()).await.unwrap();
    writer.finish().await.unwrap();
    test.store.delete(exact.into()).await.unwrap();

    let id = FileId::new();
    let mut writer = test.store.create(id, 1_000_000).await.unwrap();
    writer.write(pattern(1_000_000, 1).into()).await.unwrap();
    let refused = writer.write(Bytes::from_static(b"x")).await;
    assert!(matches!(refused, Err(Error::TooLarge { limit: 1_000_000 })), "{refused:?}");
    assert!(test.files().is_empty(), "deleted at once");
    assert!(writer.finish().await.is_err(), "a refused file cannot be finished");
    assert!(matches!(test.store.read(id.into(), None).await, Err(Error::NotFound)));
}

async fn concurrent_writers_are_independent(test: TestStore) {
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
        assert!(all(test.store.read(id.into(), None).await.unwrap()).await == bytes);
    }
    eventually("24 files", Duration::from_secs(10), || async { (test.files().len() == 24).then_some(()) }).await;
}

async fn identical_bytes_are_stored_once(test: TestStore) {
    let ((first, stored), (second, _)) = (test.put(b"the same").await, test.put(b"the same").await);
    test.store.share(second, object(first), stored.size_bytes).await.unwrap();
    test.store.share(second, object(first), stored.size_bytes).await.unwrap();
    assert_eq!(test.files(), [test.path(first)]);
    assert_eq!(test.bytes(first).await, b"the same");
}

/// After an object was deleted or cut by hand, a new upload of the same bytes must restore it.
async fn lost_bytes_are_restored_by_the_next_identical_upload(test: TestStore) {
    let (first, stored) = test.put(b"the same").await;
    for broken in [None, Some("cut")] {
        match broken {
            None => fs::remove_file(test.path(first)).unwrap(),
            Some(cut) => fs::write(test.path(first), cut).unwrap(),
        }
        let (second, _) = test.put(b"the same").await;
        test.store.share(second, object(first), stored.size_bytes).await.unwrap();
        assert_eq!(test.files(), [test.path(first)]);
        assert_eq!(test.bytes(first).await, b"the same");
    }
}

async fn the_first_installation_marks_the_store(test: TestStore) {
    let (one, two) = tokio::join!(test.store.belongs_to("one"), test.store.belongs_to("two"));
    assert!(one.unwrap() != two.unwrap(), "exactly one of them wins");
    let owner = fs::read_to_string(test.folder().join("installation")).unwrap();
    for name in ["one", "two", "three"] {
        assert_eq!(test.store.belongs_to(name).await.unwrap(), name == owner, "{name}");
    }
}

async fn old_files_are_those_of_their_shard(test: TestStore) {
    let (id, _) = test.put(b"x").await;
    let shard = u8::from_str_radix(&id.to_string()[..2], 16).unwrap();
    let other = test.path(id).with_file_name("notes");
    fs::write(&other, "not ours").unwrap();
    assert_eq!(test.store.old_files(shard, Duration::from_secs(60)).await.unwrap(), []);
    eventually("the file has an age", Duration::from_secs(5), async || {
        (test.store.old_files(shard, Duration::ZERO).await.unwrap() == [object(id)]).then_some(())
    })
    .await;
    assert_eq!(test.store.old_files(shard.wrapping_add(1), Duration::ZERO).await.unwrap(), []);
}

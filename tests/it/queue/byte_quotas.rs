//! Quotas of bytes: of uploads, and of the payloads of waiting tasks.

use super::files::record;
use crate::{
    scenarios,
    support::{
        audit::dump,
        world::{World, completed, new_task},
    },
};
use serde_json::value::RawValue;
use shuzhiren::{
    queue::{BatchEnqueued, Enqueued, FileDeleted, FileKind, FileRecord, QuotaExceeded, Revived, UploadQuota},
    task::{BatchId, NewTask, ObjectId, TaskId},
};

scenarios! {
    uploads_count_by_owner_and_in_all
    large_payloads_count_until_the_task_ends
    a_batch_counts_as_a_whole
    a_revived_task_counts_again
    a_payload_whose_task_is_lost_is_released
    only_unused_objects_are_deletable
}

fn upload(owner: &str, size_bytes: u64) -> FileRecord {
    FileRecord { owner: owner.to_owned(), size_bytes, ..record(FileKind::Upload, None) }
}

pub async fn uploads_count_by_owner_and_in_all(world: &World) {
    let quota = UploadQuota { user: 100, all: 150 };
    let add = async |owner: &str, size| {
        let record = upload(owner, size);
        let added = world.queue.add_upload(&record, quota).await.unwrap();
        added.map(|_| record.id)
    };
    let first = add("alice", 60).await.unwrap();
    assert_eq!(add("alice", 41).await, Err(QuotaExceeded::User(100)));
    add("alice", 40).await.unwrap();
    assert_eq!(world.queue.exceeded_quota("alice", quota).await.unwrap(), Some(QuotaExceeded::User(100)));
    assert_eq!(world.queue.exceeded_quota("bob", quota).await.unwrap(), None);
    assert_eq!(add("bob", 51).await, Err(QuotaExceeded::All(150)));
    add("bob", 50).await.unwrap();
    assert_eq!(world.queue.exceeded_quota("carol", quota).await.unwrap(), Some(QuotaExceeded::All(150)));
    // Without quota, and outputs: no limit, and outputs do not count.
    world.queue.add_file(&FileRecord { size_bytes: 1_000, ..record(FileKind::Output, None) }).await.unwrap();
    assert!(matches!(world.queue.delete_file(first).await.unwrap(), FileDeleted::Deleted(..)));
    add("alice", 60).await.unwrap();
    let (_, files) = world.queue.files(Some(FileKind::Upload), 0, 100).await.unwrap();
    for file in files {
        world.queue.delete_file(file.id).await.unwrap();
    }
    assert!(dump(world).map("upload-bytes").is_empty(), "{:?}", dump(world).map("upload-bytes"));
}

/// A task whose payload has more than 16 KiB, compressed.
fn large(owner: &str) -> NewTask {
    let noise: String = (0..4_000).map(|_| TaskId::new().to_string()).collect();
    let mut new = NewTask { owner: owner.to_owned(), ..new_task() };
    new.payload.params = RawValue::from_string(format!("{{\"x\":\"{noise}\"}}")).unwrap();
    new
}

/// Bytes of payloads, by field.
fn bytes(world: &World, field: &str) -> u64 {
    dump(world).map("payload-bytes").get(field).map_or(0, |bytes| bytes.parse().unwrap())
}

pub async fn large_payloads_count_until_the_task_ends(world: &World) {
    world.create(&new_task()).await;
    assert_eq!(bytes(world, "all"), 0, "a small one does not count");
    let first = world.create(&large("alice")).await.id;
    let size = bytes(world, "all");
    assert!(size > 16_384 && bytes(world, "owner:alice") == size, "{size}");
    world.queue.limit_payload_bytes(size + size / 2, 0);
    assert!(matches!(
        world.queue.enqueue(&large("alice")).await.unwrap(),
        Enqueued::OverQuota(QuotaExceeded::User(max)) if max == size + size / 2
    ));
    assert!(matches!(world.queue.enqueue(&large("bob")).await.unwrap(), Enqueued::Created(_)));
    world.create(&new_task()).await;
    world.queue.limit_payload_bytes(0, 2 * size + size / 2);
    assert!(matches!(world.queue.enqueue(&large("carol")).await.unwrap(), Enqueued::OverQuota(QuotaExceeded::All(_))));
    world.queue.cancel(first).await.unwrap();
    assert_eq!(bytes(world, "owner:alice"), 0);
    world.create(&large("carol")).await;
    for number in 0..4 {
        let lease = world.lease(&format!("gpu:{number}")).await;
        let claim = world.claim(&lease).await.unwrap();
        world.queue.settle(&lease, claim.task, claim.attempt, &completed()).await.unwrap();
    }
    assert!(dump(world).map("payload-bytes").is_empty(), "{:?}", dump(world).map("payload-bytes"));
}

pub async fn a_batch_counts_as_a_whole(world: &World) {
    let batch = BatchId::of(TaskId::new());
    let mut packed = Vec::new();
    for index in 0..3 {
        packed.push(world.queue.pack(NewTask { id: batch.task(index), ..large("alice") }).await.unwrap());
    }
    let size = packed[0].size() as u64;
    world.queue.limit_payload_bytes(2 * size, 0);
    let refused = world.queue.enqueue_batch(&packed).await.unwrap();
    assert!(matches!(refused, BatchEnqueued::OverQuota(QuotaExceeded::User(_))), "{refused:?}");
    assert_eq!(world.queue.counts().await.unwrap().pending, 0);
    world.queue.limit_payload_bytes(4 * size, 4 * size);
    assert!(matches!(world.queue.enqueue_batch(&packed).await.unwrap(), BatchEnqueued::Created(_)));
    // The same batch again is a replay, not more.
    assert!(matches!(world.queue.enqueue_batch(&packed).await.unwrap(), BatchEnqueued::Replayed(_)));
}

pub async fn a_revived_task_counts_again(world: &World) {
    let id = world.create(&large("alice")).await.id;
    let size = bytes(world, "all");
    world.queue.cancel(id).await.unwrap();
    world.queue.limit_payload_bytes(size - 1, 0);
    let refused = world.queue.revive(id).await.unwrap();
    assert!(matches!(refused, Revived::OverQuota(QuotaExceeded::User(max)) if max == size - 1), "{refused:?}");
    world.queue.limit_payload_bytes(0, size - 1);
    let refused = world.queue.revive(id).await.unwrap();
    assert!(matches!(refused, Revived::OverQuota(QuotaExceeded::All(_))), "{refused:?}");
    world.queue.limit_payload_bytes(size, 0);
    assert!(matches!(world.queue.revive(id).await.unwrap(), Revived::Revived(_)));
    assert_eq!((bytes(world, "all"), bytes(world, "owner:alice")), (size, size));
}

pub async fn a_payload_whose_task_is_lost_is_released(world: &World) {
    let lost = world.create(&large("alice")).await.id;
    let size = bytes(world, "owner:alice");
    world.create(&large("bob")).await;
    world.redis(&["DEL", &world.key(&format!("task:{lost}"))]);
    assert!(world.queue.repair_indexes().await.unwrap() > 0);
    assert_eq!((bytes(world, "owner:alice"), bytes(world, "owner:bob")), (0, bytes(world, "all")));
    assert!(size > 0 && world.queue.payload(lost).await.unwrap().is_none());
    assert_eq!(world.queue.repair_indexes().await.unwrap(), 0);
}

pub async fn only_unused_objects_are_deletable(world: &World) {
    let alone = upload("alice", 5);
    let shared = FileRecord { id: shuzhiren::task::FileId::new(), ..upload("alice", 5) };
    let same = FileRecord { id: shuzhiren::task::FileId::new(), ..shared.clone() };
    let used = upload("alice", 5);
    for file in [&alone, &shared, &same, &used] {
        world.queue.add_file(file).await.unwrap();
    }
    world.create(&super::files::task_with_files(&[used.id])).await;
    assert_eq!(world.queue.deletable_objects(alone.id).await.unwrap(), Some(vec![ObjectId::from(alone.id)]));
    assert_eq!(world.queue.deletable_objects(same.id).await.unwrap(), Some(vec![]), "another file needs its bytes");
    assert_eq!(world.queue.deletable_objects(used.id).await.unwrap(), None);
    assert_eq!(world.queue.deletable_objects(shuzhiren::task::FileId::new()).await.unwrap(), None);
}

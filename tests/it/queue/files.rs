//! The registry of stored files: registration, use by tasks, deletion, collection.

use super::attempts::janitor;
use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{KEEP, World, completed, failed, new_task},
    },
};
use shuzhiren::{
    queue::{Enqueued, FileDeleted, FileKind, FileRecord, Written},
    task::{FailureKind, FileId, FileInput, NewTask, ObjectId, TaskId},
};
use std::time::Duration;

scenarios! {
    a_file_is_registered_once_and_read
    files_are_paged_by_kind
    a_task_needs_its_files_until_it_ends
    a_task_with_a_missing_file_is_refused
    outputs_become_orphans_when_their_task_is_collected
    an_output_of_a_collected_task_is_an_orphan_at_once
    orphan_objects_are_handed_out_twice
    uploads_are_found_by_owner_and_name
}

/// Bug report 17.
pub async fn uploads_are_found_by_owner_and_name(world: &World) {
    let add = async |owner: &str, filename: &str| {
        let record = record(FileKind::Upload, None);
        let record = FileRecord { owner: owner.to_owned(), filename: filename.to_owned(), ..record };
        world.queue.add_file(&record).await.unwrap();
        record
    };
    let named = async |owner: &str| {
        let names = ["a b.png".to_owned(), "\"ü\".png".to_owned(), "none.png".to_owned()];
        world.queue.uploads_named(owner, &names).await.unwrap()
    };
    let (first, second) = (add("alice", "a b.png").await, add("alice", "a b.png").await);
    let (quoted, others) = (add("alice", "\"ü\".png").await, add("bob", "a b.png").await);
    world.queue.add_file(&second).await.unwrap();
    let output = record(FileKind::Output, None);
    world.queue.add_file(&FileRecord { filename: "none.png".to_owned(), ..output }).await.unwrap();
    assert_eq!(named("alice").await, [vec![second.id, first.id], vec![quoted.id], vec![]], "the latest first");
    assert_eq!(named("bob").await, [vec![others.id], vec![], vec![]]);
    world.queue.delete_file(second.id).await.unwrap();
    assert_eq!(named("alice").await[0], [first.id]);
    world.queue.delete_file(first.id).await.unwrap();
    assert!(named("alice").await[0].is_empty());
    for _ in 0..10 {
        add("carol", "a b.png").await;
    }
    assert_eq!(named("carol").await[0].len(), 8, "the list of a name is bounded");
    for file in world.queue.files(Some(FileKind::Upload), 0, 100).await.unwrap().1 {
        world.queue.delete_file(file.id).await.unwrap();
    }
    assert!(!dump(world).map("upload-names").contains_key("alice\na b.png"));
}

pub fn record(kind: FileKind, task_id: Option<TaskId>) -> FileRecord {
    FileRecord {
        id: FileId::new(),
        kind,
        filename: "a \"cat\".png".into(),
        content_type: "image/png".into(),
        size_bytes: 5,
        // Unique content.
        sha256: FileId::new().to_string(),
        owner: "alice".into(),
        task_id,
        created_ms: 0,
        task_expires_ms: None,
        shares: None,
    }
}

pub async fn upload(world: &World) -> FileRecord {
    let mut record = record(FileKind::Upload, None);
    world.queue.add_file(&record).await.unwrap();
    record.created_ms = world.now_ms();
    record
}

pub fn task_with_files(files: &[FileId]) -> NewTask {
    let mut new = new_task();
    let input = |file: &FileId| FileInput { node_id: "1".into(), input: "image".into(), file_id: *file };
    new.payload.files = files.iter().map(input).collect();
    new
}

pub async fn a_file_is_registered_once_and_read(world: &World) {
    let file = upload(world).await;
    world.advance(Duration::from_secs(1));
    world.queue.add_file(&FileRecord { created_ms: 0, ..file.clone() }).await.unwrap();
    assert_eq!(world.queue.file(file.id).await.unwrap(), Some(file.clone()));
    assert_eq!(world.queue.file(FileId::new()).await.unwrap(), None);
    assert_eq!(
        world.queue.delete_file(file.id).await.unwrap(),
        FileDeleted::Deleted(file.clone(), vec![file.id.into()])
    );
    assert_eq!(world.queue.delete_file(file.id).await.unwrap(), FileDeleted::NotFound);
    assert_eq!(world.queue.file(file.id).await.unwrap(), None);
    assert_eq!(world.queue.files(None, 0, 10).await.unwrap(), (0, vec![]));
}

pub async fn files_are_paged_by_kind(world: &World) {
    let task = world.enqueue().await;
    let mut uploads = Vec::new();
    for _ in 0..5 {
        uploads.push(upload(world).await);
        world.advance(Duration::from_millis(1));
        world.queue.add_file(&record(FileKind::Output, Some(task))).await.unwrap();
    }
    uploads.reverse();
    assert_eq!(world.queue.files(Some(FileKind::Upload), 0, 3).await.unwrap(), (5, uploads[..3].to_vec()));
    assert_eq!(world.queue.files(Some(FileKind::Upload), 3, 3).await.unwrap(), (5, uploads[3..].to_vec()));
    assert_eq!(world.queue.files(Some(FileKind::Output), 0, 200).await.unwrap().1.len(), 5);
    let (total, all) = world.queue.files(None, 0, 200).await.unwrap();
    assert_eq!((total, all.len()), (10, 10));
    let place = |file: &FileRecord| std::cmp::Reverse((file.created_ms, file.id.to_string()));
    assert!(all.is_sorted_by_key(place), "{all:?}");
    for (offset, limit) in (0..10).flat_map(|offset| (1..4).map(move |limit| (offset, limit))) {
        let page = world.queue.files(None, offset as u64, limit as u64).await.unwrap().1;
        assert_eq!(page, all[offset..(offset + limit).min(10)], "{limit} after {offset}");
    }
    assert!(world.queue.files(None, u64::MAX, 200).await.unwrap().1.is_empty());
}

pub async fn a_task_needs_its_files_until_it_ends(world: &World) {
    let (file, other) = (upload(world).await, upload(world).await);
    let lease = world.lease("gpu:1").await;
    for ending in 0..4 {
        let new = task_with_files(&[file.id, other.id, file.id]);
        world.create(&new).await;
        audit(world, 1).unwrap();
        assert_eq!(world.queue.delete_file(file.id).await.unwrap(), FileDeleted::InUse(None));
        let claim = world.claim(&lease).await.unwrap();
        assert_eq!(claim.payload.files.len(), 3);
        assert_eq!(world.queue.delete_file(other.id).await.unwrap(), FileDeleted::InUse(None));
        match ending {
            0 => drop(world.queue.settle(&lease, new.id, claim.attempt, &completed()).await.unwrap()),
            1 => {
                assert_eq!(
                    world.queue.settle(&lease, new.id, claim.attempt, &failed(FailureKind::NodeError)).await.unwrap(),
                    Written::Done
                )
            }
            2 => {
                // A requeued task still needs them.
                world.queue.requeue(&lease, new.id, claim.attempt, false, "test").await.unwrap();
                assert_eq!(world.queue.delete_file(file.id).await.unwrap(), FileDeleted::InUse(None));
                world.queue.cancel(new.id).await.unwrap();
            }
            _ => {
                world.queue.cancel(new.id).await.unwrap();
                world.queue.release(&lease, new.id).await.unwrap();
            }
        }
        audit(world, 1).unwrap();
    }
    assert!(matches!(world.queue.delete_file(file.id).await.unwrap(), FileDeleted::Deleted(..)));
}

pub async fn a_task_with_a_missing_file_is_refused(world: &World) {
    let (file, missing) = (upload(world).await, FileId::new());
    let before = crate::support::audit::dump(world);
    let refused = world.queue.enqueue(&task_with_files(&[file.id, missing])).await.unwrap();
    assert!(matches!(refused, Enqueued::NoSuchFile(id) if id == missing));
    assert!(before == crate::support::audit::dump(world));
}

pub async fn outputs_become_orphans_when_their_task_is_collected(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    let output = record(FileKind::Output, Some(id));
    world.queue.add_file(&output).await.unwrap();
    world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
    world.advance(KEEP - Duration::from_millis(1));
    janitor(world).await;
    assert!(world.queue.task(id).await.unwrap().is_some());
    assert!(world.queue.take_orphan_objects(10).await.unwrap().is_empty());
    world.advance(Duration::from_millis(1));
    janitor(world).await;
    assert!(world.queue.task(id).await.unwrap().is_none());
    assert!(world.queue.file(output.id).await.unwrap().is_none());
    assert_eq!(world.queue.files(None, 0, 10).await.unwrap().0, 0);
    assert_eq!(world.queue.take_orphan_objects(10).await.unwrap(), [ObjectId::from(output.id)]);
    audit(world, 1).unwrap();
}

pub async fn an_output_of_a_collected_task_is_an_orphan_at_once(world: &World) {
    let output = record(FileKind::Output, Some(TaskId::new()));
    world.queue.add_file(&output).await.unwrap();
    assert!(world.queue.file(output.id).await.unwrap().is_none());
    assert_eq!(world.queue.take_orphan_objects(10).await.unwrap(), [ObjectId::from(output.id)]);
}

/// The first taker may die before it has deleted the bytes.
pub async fn orphan_objects_are_handed_out_twice(world: &World) {
    let gone = Some(TaskId::new());
    let outputs = [record(FileKind::Output, gone), record(FileKind::Output, gone), record(FileKind::Output, gone)];
    for output in &outputs {
        world.queue.add_file(output).await.unwrap();
    }
    let deleted = upload(world).await;
    world.queue.delete_file(deleted.id).await.unwrap();
    assert_eq!(world.queue.take_orphan_objects(2).await.unwrap().len(), 2);
    assert_eq!(world.queue.take_orphan_objects(2).await.unwrap().len(), 1);
    assert!(world.queue.take_orphan_objects(2).await.unwrap().is_empty());
    world.advance(Duration::from_secs(3_600));
    let mut again = world.queue.take_orphan_objects(10).await.unwrap();
    again.sort();
    let mut all: Vec<ObjectId> = outputs.iter().chain([&deleted]).map(|file| file.id.into()).collect();
    all.sort();
    assert_eq!(again, all);
    world.advance(Duration::from_secs(36_000));
    assert!(world.queue.take_orphan_objects(10).await.unwrap().is_empty());
}

//! Files with the same content share one object in the store, and an object that a file needs is never deleted.

use super::files::{record, task_with_files, upload};
use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{World, completed},
    },
};
use shuzhiren::{
    fleet::{FileTotals, Total},
    queue::{FileDeleted, FileKind, FileRecord, Retention},
    settings::Keep,
    task::{FileId, ObjectId},
};
use std::time::Duration;

scenarios! {
    files_of_one_content_share_one_object
    the_last_file_deletes_its_object
    deleted_content_gets_a_new_object
    a_file_that_was_deleted_is_not_registered_again
    a_file_is_retracted_at_every_stage_of_its_registration
    an_output_of_a_collected_task_leaves_shared_objects
    totals_are_exact
    files_of_older_versions_are_their_own_objects
}

fn copy_of(file: &FileRecord, kind: FileKind) -> FileRecord {
    FileRecord { sha256: file.sha256.clone(), size_bytes: file.size_bytes, ..record(kind, None) }
}

fn object(file: &FileRecord) -> ObjectId {
    file.id.into()
}

pub async fn files_of_one_content_share_one_object(world: &World) {
    let first = upload(world).await;
    let second = FileRecord { owner: "bob".into(), filename: "b.png".into(), ..copy_of(&first, FileKind::Upload) };
    for _ in 0..2 {
        // Repeated, it gives the same answer.
        assert_eq!(world.queue.add_file(&second).await.unwrap(), Some(object(&first)));
        assert_eq!(world.queue.add_file(&first).await.unwrap(), None);
        audit(world, 1).unwrap();
    }
    let read = world.queue.file(second.id).await.unwrap().unwrap();
    assert_eq!((read.owner.as_str(), read.filename.as_str(), read.object()), ("bob", "b.png", object(&first)));
    assert_eq!(world.queue.file(first.id).await.unwrap().unwrap().object(), object(&first));
    let listed = world.queue.files(None, 0, 10).await.unwrap().1;
    assert!(listed.len() == 2 && listed.iter().all(|file| file.object() == object(&first)), "{listed:?}");
    let other = upload(world).await;
    assert_eq!(world.queue.file(other.id).await.unwrap().unwrap().object(), object(&other));
    // The second file's own copy, in case its writer dies before deleting it.
    assert!(world.queue.take_orphan_objects(10).await.unwrap().is_empty());
    world.advance(Duration::from_secs(3_600));
    assert_eq!(world.queue.take_orphan_objects(10).await.unwrap(), [object(&second)]);
    let asked = [object(&first), object(&second), object(&other)];
    assert_eq!(world.queue.unregistered(&asked).await.unwrap(), [object(&second)]);
    audit(world, 1).unwrap();
}

pub async fn the_last_file_deletes_its_object(world: &World) {
    let first = upload(world).await;
    let (second, third) = (copy_of(&first, FileKind::Upload), copy_of(&first, FileKind::Output));
    world.queue.add_file(&second).await.unwrap();
    world.queue.add_file(&third).await.unwrap();
    world.advance(Duration::from_secs(3_600));
    world.queue.take_orphan_objects(10).await.unwrap();

    let FileDeleted::Deleted(_, bytes) = world.queue.delete_file(first.id).await.unwrap() else { panic!() };
    assert_eq!(bytes, [], "two files need its object");
    let FileDeleted::Deleted(_, bytes) = world.queue.delete_file(third.id).await.unwrap() else { panic!() };
    assert_eq!(bytes, [object(&third)], "at most its own copy");
    assert_eq!(world.queue.file(second.id).await.unwrap().unwrap().object(), object(&first));
    assert_eq!(
        world.queue.unregistered(&[object(&first)]).await.unwrap(),
        [],
        "still needed after its first file was deleted"
    );
    audit(world, 1).unwrap();
    let FileDeleted::Deleted(_, bytes) = world.queue.delete_file(second.id).await.unwrap() else { panic!() };
    assert_eq!(bytes, [object(&first), object(&second)]);
    assert_eq!(world.queue.unregistered(&[object(&first)]).await.unwrap(), [object(&first)]);
    // In case the caller dies before it has deleted them.
    assert!(world.queue.take_orphan_objects(10).await.unwrap().is_empty());
    world.advance(Duration::from_secs(3_600));
    let again = world.queue.take_orphan_objects(10).await.unwrap();
    assert!(again.contains(&object(&first)) && again.contains(&object(&second)), "{again:?}");
    audit(world, 1).unwrap();
    assert!(!dump(world).names().iter().any(|key| key.starts_with("content:") || key.starts_with("object:")));
}

/// Deleting the last file does not affect the same content added meanwhile.
pub async fn deleted_content_gets_a_new_object(world: &World) {
    let first = upload(world).await;
    world.queue.delete_file(first.id).await.unwrap();
    let second = copy_of(&first, FileKind::Upload);
    assert_eq!(world.queue.add_file(&second).await.unwrap(), None, "its own object");
    world.advance(Duration::from_secs(3_600));
    assert_eq!(world.queue.take_orphan_objects(10).await.unwrap(), [object(&first)]);
    assert_eq!(world.queue.unregistered(&[object(&first), object(&second)]).await.unwrap(), [object(&first)]);
    audit(world, 1).unwrap();
}

/// A repeated or delayed registration must not name bytes that are being deleted.
pub async fn a_file_that_was_deleted_is_not_registered_again(world: &World) {
    let file = upload(world).await;
    world.queue.delete_file(file.id).await.unwrap();
    assert_eq!(world.queue.add_file(&file).await.unwrap(), None);
    assert_eq!(world.queue.file(file.id).await.unwrap(), None);
    assert_eq!(world.queue.take_orphan_objects(10).await.unwrap(), [object(&file)]);
    audit(world, 1).unwrap();
    let late = record(FileKind::Upload, None);
    assert_eq!(world.queue.retract_file(late.id).await.unwrap(), [object(&late)]);
    world.queue.add_file(&late).await.unwrap();
    assert_eq!(world.queue.file(late.id).await.unwrap(), None);
    audit(world, 1).unwrap();
}

pub async fn a_file_is_retracted_at_every_stage_of_its_registration(world: &World) {
    let never = FileId::new();
    assert_eq!(world.queue.retract_file(never).await.unwrap(), [ObjectId::from(never)]);
    let alone = upload(world).await;
    assert_eq!(world.queue.retract_file(alone.id).await.unwrap(), [object(&alone)]);
    assert_eq!(world.queue.retract_file(alone.id).await.unwrap(), [object(&alone)], "repeated");

    let (first, needed) = (upload(world).await, upload(world).await);
    let second = copy_of(&first, FileKind::Upload);
    world.queue.add_file(&second).await.unwrap();
    assert_eq!(world.queue.retract_file(first.id).await.unwrap(), [], "the second file needs the bytes");
    assert_eq!(world.queue.retract_file(first.id).await.unwrap(), [], "repeated");
    assert_eq!(world.queue.file(second.id).await.unwrap().unwrap().object(), object(&first));
    world.create(&task_with_files(&[needed.id])).await;
    assert_eq!(world.queue.retract_file(needed.id).await.unwrap(), [], "a task needs it already");
    assert!(world.queue.file(needed.id).await.unwrap().is_some());
    let before = dump(world);
    assert_eq!(world.queue.delete_file(FileId::new()).await.unwrap(), FileDeleted::NotFound);
    assert!(before == dump(world), "deleting an unknown id changes nothing");
    audit(world, 1).unwrap();
}

pub async fn an_output_of_a_collected_task_leaves_shared_objects(world: &World) {
    let kept = upload(world).await;
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    let shared = FileRecord { task_id: Some(id), ..copy_of(&kept, FileKind::Output) };
    let own = record(FileKind::Output, Some(id));
    assert_eq!(world.queue.add_file(&shared).await.unwrap(), Some(object(&kept)));
    world.queue.add_file(&own).await.unwrap();
    world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
    world.advance(Duration::from_secs(3_600));
    world.queue.take_orphan_objects(10).await.unwrap();
    world.queue.run_janitor_once().await.unwrap();
    assert_eq!(world.queue.take_orphan_objects(10).await.unwrap(), [object(&own)]);
    assert!(world.queue.file(kept.id).await.unwrap().is_some());
    // Repeated when its task is gone and another file needs its object.
    let (other, after) = made_and_shared(world).await;
    world.advance(Duration::from_secs(3_600));
    world.queue.run_janitor_once().await.unwrap();
    assert_eq!(world.queue.file(other.id).await.unwrap(), None);
    assert_eq!(world.queue.add_file(&other).await.unwrap(), None);
    let orphans = world.queue.take_orphan_objects(10).await.unwrap();
    assert!(!orphans.contains(&object(&other)), "{orphans:?}");
    assert_eq!(world.queue.file(after.id).await.unwrap().unwrap().object(), object(&other));
    // Its task is gone, but the bytes of the other file are kept.
    let late = FileRecord { task_id: Some(id), ..copy_of(&kept, FileKind::Output) };
    assert_eq!(world.queue.add_file(&late).await.unwrap(), None);
    assert_eq!(world.queue.take_orphan_objects(10).await.unwrap(), [object(&late)]);
    audit(world, 1).unwrap();
}

/// Returns an output of an ended task, and a later upload of the same content.
async fn made_and_shared(world: &World) -> (FileRecord, FileRecord) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:2").await;
    let claim = world.claim(&lease).await.unwrap();
    let output = record(FileKind::Output, Some(id));
    world.queue.add_file(&output).await.unwrap();
    world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
    let upload = copy_of(&output, FileKind::Upload);
    world.queue.add_file(&upload).await.unwrap();
    (output, upload)
}

pub async fn totals_are_exact(world: &World) {
    let totals = async || world.queue.counts().await.unwrap().files;
    let total = |count, bytes| Total { count, bytes };
    assert_eq!(totals().await, FileTotals::default());
    let large = 9_007_199_254_740_993; // One more than Lua's numbers hold.
    let first = FileRecord { size_bytes: large, ..record(FileKind::Upload, None) };
    world.queue.add_file(&first).await.unwrap();
    world.queue.add_file(&first).await.unwrap();
    let made = copy_of(&first, FileKind::Output);
    world.queue.add_file(&made).await.unwrap();
    world.queue.add_file(&FileRecord { size_bytes: 7, ..record(FileKind::Output, None) }).await.unwrap();
    let all = FileTotals { uploads: total(1, large), outputs: total(2, large + 7), stored: total(2, large + 7) };
    assert_eq!(totals().await, all);
    world.queue.delete_file(first.id).await.unwrap();
    world.queue.delete_file(first.id).await.unwrap();
    assert_eq!(totals().await, FileTotals { uploads: total(0, 0), ..all });
    world.queue.delete_file(made.id).await.unwrap();
    assert_eq!(totals().await, FileTotals { uploads: total(0, 0), outputs: total(1, 7), stored: total(1, 7) });
    audit(world, 1).unwrap();
}

/// Entries of an earlier release have no object, no kind, no size and no owner, and are not counted in the totals.
pub async fn files_of_older_versions_are_their_own_objects(world: &World) {
    let (old, older) = (upload(world).await, record(FileKind::Upload, None));
    forget_object(world, &old);
    assert_eq!(world.queue.file(old.id).await.unwrap().unwrap().object(), object(&old));
    assert_eq!(world.queue.files(None, 0, 10).await.unwrap().1, std::slice::from_ref(&old));
    assert_eq!(world.queue.unregistered(&[object(&old)]).await.unwrap(), []);
    assert_eq!(world.queue.add_file(&old).await.unwrap(), None, "sent again");
    let new = copy_of(&old, FileKind::Upload);
    assert_eq!(world.queue.add_file(&new).await.unwrap(), None);
    audit(world, 1).unwrap();
    let FileDeleted::Deleted(_, bytes) = world.queue.delete_file(old.id).await.unwrap() else { panic!() };
    assert_eq!(bytes, [object(&old)]);
    assert_eq!(world.queue.unregistered(&[object(&old)]).await.unwrap(), [object(&old)]);
    audit(world, 1).unwrap();
    world.queue.delete_file(new.id).await.unwrap();
    // Collected rather than deleted, so that its bytes are not deleted at once.
    world.queue.add_file(&older).await.unwrap();
    forget_object(world, &older);
    world.advance(Duration::from_secs(7_200));
    world.queue.take_orphan_objects(10).await.unwrap();
    let retention = Retention { uploads: Keep::For(Duration::from_secs(1)), ..Retention::default() };
    world.queue.run_janitor_once_with(retention).await.unwrap();
    assert!(world.queue.take_orphan_objects(10).await.unwrap().contains(&object(&older)));
    audit(world, 1).unwrap();
}

fn forget_object(world: &World, file: &FileRecord) {
    let id = file.id.to_string();
    world.redis(&["HDEL", &world.key(&format!("file:{id}")), "object", "kind", "size", "owner"]);
    for known in
        [format!("object:{id}"), format!("content:{}", file.sha256), "totals".to_owned(), "upload-bytes".to_owned()]
    {
        world.redis(&["DEL", &world.key(&known)]);
    }
}

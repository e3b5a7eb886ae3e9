//! Files that a published workflow names are neither deleted nor expire as long as the version is kept.

use super::{
    files::{task_with_files, upload},
    retention::{is_registered, retention_of, task_with_outputs},
    workflows::{head, name, raw},
};
use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{KEEP, World},
    },
};
use shuzhiren::{
    queue::{FileDeleted, NewWorkflow, Retention, WORKFLOW_LIMITS, WorkflowLimits, WorkflowWritten},
    settings::Keep,
    task::FileId,
};
use std::time::Duration;

scenarios! {
    a_file_named_by_a_workflow_is_not_deleted
    a_file_named_by_a_workflow_does_not_expire
    a_removed_version_releases_its_files
    a_file_named_by_a_workflow_outlives_its_task
}

const LIMITS: WorkflowLimits = WorkflowLimits { versions_kept: 2, ..WORKFLOW_LIMITS };

/// Publishes content number `number`, which names these files.
async fn put(world: &World, text: &str, number: u64, files: &[FileId]) -> WorkflowWritten {
    let graph = raw(&format!(r#"{{"3":{{"class_type":"K","inputs":{{"cfg":{number}}}}}}}"#));
    let new = NewWorkflow { head: &head("d"), graph: &graph, editor: None, files: &files.iter().copied().collect() };
    world.queue.publish_workflow(&name(text), new, None, LIMITS).await.unwrap()
}

/// Deletes a file. Returns what needs it, as the deletion reports it; `None` = it was deleted.
async fn needed_by(world: &World, file: FileId) -> Option<String> {
    match world.queue.delete_file(file).await.unwrap() {
        FileDeleted::InUse(Some(workflow)) => Some(workflow.to_string()),
        FileDeleted::InUse(None) => Some("a task".to_owned()),
        FileDeleted::Deleted(..) => None,
        FileDeleted::NotFound => panic!("{file} is not there"),
    }
}

pub async fn a_file_named_by_a_workflow_is_not_deleted(world: &World) {
    let (file, other, missing) = (upload(world).await, upload(world).await, FileId::new());
    let before = dump(world);
    assert_eq!(put(world, "a", 1, &[file.id, missing]).await, WorkflowWritten::NoSuchFile(missing));
    assert!(dump(world) == before);
    assert_eq!(put(world, "a", 1, &[file.id, other.id]).await, WorkflowWritten::Written(1));
    assert_eq!(put(world, "b", 1, &[file.id]).await, WorkflowWritten::Written(1));
    let before = dump(world);
    assert_eq!(put(world, "a", 1, &[file.id, other.id]).await, WorkflowWritten::Same(1));
    assert_eq!(needed_by(world, other.id).await.as_deref(), Some("a@1"));
    assert_eq!(world.queue.retract_file(other.id).await.unwrap(), []);
    assert!(dump(world) == before);
    // As published by an earlier release, which did not hold files; publishing it again holds them.
    world.redis(&["DEL", &world.key(&format!("held:{}", other.id))]);
    world.redis(&["HDEL", &world.key("workflow:a"), "files:1"]);
    assert_eq!(put(world, "a", 1, &[file.id, other.id]).await, WorkflowWritten::Same(1));
    assert!(dump(world) == before);

    world.create(&task_with_files(&[other.id])).await;
    world.queue.delete_workflow(&name("a"), LIMITS).await.unwrap();
    assert_eq!(needed_by(world, other.id).await.as_deref(), Some("a task"));
    assert_eq!(needed_by(world, file.id).await.as_deref(), Some("b@1"));
    world.queue.delete_workflow(&name("b"), LIMITS).await.unwrap();
    assert_eq!(needed_by(world, file.id).await, None);
    audit(world, 1).unwrap();
}

pub async fn a_file_named_by_a_workflow_does_not_expire(world: &World) {
    let retention = retention_of(Keep::For(KEEP), Keep::WithTask);
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(upload(world).await.id);
    }
    put(world, "a", 1, &held).await;
    let other = upload(world).await;
    world.advance(2 * KEEP);
    world.queue.run_janitor_once_with(retention).await.unwrap();
    assert_eq!(world.queue.counts().await.unwrap().files.uploads.count, 60);
    assert!(!is_registered(world, &other).await, "more than one batch of held files does not block it");
    world.queue.delete_workflow(&name("a"), LIMITS).await.unwrap();
    world.queue.run_janitor_once_with(retention).await.unwrap();
    assert_eq!(world.queue.counts().await.unwrap().files.uploads.count, 0);
    audit(world, 1).unwrap();
}

pub async fn a_removed_version_releases_its_files(world: &World) {
    let (first, every) = (upload(world).await.id, upload(world).await.id);
    put(world, "a", 1, &[first, every]).await;
    put(world, "a", 2, &[every]).await;
    assert_eq!(needed_by(world, first).await.as_deref(), Some("a@1"));
    assert_eq!(put(world, "a", 3, &[every]).await, WorkflowWritten::Written(3));
    assert_eq!(needed_by(world, first).await, None, "only two versions are kept");
    assert_eq!(dump(world).map("workflow:a").len(), 2 + 4 * 2);
    assert!(needed_by(world, every).await.is_some());
    world.queue.delete_workflow(&name("a"), LIMITS).await.unwrap();
    assert_eq!(needed_by(world, every).await, None);
    assert!(!dump(world).names().iter().any(|key| key.starts_with("held:")));
}

pub async fn a_file_named_by_a_workflow_outlives_its_task(world: &World) {
    let (id, outputs) = task_with_outputs(world, 2).await;
    put(world, "a", 1, &[outputs[0].id]).await;
    world.advance(KEEP);
    world.queue.run_janitor_once_with(Retention::default()).await.unwrap();
    assert!(is_registered(world, &outputs[0]).await && !is_registered(world, &outputs[1]).await);
    assert!(world.queue.task(id).await.unwrap().is_some(), "the task is deleted with its files");
    world.queue.delete_workflow(&name("a"), LIMITS).await.unwrap();
    world.advance(Duration::from_secs(60));
    world.queue.run_janitor_once_with(Retention::default()).await.unwrap();
    assert!(!is_registered(world, &outputs[0]).await && world.queue.task(id).await.unwrap().is_none());
    audit(world, 1).unwrap();
}

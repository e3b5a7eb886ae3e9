//! Retention of files, and the view of their tasks afterwards.

use super::files::{record, task_with_files, upload};
use crate::{
    scenarios,
    support::{
        audit::audit,
        world::{KEEP, World, failed},
    },
};
use shuzhiren::{
    queue::{FileKind, FileRecord, Retention},
    settings::Keep,
    task::{FailureKind, Links, ObjectId, Outcome, Output, OutputKind, TaskId, TaskView},
};
use std::time::Duration;

scenarios! {
    files_are_kept_for_their_retention
    a_file_in_use_is_kept_past_its_retention
    files_in_use_do_not_block_the_expiry_of_others
    outputs_with_their_own_retention_outlive_their_task
    a_task_lists_its_deleted_outputs
    an_output_in_use_by_another_task_outlives_its_own
    the_oldest_outputs_are_trimmed_first
    a_task_and_its_files_say_when_they_expire
}

const HOUR: Duration = Duration::from_secs(3_600);
const MS: Duration = Duration::from_millis(1);

pub fn retention_of(uploads: Keep, outputs: Keep) -> Retention {
    Retention { uploads, outputs, frees_memory: false }
}

pub async fn is_registered(world: &World, file: &FileRecord) -> bool {
    world.queue.file(file.id).await.unwrap().is_some()
}

fn output(file: &FileRecord) -> Output {
    Output {
        node_id: "9".into(),
        kind: OutputKind::Image,
        file_id: Some(file.id),
        filename: Some(file.filename.clone()),
        content_type: Some(file.content_type.clone()),
        size_bytes: Some(file.size_bytes),
        sha256: Some(file.sha256.clone()),
        ..Output::default()
    }
}

/// Makes a completed task with `count` outputs.
pub async fn task_with_outputs(world: &World, count: usize) -> (TaskId, Vec<FileRecord>) {
    let id = world.enqueue().await;
    let lease = world.lease(&format!("gpu:{id}")).await;
    let claim = world.claim(&lease).await.unwrap();
    let mut files = Vec::new();
    for _ in 0..count {
        files.push(record(FileKind::Output, Some(id)));
        world.queue.add_file(files.last().unwrap()).await.unwrap();
    }
    let outcome = Outcome::Completed(files.iter().map(output).collect());
    world.queue.settle(&lease, id, claim.attempt, &outcome).await.unwrap();
    (id, files)
}

pub async fn files_are_kept_for_their_retention(world: &World) {
    let file = upload(world).await;
    let (_, outputs) = task_with_outputs(world, 1).await;
    world.advance(HOUR - MS);
    let retention = retention_of(Keep::For(HOUR), Keep::For(2 * HOUR));
    world.queue.run_janitor_once_with(retention).await.unwrap();
    assert!(is_registered(world, &file).await && is_registered(world, &outputs[0]).await);
    let young = upload(world).await;
    world.advance(MS);
    world.queue.run_janitor_once_with(Retention::default()).await.unwrap();
    assert!(is_registered(world, &file).await, "uploads are kept by default");
    world.queue.run_janitor_once_with(retention).await.unwrap();
    assert!(!is_registered(world, &file).await && is_registered(world, &young).await);
    audit(world, 1).unwrap();
    assert!(world.queue.take_orphan_objects(10).await.unwrap().contains(&ObjectId::from(file.id)));
    assert_eq!(world.queue.counts().await.unwrap().files.uploads.count, 1);
}

pub async fn a_file_in_use_is_kept_past_its_retention(world: &World) {
    let retention = retention_of(Keep::For(HOUR), Keep::For(HOUR));
    let (file, later) = (upload(world).await, upload(world).await);
    let new = task_with_files(&[file.id]);
    world.create(&new).await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    // Stored, but not yet in the task's result.
    let stored = record(FileKind::Output, Some(new.id));
    world.queue.add_file(&stored).await.unwrap();
    world.advance(10 * HOUR);
    world.queue.run_janitor_once_with(retention).await.unwrap();
    assert!(
        is_registered(world, &file).await && is_registered(world, &stored).await && !is_registered(world, &later).await
    );
    world.queue.acquire(&lease.instance, "d", &lease.token, 30 * HOUR).await.unwrap();
    world.queue.settle(&lease, new.id, claim.attempt, &failed(FailureKind::NodeError)).await.unwrap();
    world.queue.run_janitor_once_with(retention).await.unwrap();
    assert!(!is_registered(world, &file).await && !is_registered(world, &stored).await);
    audit(world, 1).unwrap();
}

/// More than one batch of the oldest files are in use; the expired files behind them are removed all the same.
pub async fn files_in_use_do_not_block_the_expiry_of_others(world: &World) {
    let mut needed = Vec::new();
    for _ in 0..60 {
        needed.push(upload(world).await.id);
    }
    world.create(&task_with_files(&needed)).await;
    let mut unneeded = Vec::new();
    for _ in 0..60 {
        world.advance(MS);
        unneeded.push(upload(world).await);
    }
    world.advance(HOUR);
    world.queue.run_janitor_once_with(retention_of(Keep::For(HOUR), Keep::WithTask)).await.unwrap();
    let left = world.queue.files(Some(FileKind::Upload), 0, 200).await.unwrap();
    assert_eq!(left.0, 60);
    assert!(left.1.iter().all(|file| needed.contains(&file.id)));
    audit(world, 1).unwrap();
}

pub async fn outputs_with_their_own_retention_outlive_their_task(world: &World) {
    let retention = retention_of(Keep::Forever, Keep::For(2 * KEEP));
    let (id, outputs) = task_with_outputs(world, 2).await;
    world.advance(KEEP);
    world.queue.run_janitor_once_with(retention).await.unwrap();
    assert!(world.queue.task(id).await.unwrap().is_none());
    assert!(is_registered(world, &outputs[0]).await && is_registered(world, &outputs[1]).await);
    audit(world, 1).unwrap();
    world.advance(KEEP);
    world.queue.run_janitor_once_with(retention).await.unwrap();
    assert!(!is_registered(world, &outputs[0]).await && !is_registered(world, &outputs[1]).await);
    assert!(world.queue.task(id).await.unwrap().is_none(), "the task does not reappear");
    audit(world, 1).unwrap();
}

/// An output of one task that is an input of another stays until the other has ended, even if the first is deleted.
pub async fn an_output_in_use_by_another_task_outlives_its_own(world: &World) {
    let (id, outputs) = task_with_outputs(world, 2).await;
    let next = task_with_files(&[outputs[0].id]);
    world.create(&next).await;
    world.advance(KEEP);
    world.queue.run_janitor_once_with(Retention::default()).await.unwrap();
    assert!(is_registered(world, &outputs[0]).await && !is_registered(world, &outputs[1]).await);
    assert!(world.queue.task(id).await.unwrap().is_some(), "the task is deleted with its files");
    audit(world, 1).unwrap();

    // An abandoned attempt leaves an output that another task already needs.
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    assert_eq!(claim.task, next.id);
    let (early, given_up) = (record(FileKind::Output, Some(next.id)), record(FileKind::Output, Some(next.id)));
    world.queue.add_file(&early).await.unwrap();
    world.queue.add_file(&given_up).await.unwrap();
    let last = task_with_files(&[early.id]);
    world.create(&last).await;
    world.queue.settle(&lease, next.id, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap();
    assert!(is_registered(world, &early).await && !is_registered(world, &given_up).await);
    let gone = world.field(next.id, &format!("gone:{}", given_up.id));
    assert_eq!(gone, "", "its next attempt produces it again");
    audit(world, 1).unwrap();

    world.queue.cancel(next.id).await.unwrap();
    world.advance(Duration::from_secs(60));
    world.queue.run_janitor_once_with(Retention::default()).await.unwrap();
    assert!(!is_registered(world, &outputs[0]).await && world.queue.task(id).await.unwrap().is_none());
    world.queue.cancel(last.id).await.unwrap();
    world.advance(KEEP);
    world.queue.run_janitor_once_with(Retention::default()).await.unwrap();
    assert!(!is_registered(world, &early).await);
    audit(world, 1).unwrap();
}

pub async fn a_task_lists_its_deleted_outputs(world: &World) {
    let (id, outputs) = task_with_outputs(world, 2).await;
    let links = Links::new("http://x");
    let result = async || TaskView::new(&world.task(id).await, &links).result.unwrap();
    assert_eq!(result().await.files.len(), 2);
    world.queue.delete_file(outputs[0].id).await.unwrap();
    let left = result().await;
    assert_eq!(left.files, [links.file(outputs[1].id)]);
    let shown = left.outputs.iter().map(|output| (output.deleted, output.url.is_some())).collect::<Vec<_>>();
    assert_eq!(shown, [(true, false), (false, true)]);
    assert_eq!(left.outputs[0].output.sha256.as_ref(), Some(&outputs[0].sha256), "the facts do not change");
    world.advance(HOUR / 2);
    world.queue.run_janitor_once_with(retention_of(Keep::Forever, Keep::For(HOUR / 2))).await.unwrap();
    assert!(result().await.files.is_empty() && result().await.outputs.iter().all(|output| output.deleted));
    audit(world, 1).unwrap();
}

pub async fn the_oldest_outputs_are_trimmed_first(world: &World) {
    let (_, in_use) = task_with_outputs(world, 1).await;
    world.advance(MS);
    let (old, outputs) = task_with_outputs(world, 2).await;
    world.advance(MS);
    let (_, young) = task_with_outputs(world, 1).await;
    let kept = upload(world).await;
    let next = task_with_files(&[in_use[0].id]);
    world.create(&next).await;
    let trim = async |excess, skip, waits| {
        let trimmed = world.queue.trim_outputs(excess, skip, 10, waits).await.unwrap();
        (trimmed.examined, trimmed.needed, trimmed.removed, trimmed.bytes)
    };
    // Each has 5 bytes.
    assert_eq!(trim(6, 0, false).await, (3, 1, 2, 10));
    assert!(is_registered(world, &in_use[0]).await && is_registered(world, &young[0]).await);
    let view = TaskView::new(&world.task(old).await, &Links::new("http://x"));
    assert!(view.result.unwrap().outputs.iter().all(|output| output.deleted), "the task says so");
    assert!(!is_registered(world, &outputs[0]).await && !is_registered(world, &outputs[1]).await);
    assert_eq!(trim(1, 1, true).await, (0, 0, 0, 0), "their bytes are still on the disk");
    assert_eq!(world.queue.take_orphan_objects(10).await.unwrap().len(), 2);
    assert_eq!(trim(1, 1, true).await, (1, 0, 1, 5));
    // An output of a running task.
    let lease = world.lease("gpu:2").await;
    assert_eq!(world.claim(&lease).await.unwrap().task, next.id);
    let early = record(FileKind::Output, Some(next.id));
    world.queue.add_file(&early).await.unwrap();
    assert_eq!(trim(100, 0, false).await, (2, 2, 0, 0));
    assert!(is_registered(world, &early).await && is_registered(world, &kept).await);
    audit(world, 1).unwrap();
}

pub async fn a_task_and_its_files_say_when_they_expire(world: &World) {
    let (id, outputs) = task_with_outputs(world, 1).await;
    let waiting = world.enqueue().await;
    assert_eq!(world.task(waiting).await.expires_ms, None);
    let task = world.task(id).await;
    let expires_ms = task.finished_ms.unwrap() + u64::try_from(KEEP.as_millis()).unwrap();
    assert_eq!(task.expires_ms, Some(expires_ms));
    let listed = world.queue.files(Some(FileKind::Output), 0, 10).await.unwrap().1.remove(0);
    assert_eq!((listed.id, listed.task_expires_ms), (outputs[0].id, Some(expires_ms)));
    assert_eq!(Retention::default().expires_ms(&listed), Some(expires_ms));
    let own = retention_of(Keep::Forever, Keep::For(HOUR));
    assert_eq!(own.expires_ms(&listed), Some(listed.created_ms + 3_600_000));
    let file = upload(world).await;
    assert_eq!((own.expires_ms(&file), Retention::default().expires_ms(&file)), (None, None));
}

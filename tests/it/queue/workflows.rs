//! Published workflows: numbered versions, deduplication by content, deletion, limits; and the tasks made from them.

use crate::{
    scenarios,
    support::{
        audit::{audit, dump},
        world::{World, completed, new_task},
    },
};
use serde_json::value::RawValue;
use shuzhiren::{
    queue::{
        NewWorkflow, StoredWorkflow, TaskQuery, WORKFLOW_LIMITS, WorkflowFound, WorkflowHead, WorkflowLimits,
        WorkflowWritten,
    },
    task::{FileId, NewTask, Status, TaskId, WorkflowName, WorkflowVersion},
};
use std::{collections::BTreeSet, time::Duration};

scenarios! {
    a_published_workflow_is_read_back_to_the_byte
    the_same_content_makes_no_new_version
    a_publish_with_an_outdated_version_is_refused
    only_the_newest_versions_are_kept
    version_numbers_continue_after_a_deletion
    the_number_of_published_workflows_is_limited
    workflows_are_listed_by_name
    a_page_of_long_workflows_ends_early
    tasks_are_listed_by_their_workflow
}

pub fn name(text: &str) -> WorkflowName {
    text.parse().unwrap()
}

pub fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

pub fn head(description: &str) -> WorkflowHead {
    WorkflowHead { description: Some(description.to_owned()), params: raw(r#"{"x":{"type":"number","min":1e-7}}"#) }
}

/// Returns a version that names no files.
fn plain<'a>(head: &'a WorkflowHead, graph: &'a RawValue) -> NewWorkflow<'a> {
    static NONE: BTreeSet<FileId> = BTreeSet::new();
    NewWorkflow { head, graph, editor: None, files: &NONE }
}

/// Publishes content number `number`.
async fn put(world: &World, text: &str, number: u64, expected: Option<u64>) -> WorkflowWritten {
    let graph =
        raw(&format!(r#"{{"3":{{"class_type":"K","inputs":{{"seed":18446744073709551615,"cfg":{number}.50}}}}}}"#));
    world.queue.publish_workflow(&name(text), plain(&head("d"), &graph), expected, WORKFLOW_LIMITS).await.unwrap()
}

async fn found(world: &World, text: &str, version: Option<u64>) -> StoredWorkflow {
    match world.queue.workflow(&name(text), version).await.unwrap() {
        WorkflowFound::Found(workflow) => *workflow,
        other => panic!("not found: {other:?}"),
    }
}

pub async fn a_page_of_long_workflows_ends_early(world: &World) {
    let long = WorkflowHead { description: Some("x".repeat(900_000)), ..head("d") };
    let graph = raw("{}");
    for number in 0..5 {
        let published = plain(&long, &graph);
        world.queue.publish_workflow(&name(&format!("w{number}")), published, None, WORKFLOW_LIMITS).await.unwrap();
    }
    let (total, rows) = world.queue.workflows(0, 200).await.unwrap();
    assert_eq!((total, rows.len()), (5, 3));
    let (_, rows) = world.queue.workflows(3, 200).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["w3", "w4"]);
}

pub async fn a_published_workflow_is_read_back_to_the_byte(world: &World) {
    assert_eq!(put(world, "a", 1, None).await, WorkflowWritten::Written(1));
    world.advance(Duration::from_secs(5));
    assert_eq!(put(world, "a", 2, None).await, WorkflowWritten::Written(2));
    let workflow = found(world, "a", None).await;
    assert_eq!((workflow.version, workflow.latest, workflow.versions.as_slice()), (2, 2, &[1, 2][..]));
    assert_eq!(workflow.graph.get(), r#"{"3":{"class_type":"K","inputs":{"seed":18446744073709551615,"cfg":2.50}}}"#);
    assert_eq!(workflow.head.params.get(), r#"{"x":{"type":"number","min":1e-7}}"#);
    assert_eq!((workflow.head.description.as_deref(), workflow.created_ms), (Some("d"), world.now_ms()));
    let first = found(world, "a", Some(1)).await;
    assert!(first.graph.get().contains("1.50") && first.version == 1 && first.latest == 2);
    assert_eq!((first.created_ms, first.updated_ms), (world.now_ms() - 5_000, world.now_ms()));
    assert!(
        matches!(world.queue.workflow(&name("a"), Some(3)).await.unwrap(), WorkflowFound::NoSuchVersion(kept) if kept == [1, 2])
    );
    put(world, "b", 1, None).await;
    assert!(
        matches!(world.queue.workflow(&name("c"), None).await.unwrap(), WorkflowFound::NoSuchName(names) if names == ["a", "b"])
    );
}

pub async fn the_same_content_makes_no_new_version(world: &World) {
    put(world, "a", 1, None).await;
    world.advance(Duration::from_secs(5));
    let before = dump(world);
    for expected in [None, Some(0), Some(1)] {
        assert_eq!(put(world, "a", 1, expected).await, WorkflowWritten::Same(1), "{expected:?}");
    }
    assert!(dump(world) == before);
    let graph = found(world, "a", None).await.graph;
    let other = WorkflowHead { description: None, ..head("") };
    assert_eq!(
        world.queue.publish_workflow(&name("a"), plain(&other, &graph), None, WORKFLOW_LIMITS).await.unwrap(),
        WorkflowWritten::Written(2)
    );
    // Older content published again makes a new version.
    assert_eq!(put(world, "a", 1, None).await, WorkflowWritten::Written(3));
    assert_eq!(put(world, "b", 1, None).await, WorkflowWritten::Written(1), "another name is another workflow");
}

pub async fn a_publish_with_an_outdated_version_is_refused(world: &World) {
    assert_eq!(put(world, "a", 1, Some(1)).await, WorkflowWritten::Outdated(0));
    assert_eq!(put(world, "a", 1, Some(0)).await, WorkflowWritten::Written(1));
    assert_eq!(put(world, "a", 2, Some(0)).await, WorkflowWritten::Outdated(1));
    assert_eq!(put(world, "a", 2, Some(1)).await, WorkflowWritten::Written(2));
    assert_eq!(put(world, "a", 3, Some(1)).await, WorkflowWritten::Outdated(2));
    assert_eq!(found(world, "a", None).await.version, 2);
}

pub async fn only_the_newest_versions_are_kept(world: &World) {
    for number in 1..=WORKFLOW_LIMITS.versions_kept + 3 {
        assert_eq!(put(world, "a", number, None).await, WorkflowWritten::Written(number));
    }
    let kept: Vec<u64> = (4..=WORKFLOW_LIMITS.versions_kept + 3).collect();
    assert_eq!(found(world, "a", None).await.versions, kept);
    assert!(matches!(world.queue.workflow(&name("a"), Some(3)).await.unwrap(), WorkflowFound::NoSuchVersion(_)));
    let fields = dump(world).map("workflow:a");
    assert_eq!(fields.len() as u64, 2 + 3 * WORKFLOW_LIMITS.versions_kept, "{:?}", fields.keys());
}

pub async fn version_numbers_continue_after_a_deletion(world: &World) {
    put(world, "a", 1, None).await;
    put(world, "a", 2, None).await;
    assert_eq!(world.queue.delete_workflow(&name("never"), WORKFLOW_LIMITS).await.unwrap(), None);
    for _ in 0..2 {
        assert_eq!(world.queue.delete_workflow(&name("a"), WORKFLOW_LIMITS).await.unwrap(), Some(2));
    }
    assert!(
        matches!(world.queue.workflow(&name("a"), None).await.unwrap(), WorkflowFound::NoSuchName(names) if names.is_empty())
    );
    assert_eq!(put(world, "a", 2, Some(0)).await, WorkflowWritten::Written(3));
    assert_eq!(found(world, "a", None).await.versions, [3]);
    assert_eq!(dump(world).map("workflows-gone").len(), 0);
    // Of many deleted names, those with the fewest versions are dropped.
    world.queue.delete_workflow(&name("a"), WORKFLOW_LIMITS).await.unwrap();
    put(world, "b", 1, None).await;
    let limits = WorkflowLimits { gone_max: 1, ..WORKFLOW_LIMITS };
    assert_eq!(world.queue.delete_workflow(&name("b"), limits).await.unwrap(), Some(1));
    assert_eq!(dump(world).map("workflows-gone").into_keys().collect::<Vec<_>>(), ["a"]);
}

pub async fn the_number_of_published_workflows_is_limited(world: &World) {
    let put_at = async |text: &str, number: u64| {
        let graph = raw(&format!(r#"{{"3":{{"class_type":"K","inputs":{{"cfg":{number}}}}}}}"#));
        let limits = WorkflowLimits { workflows_max: 2, ..WORKFLOW_LIMITS };
        world.queue.publish_workflow(&name(text), plain(&head("d"), &graph), None, limits).await.unwrap()
    };
    assert_eq!(put_at("a", 1).await, WorkflowWritten::Written(1));
    assert_eq!(put_at("b", 1).await, WorkflowWritten::Written(1));
    let before = dump(world);
    assert_eq!(put_at("c", 1).await, WorkflowWritten::Full);
    assert!(dump(world) == before);
    assert_eq!(put_at("b", 2).await, WorkflowWritten::Written(2), "an existing workflow may get more versions");
    world.redis(&["HSET", &world.key("workflow:a"), "head:1", "{}"]);
    let (total, rows) = world.queue.workflows(0, 9).await.unwrap();
    assert_eq!((total, rows.len()), (2, 1), "a corrupt workflow is left out and hides no other");
}

pub async fn workflows_are_listed_by_name(world: &World) {
    for (text, number) in [("b", 1), ("a", 1), ("C", 1), ("b", 2)] {
        put(world, text, number, None).await;
        world.advance(Duration::from_secs(1));
    }
    let (total, rows) = world.queue.workflows(0, 200).await.unwrap();
    let shown: Vec<(&str, u64, u64)> =
        rows.iter().map(|row| (row.name.as_str(), row.version, world.now_ms() - row.updated_ms)).collect();
    assert_eq!((total, shown), (3, vec![("C", 1, 2_000), ("a", 1, 3_000), ("b", 2, 1_000)]));
    assert_eq!(rows[0].head.params.get(), head("d").params.get());
    let (total, rows) = world.queue.workflows(1, 1).await.unwrap();
    assert_eq!((total, rows.len(), rows[0].name.as_str()), (3, 1, "a"));
    assert!(world.queue.workflows(u64::MAX, 5).await.unwrap().1.is_empty());
}

pub async fn tasks_are_listed_by_their_workflow(world: &World) {
    let lease = world.lease("gpu:1").await;
    let made_from = |text: &str, owner: &str| {
        let mut new = NewTask { owner: owner.to_owned(), ..new_task() };
        new.facts.workflow = Some(WorkflowVersion { name: name(text), version: 1 });
        new
    };
    let first = world.create(&made_from("a", "alice")).await.id;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, claim.task, claim.attempt).await.unwrap();
    audit(world, 1).unwrap();
    world.queue.settle(&lease, claim.task, claim.attempt, &completed()).await.unwrap();
    audit(world, 1).unwrap();
    world.advance(Duration::from_secs(1));
    let second = world.create(&made_from("a", "bob")).await.id;
    world.create(&made_from("b", "alice")).await;
    world.enqueue().await;
    let list = async |text: &str, statuses: &[Status]| -> Vec<TaskId> {
        let query =
            TaskQuery { workflow: Some(name(text)), statuses: statuses.to_vec(), limit: 9, ..TaskQuery::default() };
        let page = world.queue.list(&query).await.unwrap();
        assert_eq!(page.total, page.items.len() as u64);
        page.items.iter().map(|task| task.id).collect()
    };
    assert_eq!(list("a", &[]).await, [second, first]);
    assert_eq!(list("a", &[Status::Completed]).await, [first]);
    assert_eq!(list("a", &[Status::Pending, Status::Failed]).await, [second]);
    assert_eq!(list("b", &[]).await.len(), 1);
    assert!(list("c", &[]).await.is_empty());
    assert_eq!(world.task(first).await.facts.workflow.unwrap().name, name("a"));
    audit(world, 1).unwrap();
}

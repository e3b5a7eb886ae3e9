//! Every change is published as an event of `event.rs`, in the order of versions.

use super::attempts::janitor;
use crate::{
    scenarios,
    support::world::{World, completed, failed, new_task},
};
use shuzhiren::{
    event::{Event, TaskChange, TaskEvent},
    fleet::{InstanceReport, InstanceStatus},
    queue::{Feed, FeedItem},
    task::{FailureKind, InstanceId, NewTask, Outcome, Output, OutputKind, Progress, TaskId},
};
use std::time::Duration;

scenarios! {
    every_change_of_a_task_is_published
    busy_and_idle_are_published
    a_cancel_event_names_the_instance
    a_revival_is_published_with_its_number
    config_and_enabled_changes_are_published
    dispatchers_get_what_they_act_on
    unusual_owner_names_are_published_unchanged
    unreadable_messages_are_skipped
}

pub async fn next(feed: &mut Feed) -> Event {
    match tokio::time::timeout(Duration::from_secs(5), feed.next()).await.expect("an event") {
        FeedItem::Event(event) => *event,
        FeedItem::Gap => panic!("a gap"),
    }
}

pub async fn next_task(feed: &mut Feed) -> TaskEvent {
    loop {
        if let Event::Task(event) = next(feed).await {
            return event;
        }
    }
}

async fn next_instance(feed: &mut Feed) -> InstanceStatus {
    loop {
        if let Event::Instance(status) = next(feed).await {
            return *status;
        }
    }
}

pub async fn a_revival_is_published_with_its_number(world: &World) {
    let id = world.enqueue().await;
    world.queue.cancel(id).await.unwrap();
    let mut feed = world.queue.feed().await.unwrap();
    for life in 1..=2 {
        for _ in 0..2 {
            world.queue.revive(id).await.unwrap();
        }
        let lease = world.lease(&format!("gpu:{life}")).await;
        let claim = world.claim(&lease).await.unwrap();
        let progress = Progress { percent: 7, ..Progress::default() };
        world.queue.progress(&lease, id, claim.attempt, &progress).await.unwrap();
        world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::NodeError)).await.unwrap();
        let mut version = 0;
        for kind in ["revived", "claimed", "started", "progress", "failed"] {
            let event = next_task(&mut feed).await;
            assert!(event.version > version, "{event:?}");
            version = event.version;
            let change = serde_json::to_value(&event.change).unwrap();
            assert_eq!((event.id, event.revived, &change["kind"]), (id, life, &kind.into()), "{event:?}");
        }
    }
}

pub async fn every_change_of_a_task_is_published(world: &World) {
    let mut feed = world.queue.feed().await.unwrap();
    let id = world.enqueue().await;
    let (one, two) = (world.lease("gpu:1").await, world.lease("gpu:2").await);
    let first = world.claim(&one).await.unwrap();
    world.queue.start(&one, id, first.attempt).await.unwrap();
    let progress = Progress {
        percent: 40,
        current_node: Some("\"3\"".into()),
        nodes_done: 2,
        nodes_total: 5,
        ..Progress::default()
    };
    world.queue.progress(&one, id, first.attempt, &progress).await.unwrap();
    world.queue.settle(&one, id, first.attempt, &failed(FailureKind::Stalled)).await.unwrap();
    world.advance(Duration::from_secs(2));
    janitor(world).await;
    let second = world.claim(&two).await.unwrap();
    world.queue.requeue(&two, id, second.attempt, false, "drained").await.unwrap();
    let third = world.claim(&two).await.unwrap();
    let output = Output {
        node_id: "9".into(),
        kind: OutputKind::Text,
        text: Some("图".into()),
        temporary: true,
        ..Output::default()
    };
    world.queue.settle(&two, id, third.attempt, &Outcome::Completed(vec![output.clone()])).await.unwrap();

    let mut kinds = Vec::new();
    for version in 1..=9 {
        let event = next_task(&mut feed).await;
        assert_eq!((event.id, event.version, event.owner.as_str()), (id, version, "alice"));
        match &event.change {
            TaskChange::Progress(seen) => assert_eq!(seen, &progress),
            TaskChange::Completed { outputs, .. } => assert_eq!(outputs.as_slice(), std::slice::from_ref(&output)),
            _ => {}
        }
        let kind = serde_json::to_value(&event.change).unwrap()["kind"].as_str().unwrap().to_owned();
        kinds.push((kind, event.attempt.get(), event.instance.map(|instance| instance.to_string())));
    }
    let at = |gpu: &str| Some(gpu.to_owned());
    let expected = [
        ("pending", 0, None),
        ("claimed", 1, at("gpu:1")),
        ("started", 1, at("gpu:1")),
        ("progress", 1, at("gpu:1")),
        ("pending", 1, at("gpu:1")),
        ("pending", 1, at("gpu:1")),
        ("claimed", 2, at("gpu:2")),
        ("pending", 2, at("gpu:2")),
        ("claimed", 3, at("gpu:2")),
    ];
    assert_eq!(kinds, expected.map(|(kind, attempt, instance)| (kind.to_owned(), attempt, instance)));
    let event = next_task(&mut feed).await;
    assert!(matches!(&event.change, TaskChange::Completed { outputs, .. } if outputs == &[output]), "{event:?}");
    assert_eq!(world.task(id).await.version, event.version);
}

pub async fn busy_and_idle_are_published(world: &World) {
    let mut feed = world.queue.feed().await.unwrap();
    let lease = world.lease("gpu:1").await;
    let status = next_instance(&mut feed).await;
    assert!(status.leased && status.enabled && status.tasks.is_empty());
    let report = InstanceReport { alive: true, version: Some("0.3\"".into()), ..InstanceReport::default() };
    world.queue.report(&lease, &report, true).await.unwrap();
    assert_eq!(next_instance(&mut feed).await.report.version.as_deref(), Some("0.3\""));
    world.queue.report(&lease, &report, false).await.unwrap();
    for ending in 0..5 {
        let id = world.enqueue().await;
        let claim = world.claim(&lease).await.unwrap();
        // The claim is in the event of the task, and so is its regular end.
        match ending {
            0 => {
                world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
                continue;
            }
            1 => drop(world.queue.settle(&lease, id, claim.attempt, &failed(FailureKind::Stalled)).await.unwrap()),
            2 => {
                world.queue.cancel(id).await.unwrap();
                world.queue.release(&lease, id).await.unwrap();
            }
            3 => {
                world.queue.cancel(id).await.unwrap();
                world.queue.settle(&lease, id, claim.attempt, &completed()).await.unwrap();
            }
            _ => drop(world.queue.requeue(&lease, id, claim.attempt, false, "test").await.unwrap()),
        }
        assert!(next_instance(&mut feed).await.tasks.is_empty(), "ending {ending}");
    }
    world.queue.release_lease(&lease).await.unwrap();
    assert!(!next_instance(&mut feed).await.leased);
}

/// The dispatcher learns of a cancel from the event, long before its next renew.
pub async fn a_cancel_event_names_the_instance(world: &World) {
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    world.claim(&lease).await.unwrap();
    let mut feed = world.queue.feed().await.unwrap();
    world.queue.cancel(id).await.unwrap();
    world.queue.cancel(id).await.unwrap();
    let event = next_task(&mut feed).await;
    assert!(matches!(event.change, TaskChange::Cancelled));
    assert_eq!(event.instance.unwrap(), lease.instance);
    let other = world.enqueue().await;
    assert_eq!(next_task(&mut feed).await.id, other, "cancelled once, published once");
}

pub async fn config_and_enabled_changes_are_published(world: &World) {
    let mut feed = world.queue.feed().await.unwrap();
    world.queue.put_config(&super::fleet::config(&[1]), None).await.unwrap();
    assert!(matches!(next(&mut feed).await, Event::Config { version: 1 }));
    world.queue.set_enabled(&InstanceId::new("gpu:1"), false).await.unwrap();
    let status = next_instance(&mut feed).await;
    assert!(!status.enabled);
    assert_eq!(status.id.as_str(), "gpu:1");
}

pub async fn unusual_owner_names_are_published_unchanged(world: &World) {
    let mut feed = world.queue.feed().await.unwrap();
    for owner in ["", "a\"b\\c/\n\u{1}\u{7f}", "数字人 😀", "{x}:*", "a,b"] {
        let new = NewTask { owner: owner.to_owned(), ..new_task() };
        world.create(&new).await;
        assert_eq!(next_task(&mut feed).await.owner, owner);
        assert_eq!(world.task(new.id).await.owner, owner);
    }
    crate::support::audit::audit(world, 1).unwrap();
}

pub async fn unreadable_messages_are_skipped(world: &World) {
    let mut feed = world.queue.feed().await.unwrap();
    for junk in ["", "{}", "{\"task\":{}}", "nonsense", "{\"other\":1}"] {
        world.redis(&["PUBLISH", &world.key("events"), junk]);
    }
    let id = world.enqueue().await;
    assert_eq!(next_task(&mut feed).await.id, id);
    assert_ne!(id, TaskId::new());
}

pub async fn dispatchers_get_what_they_act_on(world: &World) {
    let mut control = world.queue.control_feed().await.unwrap();
    let waiting = world.enqueue().await;
    world.queue.cancel(waiting).await.unwrap();
    let id = world.enqueue().await;
    let lease = world.lease("gpu:1").await;
    let claim = world.claim(&lease).await.unwrap();
    world.queue.start(&lease, id, claim.attempt).await.unwrap();
    world.queue.cancel(id).await.unwrap();
    world.queue.put_config(&super::fleet::config(&[1]), None).await.unwrap();
    world.queue.set_enabled(&lease.instance, false).await.unwrap();
    let event = next_task(&mut control).await;
    assert!(matches!(event.change, TaskChange::Cancelled));
    assert_eq!((event.id, event.instance.as_ref()), (id, Some(&lease.instance)));
    assert!(matches!(next(&mut control).await, Event::Config { version: 1 }));
    assert!(!next_instance(&mut control).await.enabled);
}

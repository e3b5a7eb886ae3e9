//! Tasks that are sent together: each is accepted or refused independently, and none is lost.

use crate::{
    scenarios,
    support::{
        audit::audit,
        world::{World, new_task},
    },
};
use futures_util::future::join_all;
use serde_json::value::RawValue;
use shuzhiren::{
    queue::{Enqueued, Error},
    task::{FileId, FileInput, TaskFacts},
};

scenarios! {
    tasks_sent_together_are_accepted_independently
    tasks_with_one_id_sent_together_are_one
    a_large_task_among_small_ones_is_accepted
    a_task_that_fails_the_script_does_not_fail_the_others
}

/// Three kinds in turn: a new task, the first one again with another body, one whose file is missing.
pub async fn tasks_sent_together_are_accepted_independently(world: &World) {
    let first = new_task();
    world.create(&first).await;
    let tasks: Vec<_> = (0..300)
        .map(|number| {
            let mut new = new_task();
            match number % 3 {
                0 => {}
                1 => (new.id, new.fingerprint) = (first.id, "other".to_owned()),
                _ => {
                    let input = FileInput { node_id: "1".into(), input: "image".into(), file_id: FileId::new() };
                    new.payload.files = vec![input];
                }
            }
            new
        })
        .collect();
    let answers = join_all(tasks.iter().map(|new| world.queue.enqueue(new))).await;
    for (number, (new, answer)) in tasks.iter().zip(answers).enumerate() {
        match (number % 3, answer.unwrap()) {
            (0, Enqueued::Created(task)) => assert_eq!((task.id, world.task(new.id).await.id), (new.id, new.id)),
            (1, Enqueued::Conflict) => {}
            (2, Enqueued::NoSuchFile(id)) => assert_eq!(id, new.payload.files[0].file_id),
            (kind, other) => panic!("kind {kind}: {other:?}"),
        }
    }
    assert_eq!(world.queue.counts().await.unwrap().pending, 101);
    audit(world, 1).unwrap();
}

pub async fn a_large_task_among_small_ones_is_accepted(world: &World) {
    let noise = |seed: u64| -> String {
        // Incompressible, so that it is as large in Redis.
        let mut state = seed;
        let digits = (0..200_000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("{:08x}", state >> 32)
        });
        format!(r#"{{"3":{{"class_type":"A","inputs":{{"x":"{}"}}}}}}"#, digits.collect::<String>())
    };
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let mut new = new_task();
            new.facts = TaskFacts { nodes_total: number, ..TaskFacts::default() };
            if number % 5 == 0 {
                new.payload.workflow = RawValue::from_string(noise(number.into())).unwrap();
            }
            new
        })
        .collect();
    for answer in join_all(tasks.iter().map(|new| world.queue.enqueue(new))).await {
        assert!(matches!(answer, Ok(Enqueued::Created(_))), "{answer:?}");
    }
    for new in &tasks {
        let stored = world.queue.payload(new.id).await.unwrap().expect("its payload");
        assert_eq!(stored.workflow.get(), new.payload.workflow.get());
    }
    audit(world, 1).unwrap();
}

/// The key of its hash has another type, so the script fails in the middle of its batch.
pub async fn a_task_that_fails_the_script_does_not_fail_the_others(world: &World) {
    let tasks: Vec<_> = (0..50).map(|_| new_task()).collect();
    let bad = &tasks[25];
    world.redis(&["SET", &world.key(&format!("task:{}", bad.id)), "no hash"]);
    let answers = join_all(tasks.iter().map(|new| world.queue.enqueue(new))).await;
    for (new, answer) in tasks.iter().zip(answers) {
        match answer {
            Err(error) => assert!(new.id == bad.id && matches!(error, Error::Corrupt(_)), "{error}"),
            Ok(Enqueued::Created(task)) => assert_eq!(task.id, new.id),
            Ok(other) => panic!("{other:?}"),
        }
    }
    world.redis(&["DEL", &world.key(&format!("task:{}", bad.id))]);
    assert_eq!(world.queue.counts().await.unwrap().pending, 49);
    audit(world, 1).unwrap();
}

pub async fn tasks_with_one_id_sent_together_are_one(world: &World) {
    let new = new_task();
    let answers = join_all((0..20).map(|_| world.queue.enqueue(&new))).await;
    let created = answers.iter().filter(|answer| matches!(answer, Ok(Enqueued::Created(_)))).count();
    let replayed = answers.iter().filter(|answer| matches!(answer, Ok(Enqueued::Replayed(task)) if task.id == new.id));
    assert_eq!((created, replayed.count()), (1, 19), "{answers:?}");
    audit(world, 1).unwrap();
}

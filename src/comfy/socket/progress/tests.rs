//! Progress of recorded and of random runs.

use super::{NodeWeights, ProgressTracker};
use crate::{comfy::PromptEvent, task::Progress};
use proptest::prelude::*;
use std::time::Duration;
use uuid::Uuid;

const PROMPT: Uuid = Uuid::from_u128(7);

fn tracker(ids: &[&str]) -> ProgressTracker {
    ProgressTracker::new(PROMPT, ids.iter().map(|&id| id.to_owned()))
}

fn executing(node: &str) -> PromptEvent {
    PromptEvent::Executing { prompt: PROMPT, node: node.to_owned() }
}

fn executed(node: &str) -> PromptEvent {
    PromptEvent::Executed { prompt: PROMPT, node: node.to_owned(), outputs: Vec::new() }
}

fn cached(nodes: &[&str]) -> PromptEvent {
    PromptEvent::Cached { prompt: PROMPT, nodes: nodes.iter().map(|&node| node.to_owned()).collect() }
}

fn bar(node: &str, value: f64, max: f64) -> PromptEvent {
    PromptEvent::Progress { prompt: PROMPT, node: Some(node.to_owned()), value, max }
}

/// Events of a captured run: 1 is cached, 2 has a bar of four steps, 3 saves.
#[test]
fn percent_covers_the_whole_graph() {
    let mut tracker = tracker(&["1", "2", "3", "4"]);
    let seen: Vec<(u8, u32, Option<String>)> = [
        PromptEvent::Started(PROMPT),
        cached(&["1"]),
        executing("2"),
        bar("2", 1.0, 4.0),
        bar("2", 2.0, 4.0),
        bar("2", 4.0, 4.0),
        executing("3"),
        executed("3"),
        executing("4"),
        PromptEvent::Ended(PROMPT),
    ]
    .iter()
    .map(|event| {
        tracker.apply(event);
        let progress = tracker.progress();
        assert_eq!(progress.nodes_total, 4);
        (progress.percent, progress.nodes_done, progress.current_node)
    })
    .collect();
    let at = |node: &str| Some(node.to_owned());
    assert_eq!(
        seen,
        [
            (0, 0, None),
            (0, 1, None),
            (0, 1, at("2")),
            (8, 1, at("2")),
            (16, 1, at("2")),
            (33, 1, at("2")),
            (33, 2, at("3")),
            (66, 3, None),
            (66, 3, at("4")),
            (99, 4, None),
        ]
    );
}

#[test]
fn an_expanded_node_counts_as_its_graph_node() {
    let mut tracker = tracker(&["1", "2"]);
    tracker.apply(&executing("1"));
    tracker.apply(&executing("1.0.0.1"));
    tracker.apply(&bar("1.0.0.1", 1.0, 2.0));
    let progress = tracker.progress();
    assert_eq!((progress.percent, progress.nodes_done, progress.current_node.as_deref()), (25, 0, Some("1")));
    tracker.apply(&cached(&["1.0.0.2"]));
    assert_eq!(tracker.progress().nodes_done, 0);
    tracker.apply(&executing("2"));
    assert_eq!(tracker.progress().nodes_done, 1);
}

/// Nodes that sample twice restart their bar.
#[test]
fn a_restarted_bar_does_not_lower_the_percent() {
    let mut tracker = tracker(&["1", "2"]);
    let percents = [executing("1"), bar("1", 4.0, 5.0), bar("1", 1.0, 5.0), bar("1", 5.0, 5.0)].map(|event| {
        tracker.apply(&event);
        tracker.progress().percent
    });
    assert_eq!(percents, [0, 40, 40, 50]);
}

#[test]
fn other_prompts_and_invalid_numbers_are_ignored() {
    let mut tracker = tracker(&["1", "2"]);
    assert!(tracker.apply(&executing("1")));
    let odd = [
        PromptEvent::Ended(Uuid::nil()),
        PromptEvent::QueueRemaining(3),
        executing("unknown"),
        bar("1", f64::NAN, 2.0),
        bar("1", 1.0, 0.0),
        bar("1", 0.0, 0.0),
        bar("2", 1.0, 2.0),
        executing("1"),
    ];
    for event in &odd {
        assert!(!tracker.apply(event), "{event:?}");
    }
}

#[test]
fn a_resumed_tracker_continues_from_the_previous_progress() {
    let before = Progress {
        percent: 55,
        current_node: Some("3".to_owned()),
        nodes_done: 2,
        nodes_total: 4,
        step: Some(1),
        steps: Some(5),
        remaining_ms: None,
    };
    let ids = ["1", "2", "3", "4"].map(str::to_owned);
    let mut tracker = ProgressTracker::new(PROMPT, ids).resumed(&before);
    assert_eq!((tracker.progress().percent, tracker.progress().nodes_done), (55, 2));
    let seen =
        [bar("3", 1.0, 10.0), bar("3", 6.0, 10.0), executing("4"), bar("3", 9.0, 10.0), PromptEvent::Ended(PROMPT)];
    let seen = seen.map(|event| {
        tracker.apply(&event);
        let progress = tracker.progress();
        (progress.percent, progress.nodes_done, progress.current_node)
    });
    let at = |node: &str| Some(node.to_owned());
    assert_eq!(seen, [(55, 2, at("3")), (65, 2, at("3")), (75, 3, at("4")), (75, 3, at("4")), (99, 4, None)]);
    let done = Progress { nodes_done: 9, percent: 100, ..before };
    let mut all = ProgressTracker::new(PROMPT, ["1".to_owned()]).resumed(&done);
    all.apply(&executing("1"));
    assert_eq!((all.progress().percent, all.progress().nodes_done), (99, 1));
}

/// Applies an event at a time since the start; returns percentage, step, steps and remaining ms.
fn seen(tracker: &mut ProgressTracker, ms: u64, event: &PromptEvent) -> (u8, Option<(u32, u32)>, Option<u64>) {
    tracker.at(Duration::from_millis(ms));
    tracker.apply(event);
    let progress = tracker.progress();
    (progress.percent, progress.step.zip(progress.steps), progress.remaining_ms)
}

/// The time of a run is that of its sampler; the other nodes hardly count.
#[test]
fn progress_is_weighted_by_the_times_of_earlier_runs() {
    let times = r#"{"1":5000,"2":1000,"3":8000,"4":1000}"#;
    let mut tracker = tracker(&["1", "2", "3", "4"]).weighted(NodeWeights::of_times(times).unwrap());
    let row = |percent, steps, ms| (percent, steps, Some(ms));
    assert_eq!(seen(&mut tracker, 0, &cached(&["1"])), row(0, None, 10_000), "a cached node takes no time");
    assert_eq!(seen(&mut tracker, 0, &executing("2")), row(0, None, 10_000));
    assert_eq!(seen(&mut tracker, 900, &executing("3")), row(10, None, 9_000));
    // Twice as fast as before.
    assert_eq!(seen(&mut tracker, 1_900, &bar("3", 5.0, 20.0)), row(30, Some((5, 20)), 4_000));
    assert_eq!(seen(&mut tracker, 2_900, &bar("3", 10.0, 20.0)), row(50, Some((10, 20)), 3_000));
    assert_eq!(seen(&mut tracker, 4_900, &executing("4")), row(90, None, 1_000));
    assert_eq!(seen(&mut tracker, 5_500, &PromptEvent::Ended(PROMPT)).0, 99);
    let times = tracker.node_times();
    assert_eq!((times.get("1"), times["2"], times["3"], times["4"]), (None, 900, 4_000, 600));
}

#[test]
fn before_the_first_run_samplers_count_for_their_steps() {
    let steps = [("1", 1), ("2", 1), ("3", 17), ("4", 1)].map(|(node, steps)| (node.to_owned(), steps));
    let mut tracker = tracker(&["1", "2", "3", "4"]).weighted(NodeWeights::of_steps(steps));
    assert_eq!(seen(&mut tracker, 0, &executing("1")), (0, None, None), "nothing is known yet");
    assert_eq!(seen(&mut tracker, 100, &executing("2")), (5, None, None));
    assert_eq!(seen(&mut tracker, 200, &executing("3")), (10, None, None));
    assert_eq!(seen(&mut tracker, 17_200, &bar("3", 8.5, 17.0)), (52, Some((8, 17)), Some(19_000)));
    assert_eq!(seen(&mut tracker, 34_200, &executing("4")), (95, None, Some(2_000)));
}

#[test]
fn an_empty_graph_does_not_divide_by_zero() {
    let mut tracker = tracker(&[]);
    tracker.apply(&executing("1"));
    tracker.apply(&PromptEvent::Ended(PROMPT));
    assert_eq!(tracker.progress().percent, 0);
}

fn any_event() -> impl Strategy<Value = PromptEvent> {
    let node = "[0-2]|[0-5]|[0-2]\\.[0-2]\\.[0-2]|x";
    let number = prop_oneof![1 => Just(f64::NAN), 1 => Just(0.0), 1 => Just(f64::INFINITY), 9 => -2.0..20.0];
    prop_oneof![
        Just(PromptEvent::Started(PROMPT)),
        Just(PromptEvent::Ended(PROMPT)),
        node.prop_map(|node| executing(&node)),
        node.prop_map(|node| executed(&node)),
        proptest::collection::vec(node, 0..4).prop_map(|nodes| PromptEvent::Cached { prompt: PROMPT, nodes }),
        (proptest::option::of(node), number.clone(), number).prop_map(|(node, value, max)| PromptEvent::Progress {
            prompt: PROMPT,
            node,
            value,
            max
        }),
    ]
}

proptest! {
    #[test]
    fn progress_never_decreases_or_reaches_100(events in proptest::collection::vec(any_event(), 0..60)) {
        let mut tracker = tracker(&["0", "1", "2", "3", "4"]);
        let mut before = tracker.progress();
        for event in &events {
            let changed = tracker.apply(event);
            let now = tracker.progress();
            prop_assert_eq!(changed, now != before);
            prop_assert!(now.percent >= before.percent && now.percent <= 99);
            prop_assert!(now.nodes_done >= before.nodes_done && now.nodes_done <= now.nodes_total);
            before = now;
        }
    }
}

//! Computes the progress of a prompt from its events. Pure.

use crate::{
    comfy::{PromptEvent, outputs::ancestor},
    task::Progress,
};
use std::collections::{BTreeSet, HashSet};
use uuid::Uuid;

/// Highest percentage reported while a prompt is running.
const PERCENT_MAX: u8 = 99;

/// Progress of one prompt. Neither the percentage nor the number of finished nodes ever decreases; the percentage stays
/// below 100.
#[derive(Debug, Clone)]
pub struct ProgressTracker {
    prompt: Uuid,
    graph: BTreeSet<String>,
    /// Number of nodes that ended before this tracker was created.
    done_before: usize,
    done: HashSet<String>,
    current: Option<String>,
    /// Progress bar of the current node, 0–1.
    fraction: f64,
    percent: u8,
}

impl ProgressTracker {
    /// Creates a tracker of `prompt`, whose graph has these nodes.
    pub fn new(prompt: Uuid, node_ids: impl IntoIterator<Item = String>) -> Self {
        Self {
            prompt,
            graph: node_ids.into_iter().collect(),
            done_before: 0,
            done: HashSet::new(),
            current: None,
            fraction: 0.0,
            percent: 0,
        }
    }

    /// Creates a tracker of a prompt that another tracker followed up to `before`. ComfyUI does not repeat past events
    /// (protocol §5); percentage and node count start from `before`.
    pub fn resumed(prompt: Uuid, node_ids: impl IntoIterator<Item = String>, before: &Progress) -> Self {
        let done_before = usize::try_from(before.nodes_done).unwrap_or(usize::MAX);
        let percent = before.percent.min(PERCENT_MAX);
        Self { done_before, percent, ..Self::new(prompt, node_ids) }
    }

    /// Applies an event. Returns whether [`ProgressTracker::progress`] changed. Events of other prompts are ignored.
    pub fn apply(&mut self, event: &PromptEvent) -> bool {
        if event.prompt() != Some(self.prompt) {
            return false;
        }
        let before = self.progress();
        match event {
            PromptEvent::QueueRemaining(_) | PromptEvent::Started(_) => {}
            // Only exact ids: a cached part of an expanded node does not finish the node.
            PromptEvent::Cached { nodes, .. } => nodes.iter().for_each(|node| self.end(node)),
            PromptEvent::Executing { node, .. } => self.begin(node),
            PromptEvent::Progress { node, value, max, .. } => self.step(node.as_deref(), value / max),
            PromptEvent::Executed { node, .. } => self.executed(node),
            PromptEvent::Ended(_) => self.leave(),
        }
        self.advance();
        self.progress() != before
    }

    /// Returns the progress so far.
    pub fn progress(&self) -> Progress {
        Progress {
            percent: self.percent,
            current_node: self.current.clone(),
            nodes_done: count(self.nodes_done()),
            nodes_total: count(self.graph.len()),
            ..Progress::default()
        }
    }

    /// Returns the node of the graph that `node` belongs to, e.g. `1` for `1.0.0.1`.
    fn graph_node(&self, node: &str) -> Option<String> {
        ancestor(node, |name| self.graph.contains(name)).map(str::to_owned)
    }

    fn nodes_done(&self) -> usize {
        self.done_before.saturating_add(self.done.len()).min(self.graph.len())
    }

    fn begin(&mut self, node: &str) {
        let Some(node) = self.graph_node(node) else { return };
        if self.current.as_ref() != Some(&node) {
            // ComfyUI runs one node at a time: the previous one has ended.
            self.leave();
            self.current = Some(node);
        }
    }

    fn step(&mut self, node: Option<&str>, fraction: f64) {
        let node = node.map_or_else(|| self.current.clone(), |node| self.graph_node(node));
        // A tracker created in the middle of a node receives its bar without its start.
        if self.current.is_none() {
            self.current = node.clone().filter(|node| !self.done.contains(node));
        }
        if node.is_some() && node == self.current && fraction.is_finite() {
            self.fraction = fraction.clamp(0.0, 1.0);
        }
    }

    fn executed(&mut self, node: &str) {
        let Some(node) = self.graph_node(node) else { return };
        self.end(&node);
        if self.current.as_ref() == Some(&node) {
            self.leave();
        }
    }

    /// Ends the current node, if there is one.
    fn leave(&mut self) {
        if let Some(node) = self.current.take() {
            self.end(&node);
        }
        self.fraction = 0.0;
    }

    fn end(&mut self, node: &str) {
        if self.graph.contains(node) {
            self.done.insert(node.to_owned());
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0–100, and `as` saturates")]
    fn advance(&mut self) {
        let is_counted = self.current.as_ref().is_none_or(|node| self.done.contains(node));
        let fraction = if is_counted { 0.0 } else { self.fraction };
        let nodes = f64::from(count(self.graph.len()).max(1));
        let percent = (f64::from(count(self.nodes_done())) + fraction) * 100.0 / nodes;
        self.percent = self.percent.max((percent as u8).min(PERCENT_MAX));
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::ProgressTracker;
    use crate::{comfy::PromptEvent, task::Progress};
    use proptest::prelude::*;
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
                (25, 1, None),
                (25, 1, at("2")),
                (31, 1, at("2")),
                (37, 1, at("2")),
                (50, 1, at("2")),
                (50, 2, at("3")),
                (75, 3, None),
                (75, 3, at("4")),
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
        let before = Progress { percent: 55, current_node: Some("3".to_owned()), nodes_done: 2, nodes_total: 4 };
        let ids = ["1", "2", "3", "4"].map(str::to_owned);
        let mut tracker = ProgressTracker::resumed(PROMPT, ids, &before);
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
        let mut all =
            ProgressTracker::resumed(PROMPT, ["1".to_owned()], &Progress { nodes_done: 9, percent: 100, ..before });
        all.apply(&executing("1"));
        assert_eq!((all.progress().percent, all.progress().nodes_done), (99, 1));
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
}

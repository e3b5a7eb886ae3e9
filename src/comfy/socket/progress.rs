//! How far a prompt is, from its signs. Pure.

use crate::{
    comfy::{Sign, outputs::ancestor},
    task::Progress,
};
use std::collections::{BTreeSet, HashSet};
use uuid::Uuid;

/// Percent of the whole graph while it runs.
const PERCENT_MAX: u8 = 99;

/// Follows one prompt. Neither its percent nor its count of nodes ever falls; the percent stays below 100.
#[derive(Debug, Clone)]
pub struct Tracker {
    prompt: Uuid,
    graph: BTreeSet<String>,
    /// Nodes that ended before this began to follow, whichever they were.
    done_before: usize,
    done: HashSet<String>,
    current: Option<String>,
    /// Of the current node's bar, 0–1.
    fraction: f64,
    percent: u8,
}

impl Tracker {
    /// Follows `prompt`, whose graph has these nodes.
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

    /// The same for a prompt that somebody else followed as far as `before`: nothing of that is told again (protocol §5), and
    /// neither percent nor count falls below it.
    pub fn resumed(prompt: Uuid, node_ids: impl IntoIterator<Item = String>, before: &Progress) -> Self {
        let done_before = usize::try_from(before.nodes_done).unwrap_or(usize::MAX);
        let percent = before.percent.min(PERCENT_MAX);
        Self { done_before, percent, ..Self::new(prompt, node_ids) }
    }

    /// Takes a sign in; says whether [`Tracker::progress`] changed. Signs of other prompts change nothing.
    pub fn see(&mut self, sign: &Sign) -> bool {
        if sign.prompt() != Some(self.prompt) {
            return false;
        }
        let before = self.progress();
        match sign {
            Sign::QueueRemaining(_) | Sign::Started(_) => {}
            // Only exact names: a cached part of an expanded node does not end the node.
            Sign::Cached { nodes, .. } => nodes.iter().for_each(|node| self.end(node)),
            Sign::Executing { node, .. } => self.begin(node),
            Sign::Progress { node, value, max, .. } => self.step(node.as_deref(), value / max),
            Sign::Executed { node, .. } => self.executed(node),
            Sign::Ended(_) => self.leave(),
        }
        self.advance();
        self.progress() != before
    }

    /// Where it stands.
    pub fn progress(&self) -> Progress {
        Progress {
            percent: self.percent,
            current_node: self.current.clone(),
            nodes_done: count(self.ended()),
            nodes_total: count(self.graph.len()),
        }
    }

    /// The node of the graph that stands for `node`, e.g. `1` for `1.0.0.1`.
    fn of_graph(&self, node: &str) -> Option<String> {
        ancestor(node, |name| self.graph.contains(name)).map(str::to_owned)
    }

    fn ended(&self) -> usize {
        self.done_before.saturating_add(self.done.len()).min(self.graph.len())
    }

    fn begin(&mut self, node: &str) {
        let Some(node) = self.of_graph(node) else { return };
        if self.current.as_ref() != Some(&node) {
            // ComfyUI runs one node at a time; the next one begins when the last has ended.
            self.leave();
            self.current = Some(node);
        }
    }

    fn step(&mut self, node: Option<&str>, fraction: f64) {
        let node = node.map_or_else(|| self.current.clone(), |node| self.of_graph(node));
        // Whoever comes in the middle of a node hears its bar only, not its beginning.
        if self.current.is_none() {
            self.current = node.clone().filter(|node| !self.done.contains(node));
        }
        if node.is_some() && node == self.current && fraction.is_finite() {
            self.fraction = fraction.clamp(0.0, 1.0);
        }
    }

    fn executed(&mut self, node: &str) {
        let Some(node) = self.of_graph(node) else { return };
        self.end(&node);
        if self.current.as_ref() == Some(&node) {
            self.leave();
        }
    }

    /// The current node has ended, or nothing runs any more.
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
        let percent = (f64::from(count(self.ended())) + fraction) * 100.0 / nodes;
        self.percent = self.percent.max((percent as u8).min(PERCENT_MAX));
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::Tracker;
    use crate::{comfy::Sign, task::Progress};
    use proptest::prelude::*;
    use uuid::Uuid;

    const PROMPT: Uuid = Uuid::from_u128(7);

    fn tracker(ids: &[&str]) -> Tracker {
        Tracker::new(PROMPT, ids.iter().map(|&id| id.to_owned()))
    }

    fn executing(node: &str) -> Sign {
        Sign::Executing { prompt: PROMPT, node: node.to_owned() }
    }

    fn executed(node: &str) -> Sign {
        Sign::Executed { prompt: PROMPT, node: node.to_owned(), made: Vec::new() }
    }

    fn cached(nodes: &[&str]) -> Sign {
        Sign::Cached { prompt: PROMPT, nodes: nodes.iter().map(|&node| node.to_owned()).collect() }
    }

    fn bar(node: &str, value: f64, max: f64) -> Sign {
        Sign::Progress { prompt: PROMPT, node: Some(node.to_owned()), value, max }
    }

    /// The order of a captured run: 1 cached, 2 has a bar of four, 3 saves.
    #[test]
    fn percent_is_of_the_whole_graph() {
        let mut tracker = tracker(&["1", "2", "3", "4"]);
        let seen: Vec<(u8, u32, Option<String>)> = [
            Sign::Started(PROMPT),
            cached(&["1"]),
            executing("2"),
            bar("2", 1.0, 4.0),
            bar("2", 2.0, 4.0),
            bar("2", 4.0, 4.0),
            executing("3"),
            executed("3"),
            executing("4"),
            Sign::Ended(PROMPT),
        ]
        .iter()
        .map(|sign| {
            tracker.see(sign);
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
    fn an_expanded_node_counts_as_the_one_that_was_written() {
        let mut tracker = tracker(&["1", "2"]);
        tracker.see(&executing("1"));
        tracker.see(&executing("1.0.0.1"));
        tracker.see(&bar("1.0.0.1", 1.0, 2.0));
        let progress = tracker.progress();
        assert_eq!((progress.percent, progress.nodes_done, progress.current_node.as_deref()), (25, 0, Some("1")));
        tracker.see(&cached(&["1.0.0.2"]));
        assert_eq!(tracker.progress().nodes_done, 0);
        tracker.see(&executing("2"));
        assert_eq!(tracker.progress().nodes_done, 1);
    }

    /// Nodes that sample twice begin their bar again.
    #[test]
    fn a_second_bar_does_not_turn_the_percent_back() {
        let mut tracker = tracker(&["1", "2"]);
        let percents = [executing("1"), bar("1", 4.0, 5.0), bar("1", 1.0, 5.0), bar("1", 5.0, 5.0)].map(|sign| {
            tracker.see(&sign);
            tracker.progress().percent
        });
        assert_eq!(percents, [0, 40, 40, 50]);
    }

    #[test]
    fn other_prompts_and_odd_numbers_change_nothing() {
        let mut tracker = tracker(&["1", "2"]);
        assert!(tracker.see(&executing("1")));
        let odd = [
            Sign::Ended(Uuid::nil()),
            Sign::QueueRemaining(3),
            executing("unknown"),
            bar("1", f64::NAN, 2.0),
            bar("1", 1.0, 0.0),
            bar("1", 0.0, 0.0),
            bar("2", 1.0, 2.0),
            executing("1"),
        ];
        for sign in &odd {
            assert!(!tracker.see(sign), "{sign:?}");
        }
    }

    #[test]
    fn who_takes_over_goes_on_from_where_it_was() {
        let before = Progress { percent: 55, current_node: Some("3".to_owned()), nodes_done: 2, nodes_total: 4 };
        let ids = ["1", "2", "3", "4"].map(str::to_owned);
        let mut tracker = Tracker::resumed(PROMPT, ids, &before);
        assert_eq!((tracker.progress().percent, tracker.progress().nodes_done), (55, 2));
        let seen = [bar("3", 1.0, 10.0), bar("3", 6.0, 10.0), executing("4"), bar("3", 9.0, 10.0), Sign::Ended(PROMPT)];
        let seen = seen.map(|sign| {
            tracker.see(&sign);
            let progress = tracker.progress();
            (progress.percent, progress.nodes_done, progress.current_node)
        });
        let at = |node: &str| Some(node.to_owned());
        assert_eq!(seen, [(55, 2, at("3")), (65, 2, at("3")), (75, 3, at("4")), (75, 3, at("4")), (99, 4, None)]);
        let mut all = Tracker::resumed(PROMPT, ["1".to_owned()], &Progress { nodes_done: 9, percent: 100, ..before });
        all.see(&executing("1"));
        assert_eq!((all.progress().percent, all.progress().nodes_done), (99, 1));
    }

    #[test]
    fn an_empty_graph_is_no_division_by_zero() {
        let mut tracker = tracker(&[]);
        tracker.see(&executing("1"));
        tracker.see(&Sign::Ended(PROMPT));
        assert_eq!(tracker.progress().percent, 0);
    }

    fn any_sign() -> impl Strategy<Value = Sign> {
        let node = "[0-2]|[0-5]|[0-2]\\.[0-2]\\.[0-2]|x";
        let number = prop_oneof![1 => Just(f64::NAN), 1 => Just(0.0), 1 => Just(f64::INFINITY), 9 => -2.0..20.0];
        prop_oneof![
            Just(Sign::Started(PROMPT)),
            Just(Sign::Ended(PROMPT)),
            node.prop_map(|node| executing(&node)),
            node.prop_map(|node| executed(&node)),
            proptest::collection::vec(node, 0..4).prop_map(|nodes| Sign::Cached { prompt: PROMPT, nodes }),
            (proptest::option::of(node), number.clone(), number).prop_map(|(node, value, max)| Sign::Progress {
                prompt: PROMPT,
                node,
                value,
                max
            }),
        ]
    }

    proptest! {
        #[test]
        fn nothing_ever_falls_or_reaches_the_end(signs in proptest::collection::vec(any_sign(), 0..60)) {
            let mut tracker = tracker(&["0", "1", "2", "3", "4"]);
            let mut before = tracker.progress();
            for sign in &signs {
                let changed = tracker.see(sign);
                let now = tracker.progress();
                prop_assert_eq!(changed, now != before);
                prop_assert!(now.percent >= before.percent && now.percent <= 99);
                prop_assert!(now.nodes_done >= before.nodes_done && now.nodes_done <= now.nodes_total);
                before = now;
            }
        }
    }
}

//! Computes the progress of a prompt from its events, weighted by the times that its nodes took in earlier runs. Pure: the
//! caller gives the time.

use super::node_weights::NodeWeights;
use crate::{
    comfy::{PromptEvent, outputs::ancestor},
    task::Progress,
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};
use uuid::Uuid;

/// Highest percentage reported while a prompt is running.
const PERCENT_MAX: u8 = 99;
/// Part of a bar from which its speed says more than earlier runs.
const FRACTION_MIN: f64 = 0.05;

/// Progress of one prompt. Neither the percentage nor the number of finished nodes ever decreases; the percentage stays
/// below 100.
#[derive(Debug, Clone)]
pub struct ProgressTracker {
    prompt: Uuid,
    graph: BTreeSet<String>,
    weights: NodeWeights,
    /// Weight of all nodes that run: not of those whose results are cached.
    total: f64,
    /// Weight of those that have ended.
    weight_done: f64,
    /// Number of nodes that ended before this tracker was created.
    done_before: usize,
    done: HashSet<String>,
    current: Option<Current>,
    percent: u8,
    /// Time for a weight of 1, ms, once it is known.
    ms_per_weight: Option<f64>,
    /// Run times of the nodes that have ended, ms.
    times: HashMap<String, u64>,
    /// Time since the start.
    now: Duration,
}

/// The executing node.
#[derive(Debug, Clone)]
struct Current {
    node: String,
    since: Duration,
    /// Whether its start was seen, so that its time can be measured.
    is_whole: bool,
    /// Progress bar, 0–1.
    fraction: f64,
    /// Step and steps of the bar.
    steps: Option<(u32, u32)>,
}

impl ProgressTracker {
    /// Creates a tracker of `prompt`, whose graph has these nodes.
    pub fn new(prompt: Uuid, node_ids: impl IntoIterator<Item = String>) -> Self {
        let tracker = Self {
            prompt,
            graph: node_ids.into_iter().collect(),
            weights: NodeWeights::of_steps([]),
            total: 0.0,
            weight_done: 0.0,
            done_before: 0,
            done: HashSet::new(),
            current: None,
            percent: 0,
            ms_per_weight: None,
            times: HashMap::new(),
            now: Duration::ZERO,
        };
        tracker.weighted(NodeWeights::of_steps([]))
    }

    /// Weights the nodes.
    #[must_use]
    pub fn weighted(mut self, weights: NodeWeights) -> Self {
        self.total = self.graph.iter().map(|node| weights.get(node)).sum();
        self.weight_done = self.total * f64::from(self.percent) / 100.0;
        self.ms_per_weight = weights.are_times.then_some(1.0);
        Self { weights, ..self }
    }

    /// Continues from the progress that another tracker of the prompt had reached. ComfyUI does not repeat past events
    /// (protocol §5); percentage and node count start from `before`.
    #[must_use]
    pub fn resumed(mut self, before: &Progress) -> Self {
        self.done_before = usize::try_from(before.nodes_done).unwrap_or(usize::MAX);
        self.percent = before.percent.min(PERCENT_MAX);
        let fraction =
            before.step.zip(before.steps).map_or(0.0, |(step, steps)| f64::from(step) / f64::from(steps.max(1)));
        let current = before.current_node.as_ref().map_or(0.0, |node| self.weights.get(node) * fraction);
        self.weight_done = (self.total * f64::from(self.percent) / 100.0 - current).max(0.0);
        self
    }

    /// Sets the time since the start of the run, for the events that follow.
    pub fn at(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// Applies an event. Returns whether [`ProgressTracker::progress`] changed. Events of other prompts are ignored.
    pub fn apply(&mut self, event: &PromptEvent) -> bool {
        if event.prompt() != Some(self.prompt) {
            return false;
        }
        let before = self.progress();
        match event {
            PromptEvent::QueueRemaining(_) | PromptEvent::Started(_) | PromptEvent::Picture { .. } => {}
            // Only exact ids: a cached part of an expanded node does not finish the node.
            PromptEvent::Cached { nodes, .. } => nodes.iter().for_each(|node| self.skip(node)),
            PromptEvent::Executing { node, .. } => self.begin(node),
            PromptEvent::Progress { node, value, max, .. } => self.step(node.as_deref(), *value, *max),
            PromptEvent::Executed { node, .. } => self.executed(node),
            PromptEvent::Failed { .. } | PromptEvent::Ended(_) => self.leave(),
        }
        self.advance();
        self.progress() != before
    }

    /// Returns the progress so far.
    pub fn progress(&self) -> Progress {
        let steps = self.current.as_ref().and_then(|current| current.steps);
        Progress {
            percent: self.percent,
            current_node: self.current.as_ref().map(|current| current.node.clone()),
            nodes_done: count(self.nodes_done()),
            nodes_total: count(self.graph.len()),
            step: steps.map(|(step, _)| step),
            steps: steps.map(|(_, steps)| steps),
            remaining_ms: self.remaining_ms(),
        }
    }

    /// Returns the run times of the nodes that ran and have ended, ms.
    pub fn node_times(&self) -> &HashMap<String, u64> {
        &self.times
    }

    /// Returns the node of the graph that `node` belongs to, e.g. `1` for `1.0.0.1`.
    fn graph_node(&self, node: &str) -> Option<String> {
        ancestor(node, |name| self.graph.contains(name)).map(str::to_owned)
    }

    /// Whether every node of the graph has ended.
    pub fn is_done(&self) -> bool {
        self.current.is_none() && self.done_before.max(self.done.len()) >= self.graph.len()
    }

    fn nodes_done(&self) -> usize {
        self.done_before.saturating_add(self.done.len()).min(self.graph.len())
    }

    fn is_current(&self, node: &str) -> bool {
        self.current.as_ref().is_some_and(|current| current.node == node)
    }

    fn begin(&mut self, node: &str) {
        let Some(node) = self.graph_node(node) else { return };
        if !self.is_current(&node) {
            // ComfyUI runs one node at a time: the previous one has ended.
            self.leave();
            self.current = Some(Current { node, since: self.now, is_whole: true, fraction: 0.0, steps: None });
        }
    }

    fn step(&mut self, node: Option<&str>, value: f64, max: f64) {
        let current = || self.current.as_ref().map(|current| current.node.clone());
        let Some(node) = node.map_or_else(current, |node| self.graph_node(node)) else { return };
        // A tracker created in the middle of a node receives its bar without its start.
        if self.current.is_none() && !self.done.contains(&node) {
            self.current = Some(Current { node, since: self.now, is_whole: false, fraction: 0.0, steps: None });
        } else if !self.is_current(&node) {
            return;
        }
        let (fraction, now) = (value / max, self.now);
        let (Some(current), true) = (&mut self.current, fraction.is_finite()) else { return };
        current.fraction = fraction.clamp(0.0, 1.0);
        current.steps = Some((whole(value.min(max)), whole(max)));
        let elapsed_ms = now.saturating_sub(current.since).as_secs_f64() * 1_000.0;
        if !self.weights.are_times && current.is_whole && current.fraction >= FRACTION_MIN && elapsed_ms > 0.0 {
            self.ms_per_weight = Some(elapsed_ms / (current.fraction * self.weights.get(&current.node)));
        }
    }

    fn executed(&mut self, node: &str) {
        let Some(node) = self.graph_node(node) else { return };
        if self.is_current(&node) {
            self.leave();
        } else {
            self.end(&node);
        }
    }

    /// Ends the current node, if there is one.
    fn leave(&mut self) {
        let Some(current) = self.current.take() else { return };
        if current.is_whole {
            let ms = u64::try_from(self.now.saturating_sub(current.since).as_millis()).unwrap_or(u64::MAX);
            let time = self.times.entry(current.node.clone()).or_default();
            *time = time.saturating_add(ms);
        }
        self.end(&current.node);
    }

    fn end(&mut self, node: &str) {
        if self.graph.contains(node) && self.done.insert(node.to_owned()) {
            self.weight_done += self.weights.get(node);
        }
    }

    /// Ends a node that does not run.
    fn skip(&mut self, node: &str) {
        if self.graph.contains(node) && self.done.insert(node.to_owned()) {
            self.total -= self.weights.get(node);
        }
    }

    /// Weight of the executing node, and the part of it that is done.
    fn current_weight(&self) -> (f64, f64) {
        let running = self.current.as_ref().filter(|current| !self.done.contains(&current.node));
        running.map_or((0.0, 0.0), |current| {
            let weight = self.weights.get(&current.node);
            (weight, weight * current.fraction)
        })
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0–100, and `as` saturates")]
    fn advance(&mut self) {
        let done = self.weight_done + self.current_weight().1;
        let is_all = self.total <= 0.0 || self.nodes_done() == self.graph.len() && !self.graph.is_empty();
        // Sums of many weights are not exact.
        let percent = if is_all { f64::from(PERCENT_MAX) } else { (done * 100.0 / self.total + 1e-9).floor() };
        if !self.graph.is_empty() {
            self.percent = self.percent.max((percent as u8).min(PERCENT_MAX));
        }
    }

    /// Rest of the run: that of the executing node by the speed of its bar, or else by its weight; of the others by theirs.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and `as` saturates")]
    fn remaining_ms(&self) -> Option<u64> {
        let ms_per_weight = self.ms_per_weight?;
        let (weight, _) = self.current_weight();
        let others_ms = (self.total - self.weight_done - weight).max(0.0) * ms_per_weight;
        let own_ms = self.current.as_ref().filter(|_| weight > 0.0).map_or(0.0, |current| {
            let elapsed_ms = self.now.saturating_sub(current.since).as_secs_f64() * 1_000.0;
            if current.fraction >= FRACTION_MIN && current.is_whole {
                elapsed_ms / current.fraction * (1.0 - current.fraction)
            } else {
                (weight * ms_per_weight * (1.0 - current.fraction)).min((weight * ms_per_weight - elapsed_ms).max(0.0))
            }
        });
        Some((others_ms + own_ms).round() as u64)
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
const fn whole(steps: f64) -> u32 {
    steps as u32
}

#[cfg(test)]
mod tests;

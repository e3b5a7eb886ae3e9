//! Share of each node in the time of a run: by the times of earlier runs of the same workflow, or before its first run by its
//! steps. Pure.

use std::collections::{BTreeMap, HashMap};

/// Nodes whose times are kept for a workflow: the slowest. The others share their mean.
const NODES_MAX: usize = 48;
/// Length of a node id that is kept, bytes.
const ID_BYTES_MAX: usize = 64;
/// Name of the mean of the nodes that are not kept; no node has an empty id.
const OTHERS: &str = "";
/// Weight of the newest run in the mean.
const NEWEST_SHARE: f64 = 0.3;

/// Weights of the nodes of a graph.
#[derive(Debug, Clone, Default)]
pub struct NodeWeights {
    of: HashMap<String, f64>,
    /// Weight of a node that is not listed.
    other: f64,
    /// Whether the weights are times in ms.
    pub(super) are_times: bool,
}

impl NodeWeights {
    /// Weights by the times of earlier runs, as [`NodeWeights::merge`] wrote them; `None` if there are none.
    pub fn of_times(known: &str) -> Option<Self> {
        let times = read(known);
        let other = times.get(OTHERS).copied().unwrap_or(1).max(1);
        let of = times.into_iter().map(|(node, ms)| (node, float(ms.max(1)))).collect::<HashMap<_, _>>();
        (!of.is_empty()).then(|| Self { of, other: float(other), are_times: true })
    }

    /// Weights by the number of steps of each node.
    pub fn of_steps(steps: impl IntoIterator<Item = (String, u32)>) -> Self {
        let of = steps.into_iter().map(|(node, steps)| (node, f64::from(steps.max(1)))).collect();
        Self { of, other: 1.0, are_times: false }
    }

    /// Returns the weight of a node; greater than 0.
    pub(super) fn get(&self, node: &str) -> f64 {
        self.of.get(node).copied().unwrap_or(self.other).max(f64::MIN_POSITIVE)
    }

    /// Returns the known times with those of a run in them: `{"3":1200,"8":40,"":3}`, ms. Nodes that did not run this time,
    /// because their results were cached, keep their times. Empty if nothing took any time.
    pub fn merge(known: &str, run: &HashMap<String, u64>) -> String {
        let mut times = read(known);
        let mut others = times.remove(OTHERS);
        for (node, &ms) in run {
            let mean = times.get(node).copied().or(others).map_or(ms, |before| mix(before, ms));
            times.insert(node.clone(), mean);
        }
        let mut by_time: Vec<(String, u64)> = times.into_iter().collect();
        by_time.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let (mut kept, mut rest) = (BTreeMap::new(), Vec::new());
        for (node, ms) in by_time {
            if kept.len() < NODES_MAX && node.len() <= ID_BYTES_MAX {
                kept.insert(node, ms);
            } else {
                rest.push(ms);
            }
        }
        if !rest.is_empty() {
            others = Some(rest.iter().sum::<u64>() / rest.len() as u64);
        }
        if kept.values().all(|ms| *ms == 0) {
            return String::new();
        }
        kept.extend(others.map(|ms| (OTHERS.to_owned(), ms)));
        serde_json::to_string(&kept).unwrap_or_default()
    }
}

fn read(times: &str) -> BTreeMap<String, u64> {
    serde_json::from_str(times).unwrap_or_default()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of two positive numbers")]
fn mix(before: u64, newest: u64) -> u64 {
    (float(before) * (1.0 - NEWEST_SHARE) + float(newest) * NEWEST_SHARE).round() as u64
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
const fn float(ms: u64) -> f64 {
    ms as f64
}

#[cfg(test)]
mod tests {
    use super::{NODES_MAX, NodeWeights};
    use std::collections::HashMap;

    fn run(times: &[(&str, u64)]) -> HashMap<String, u64> {
        times.iter().map(|&(node, ms)| (node.to_owned(), ms)).collect()
    }

    #[test]
    fn times_of_runs_are_mixed_and_cached_nodes_keep_theirs() {
        let first = NodeWeights::merge("", &run(&[("3", 1_000), ("8", 40)]));
        assert_eq!(first, r#"{"3":1000,"8":40}"#);
        assert_eq!(NodeWeights::merge(&first, &run(&[("3", 2_000)])), r#"{"3":1300,"8":40}"#);
        assert_eq!(NodeWeights::merge("not json", &run(&[("3", 0)])), "");
        assert!(NodeWeights::of_times("").is_none());
        let weights = NodeWeights::of_times(r#"{"3":1300,"8":0,"":7}"#).unwrap();
        assert_eq!([weights.get("3"), weights.get("8"), weights.get("9")], [1300.0, 1.0, 7.0]);
    }

    #[test]
    fn the_slowest_nodes_are_kept_and_the_text_is_bounded() {
        let many: HashMap<String, u64> = (0..5_000).map(|n| (format!("{n:064}"), n)).collect();
        let text = NodeWeights::merge("", &many);
        assert!(text.len() < 4_096, "{}", text.len());
        let weights = NodeWeights::of_times(&text).unwrap();
        assert_eq!((weights.get(&format!("{:064}", 4_999)), weights.of.len()), (4_999.0, NODES_MAX + 1));
        assert_eq!(weights.get("0"), 2_475.0);
        let long = HashMap::from([("x".repeat(100), 9), ("3".to_owned(), 5)]);
        assert_eq!(NodeWeights::merge("", &long), r#"{"":9,"3":5}"#);
    }
}

//! Waiting tasks of a simulation: groups with their heads, the fair order, passes. The same rules as the scripts in Redis.

use super::super::{
    fair::FairOrder,
    passes::Passes,
    policy::{Claim, WINDOW_TASKS},
};
use std::collections::{BTreeSet, HashMap};

/// Groups of which a plan sees the heads.
const HEADS_MAX: usize = 64;

/// A task's place in the fair order: its tag, then its arrival. Tags are never negative, so their bits sort like them.
type Rank = (u64, usize);

/// Waiting tasks, by number of their request.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) fair: FairOrder<usize>,
    groups: HashMap<usize, BTreeSet<Rank>>,
    heads: BTreeSet<(Rank, usize)>,
    order: BTreeSet<Rank>,
    passes: HashMap<usize, Passes>,
    pub(super) passed_over_max: u32,
}

/// Head of a group.
pub(super) struct GroupHead {
    pub(super) group: usize,
    pub(super) task: usize,
    pub(super) tag: f64,
    pub(super) waiting: u32,
    pub(super) is_in_window: bool,
    pub(super) passes: Passes,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn add(&mut self, group: usize, task: usize, tag: f64) {
        let (rank, tasks) = ((tag.to_bits(), task), self.groups.entry(group).or_default());
        if let Some(&head) = tasks.first().filter(|&&head| rank < head) {
            self.heads.remove(&(head, group));
        }
        tasks.insert(rank);
        if tasks.first() == Some(&rank) {
            self.heads.insert((rank, group));
        }
        self.order.insert(rank);
    }

    /// Returns the first heads in fair order.
    pub(super) fn heads(&self) -> Vec<GroupHead> {
        let last = self.order.iter().nth(WINDOW_TASKS - 1);
        let head = |&(rank, group): &(Rank, usize)| GroupHead {
            group,
            task: rank.1,
            tag: f64::from_bits(rank.0),
            waiting: self.groups.get(&group).map_or(0, |tasks| u32::try_from(tasks.len()).unwrap_or(u32::MAX)),
            is_in_window: last.is_none_or(|&last| rank <= last),
            passes: self.passes.get(&group).copied().unwrap_or_default(),
        };
        self.heads.iter().take(HEADS_MAX).map(head).collect()
    }

    /// Takes the head of the claim's first group and counts a pass over the first head, if it is another.
    pub(super) fn take(&mut self, claim: &Claim, heads: &[GroupHead], now_ms: u64) -> Option<usize> {
        let group = heads.get(*claim.order.first()?)?.group;
        let tasks = self.groups.get_mut(&group)?;
        let rank = tasks.pop_first()?;
        let next = tasks.first().copied();
        self.heads.remove(&(rank, group));
        self.heads.extend(next.map(|next| (next, group)));
        let lowest = self.order.first().map_or(rank, |&lowest| lowest);
        self.order.remove(&rank);
        self.fair.take(f64::from_bits(lowest.0));
        let left = self.passes.remove(&group).map(|passes| passes.after_take(f64::from_bits(rank.0)));
        self.passes.extend(left.filter(|left| left.times > 0).map(|left| (group, left)));
        if next.is_none() {
            self.passes.remove(&group);
            self.groups.remove(&group);
        }
        if self.order.is_empty() {
            self.fair.clear();
        }
        let firsts = claim.firsts.iter().filter_map(|&first| Some(heads.get(first)?.group));
        let first = firsts.filter_map(|first| Some((*self.groups.get(&first)?.first()?, first))).min();
        if let Some((head, first)) = first.filter(|&(head, _)| head < rank) {
            let passes = self.passes.entry(first).or_default();
            *passes = passes.one_more(f64::from_bits(head.0), now_ms);
            self.passed_over_max = self.passed_over_max.max(passes.times);
        }
        Some(rank.1)
    }
}

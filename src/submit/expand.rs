//! Expansion of a submission into tasks: every combination of the values of `sweep`, each `count` times.

use crate::{json::child_pointer, settings::limits::BATCH_TASKS_MAX};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Tasks of a batch: at least one, at most [`BATCH_TASKS_MAX`].
#[derive(Debug, Clone)]
pub struct Expansion<'a> {
    count: u16,
    axes: Vec<ReadAxis<'a>>,
    task_count: u16,
}

/// A param of a sweep and the values it takes.
#[derive(Debug, Clone)]
pub struct Axis<'a> {
    /// Param, such as `3.seed`.
    pub key: String,
    /// Values, at least one.
    pub values: Vec<&'a RawValue>,
}

/// An axis whose values may be copies of those in the request.
#[derive(Debug, Clone)]
struct ReadAxis<'a> {
    key: String,
    values: Vec<Cow<'a, RawValue>>,
}

impl<'a> Expansion<'a> {
    /// Returns the expansion of a submission without `count` and `sweep`: one task with the params as they came.
    pub(super) fn single() -> Self {
        Self { count: 1, axes: Vec::new(), task_count: 1 }
    }

    /// Returns `count` tasks of each combination of the axes' values. The values of the last axis change fastest.
    /// `None` if that is no task, or more than [`BATCH_TASKS_MAX`].
    pub fn new(count: u16, axes: Vec<Axis<'a>>) -> Option<Self> {
        let lengths = axes.iter().map(|axis| axis.values.len());
        let size = lengths.into_iter().try_fold(usize::from(count), usize::checked_mul)?;
        let task_count = u16::try_from(size).ok().filter(|size| (1..=BATCH_TASKS_MAX).contains(size))?;
        let axes = axes.into_iter().map(|Axis { key, values }| {
            let values = values.into_iter().map(Cow::Borrowed).collect();
            ReadAxis { key, values }
        });
        Some(Self { count, axes: axes.collect(), task_count })
    }

    /// Copies the values, so that they outlive the request.
    pub(super) fn into_owned(self) -> Expansion<'static> {
        let axes = self.axes.into_iter().map(|ReadAxis { key, values }| {
            let values = values.into_iter().map(|value| Cow::Owned(value.into_owned())).collect();
            ReadAxis { key, values }
        });
        Expansion { count: self.count, axes: axes.collect(), task_count: self.task_count }
    }

    /// Returns the number of axes.
    pub(super) fn axis_count(&self) -> usize {
        self.axes.len()
    }

    /// Returns the bytes of text that all tasks read together, if each reads `bytes` and its values.
    pub(super) fn text_bytes(&self, bytes: usize) -> usize {
        let count = usize::from(self.task_count);
        let of_axis = |axis: &ReadAxis<'_>| {
            let values: usize = axis.values.iter().map(|value| value.get().len()).sum();
            values.saturating_mul(count / axis.values.len()).saturating_add(axis.key.len().saturating_mul(count))
        };
        self.axes.iter().map(of_axis).fold(bytes.saturating_mul(count), usize::saturating_add)
    }

    /// Returns the number of tasks.
    pub fn task_count(&self) -> u16 {
        self.task_count
    }

    /// Whether `count` repeats each combination.
    pub(super) fn repeats(&self) -> bool {
        self.count > 1
    }

    /// Returns the JSON pointer of the member that makes the batch large.
    pub(super) fn pointer(&self) -> &'static str {
        if self.axes.is_empty() { "/count" } else { "/sweep" }
    }

    /// Returns the params of the task at `index`: those of the submission and one value of each axis.
    pub(super) fn params<'p>(&self, params: Option<&'p RawValue>, index: u16) -> Option<Cow<'p, RawValue>> {
        if self.axes.is_empty() {
            return params.map(Cow::Borrowed);
        }
        let common = params.map_or("", |params| params.get().trim());
        let common = common.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default().trim();
        let mut text = format!("{{{common}");
        for (axis, value) in self.combination(index) {
            let separator = if text.len() > 1 { "," } else { "" };
            let key = serde_json::Value::from(axis.key.as_str());
            text.push_str(&format!("{separator}{key}:{}", axis.values[value].get()));
        }
        text.push('}');
        RawValue::from_string(text).ok().map(Cow::Owned)
    }

    /// Returns the place in the request of a problem in one task's params: `/params/3.seed` may be `/sweep/3.seed/2`.
    pub(super) fn request_pointer(&self, pointer: &str, index: u16) -> String {
        let found = self.combination(index).find_map(|(axis, value)| {
            let rest = pointer.strip_prefix(&child_pointer("/params", &axis.key))?;
            let axis = child_pointer("/sweep", &axis.key);
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{axis}/{value}{rest}"))
        });
        found.unwrap_or_else(|| pointer.to_owned())
    }

    /// Returns each axis with the index of its value for the task at `index`, in the order of the axes.
    fn combination(&self, index: u16) -> impl Iterator<Item = (&ReadAxis<'a>, usize)> {
        let mut remaining = usize::from(index / self.count);
        let mut values = vec![0; self.axes.len()];
        for (value, axis) in values.iter_mut().zip(&self.axes).rev() {
            *value = remaining % axis.values.len();
            remaining /= axis.values.len();
        }
        self.axes.iter().zip(values)
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, Expansion};
    use serde_json::value::RawValue;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    fn axis<'a>(key: &str, values: &'a str) -> Axis<'a> {
        Axis { key: key.to_owned(), values: serde_json::from_str(values).unwrap() }
    }

    #[test]
    fn the_last_axis_changes_fastest_and_a_count_repeats_each_combination() {
        let axes = vec![axis("3.seed", "[1,2]"), axis("6/x", r#"["p","q","r"]"#)];
        let expansion = Expansion::new(2, axes).unwrap();
        assert_eq!(expansion.task_count(), 12);
        let given = Some(raw(r#"{"a":1.0}"#));
        let params = |index| expansion.params(given, index).unwrap().get().to_owned();
        assert_eq!(params(0), r#"{"a":1.0,"3.seed":1,"6/x":"p"}"#);
        assert_eq!(params(0), params(1));
        assert_eq!(params(2), r#"{"a":1.0,"3.seed":1,"6/x":"q"}"#);
        assert_eq!(params(11), r#"{"a":1.0,"3.seed":2,"6/x":"r"}"#);
        assert_eq!(expansion.params(None, 11).unwrap().get(), r#"{"3.seed":2,"6/x":"r"}"#);
        assert_eq!(expansion.request_pointer("/params/6~1x/deep", 5), "/sweep/6~1x/2/deep");
        assert_eq!(expansion.request_pointer("/params/3.seeds", 5), "/params/3.seeds");
        assert_eq!(expansion.request_pointer("/workflow/3.seed", 5), "/workflow/3.seed");
    }

    #[test]
    fn tasks_without_a_sweep_share_their_params() {
        let expansion = Expansion::new(3, Vec::new()).unwrap();
        assert_eq!(expansion.task_count(), 3);
        assert!(expansion.params(None, 2).is_none());
        assert_eq!(expansion.params(Some(raw("[1]")), 2).unwrap().get(), "[1]");
    }

    #[test]
    fn an_expansion_has_one_to_a_thousand_tasks() {
        let ten = "[0,1,2,3,4,5,6,7,8,9]";
        let axes = || vec![axis("a", ten), axis("b", ten), axis("c", ten)];
        assert_eq!(Expansion::new(1, axes()).unwrap().task_count(), 1_000);
        assert!(Expansion::new(2, axes()).is_none());
        assert!(Expansion::new(0, Vec::new()).is_none());
        assert!(Expansion::new(1, vec![axis("a", "[]")]).is_none());
    }
}

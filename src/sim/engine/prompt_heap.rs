//! Python's heap, reproduced exactly, because clients see its array order and its failures.
//!
//! Invariant: two items with equal number and id are not comparable (Python compares the graphs, which are dicts).
//! Pushing one reports [`Tie`] although the item was added, and popping may lose an item, as in the real queue.

use crate::sim::python;
use serde_json::{Value, json};
use std::{cmp::Ordering, sync::Arc};

/// An accepted prompt.
#[derive(Debug, Clone)]
pub(crate) struct QueueItem {
    /// Sort key: an integer if chosen by the server, a float if by the client.
    pub number: Value,
    /// The id chosen by the client, or by the server.
    pub id: String,
    /// `{node_id: {class_type, inputs}}`, inputs converted by validation.
    pub prompt: Arc<Value>,
    /// `extra_data`: any value, normally an object with `client_id`.
    pub extra: Arc<Value>,
    /// Output nodes to run.
    pub outputs: Vec<String>,
    /// Size of the request, bytes.
    pub bytes: usize,
}

impl QueueItem {
    /// Returns `[number, id, prompt, extra_data, outputs]`.
    pub(crate) fn json(&self) -> String {
        format!(
            "[{}, {}, {}, {}, {}]",
            python::dumps(&self.number),
            python::dumps(&Value::from(self.id.as_str())),
            python::dumps(&self.prompt),
            python::dumps(&self.extra),
            python::dumps(&json!(self.outputs))
        )
    }

    /// Returns a copy without the secrets, which the history must not contain.
    pub(crate) fn without_secrets(&self) -> QueueItem {
        let mut extra = (*self.extra).clone();
        if let Some(map) = extra.as_object_mut() {
            map.shift_remove("auth_token_comfy_org");
            map.shift_remove("api_key_comfy_org");
        }
        QueueItem { extra: Arc::new(extra), ..self.clone() }
    }
}

/// The `TypeError` of comparing two dicts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tie;

/// Python's `a < b` of two queue tuples.
fn less(a: &QueueItem, b: &QueueItem) -> Result<bool, Tie> {
    let (x, y) = (python::float_of(&a.number).unwrap_or(0.0), python::float_of(&b.number).unwrap_or(0.0));
    match x.partial_cmp(&y) {
        Some(Ordering::Less) => return Ok(true),
        Some(Ordering::Greater) | None => return Ok(false),
        Some(Ordering::Equal) => {}
    }
    match a.id.cmp(&b.id) {
        Ordering::Less => return Ok(true),
        Ordering::Greater => return Ok(false),
        Ordering::Equal => {}
    }
    if a.prompt != b.prompt || a.extra != b.extra {
        return Err(Tie);
    }
    Ok(a.outputs < b.outputs)
}

/// Python's `heapq.heappush`.
pub(crate) fn push(heap: &mut Vec<QueueItem>, item: QueueItem) -> Result<(), Tie> {
    heap.push(item);
    let last = heap.len() - 1;
    rise(heap, 0, last)
}

/// Python's `heapq.heappop`; `None` if empty. After a [`Tie`] the popped item is lost.
pub(crate) fn pop(heap: &mut Vec<QueueItem>) -> Result<Option<QueueItem>, Tie> {
    let Some(last) = heap.pop() else { return Ok(None) };
    if heap.is_empty() {
        return Ok(Some(last));
    }
    let first = std::mem::replace(&mut heap[0], last);
    sink(heap, 0)?;
    Ok(Some(first))
}

/// Python's `heapq.heapify`.
pub(crate) fn heapify(heap: &mut [QueueItem]) -> Result<(), Tie> {
    for at in (0..heap.len() / 2).rev() {
        sink(heap, at)?;
    }
    Ok(())
}

fn rise(heap: &mut [QueueItem], start: usize, mut at: usize) -> Result<(), Tie> {
    while at > start {
        let parent = (at - 1) / 2;
        if !less(&heap[at], &heap[parent])? {
            break;
        }
        heap.swap(at, parent);
        at = parent;
    }
    Ok(())
}

fn sink(heap: &mut [QueueItem], start: usize) -> Result<(), Tie> {
    let mut at = start;
    while at < heap.len() / 2 {
        let mut child = 2 * at + 1;
        if child + 1 < heap.len() && !less(&heap[child], &heap[child + 1])? {
            child += 1;
        }
        heap.swap(at, child);
        at = child;
    }
    rise(heap, start, at)
}

#[cfg(test)]
mod tests {
    use super::{QueueItem, Tie, heapify, pop, push};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn item(number: impl Into<Value>, id: &str, mark: u32) -> QueueItem {
        QueueItem {
            number: number.into(),
            id: id.to_owned(),
            prompt: Arc::new(json!({"1": mark})),
            extra: Arc::new(json!({})),
            outputs: vec![],
            bytes: 0,
        }
    }

    #[test]
    fn lower_numbers_first_then_ids() {
        let mut heap = vec![];
        for (number, id) in [(5, "e"), (2, "c"), (2, "b"), (-3, "z"), (9, "a")] {
            push(&mut heap, item(number, id, 0)).unwrap();
        }
        heap.remove(1);
        heapify(&mut heap).unwrap();
        push(&mut heap, item(1.5, "f", 0)).unwrap();
        let mut ids = vec![];
        while let Some(next) = pop(&mut heap).unwrap() {
            ids.push(next.id);
        }
        assert_eq!(ids, ["z", "f", "c", "e", "a"]);
    }

    #[test]
    fn the_same_number_and_id_with_another_graph_cannot_be_compared() {
        let mut heap = vec![];
        push(&mut heap, item(1, "a", 0)).unwrap();
        assert_eq!(push(&mut heap, item(1, "a", 1)), Err(Tie));
        assert_eq!(heap.len(), 2, "it is in the queue all the same");
        assert_eq!(push(&mut heap, item(1, "a", 0)), Ok(()));
    }
}

//! The queue of one life: Python's heap, item for item, because clients see its array order and its way to break.
//!
//! Invariant: two items with equal number and id cannot be compared (Python compares the graphs, which are dicts): pushing
//! one reports [`Tie`] although the item is in, and popping may lose an item, as the real queue does.

use crate::sim::python;
use serde_json::{Value, json};
use std::{cmp::Ordering, sync::Arc};

/// A prompt that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Sort key; an int when the server chose it, a float when the client did.
    pub number: Value,
    /// The client's id, or one of ours.
    pub id: String,
    /// `{node_id: {class_type, inputs}}`, inputs converted by validation.
    pub prompt: Arc<Value>,
    /// Anything; normally an object with `client_id`.
    pub extra: Arc<Value>,
    /// Output nodes to run.
    pub outputs: Vec<String>,
    /// Size of the request, for the bounds.
    pub bytes: usize,
}

impl Item {
    /// `[number, id, prompt, extra_data, outputs]`.
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

    /// The same without what history must not show.
    pub(crate) fn without_secrets(&self) -> Item {
        let mut extra = (*self.extra).clone();
        if let Some(map) = extra.as_object_mut() {
            map.shift_remove("auth_token_comfy_org");
            map.shift_remove("api_key_comfy_org");
        }
        Item { extra: Arc::new(extra), ..self.clone() }
    }
}

/// The `TypeError` of comparing two dicts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tie;

/// `a < b` of two queue tuples.
fn less(a: &Item, b: &Item) -> Result<bool, Tie> {
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

/// `heapq.heappush`.
pub(crate) fn push(heap: &mut Vec<Item>, item: Item) -> Result<(), Tie> {
    heap.push(item);
    let last = heap.len() - 1;
    rise(heap, 0, last)
}

/// `heapq.heappop`; `None` when empty. After a [`Tie`] the item that was to come is gone.
pub(crate) fn pop(heap: &mut Vec<Item>) -> Result<Option<Item>, Tie> {
    let Some(last) = heap.pop() else { return Ok(None) };
    if heap.is_empty() {
        return Ok(Some(last));
    }
    let first = std::mem::replace(&mut heap[0], last);
    sink(heap, 0)?;
    Ok(Some(first))
}

/// `heapq.heapify`.
pub(crate) fn heapify(heap: &mut [Item]) -> Result<(), Tie> {
    for at in (0..heap.len() / 2).rev() {
        sink(heap, at)?;
    }
    Ok(())
}

fn rise(heap: &mut [Item], start: usize, mut at: usize) -> Result<(), Tie> {
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

fn sink(heap: &mut [Item], start: usize) -> Result<(), Tie> {
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
    use super::{Item, Tie, heapify, pop, push};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn item(number: impl Into<Value>, id: &str, mark: u32) -> Item {
        Item {
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

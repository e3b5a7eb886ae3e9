//! Finished prompts, oldest first. Bounded in number as in the real server, and in bytes.

use crate::sim::{
    engine::prompt_heap::QueueItem,
    limits::{HISTORY_BYTES_MAX, HISTORY_MAX},
    python,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A finished prompt.
#[derive(Debug, Clone)]
pub(crate) struct FinishedPrompt {
    pub item: QueueItem,
    /// `{node_id: ui}`.
    pub outputs: Arc<Value>,
    pub is_success: bool,
    /// `[["execution_start", {...}], ...]`.
    pub messages: Arc<Value>,
    /// The entry as JSON of `GET /history`.
    text: Arc<str>,
}

impl FinishedPrompt {
    /// Creates an entry. `meta` is `{node_id: {node_id, display_node, parent_node, real_node_id}}`.
    pub(crate) fn new(item: &QueueItem, is_success: bool, messages: Vec<Value>, outputs: Value, meta: &Value) -> Self {
        let item = item.without_secrets();
        let status_str = if is_success { "success" } else { "error" };
        let status = json!({"status_str": status_str, "completed": is_success, "messages": messages});
        let text = format!(
            "{{\"prompt\": {}, \"outputs\": {}, \"status\": {}, \"meta\": {}}}",
            item.json(),
            python::dumps(&outputs),
            python::dumps(&status),
            python::dumps(meta)
        );
        let messages = Arc::new(Value::Array(messages));
        Self { item, outputs: Arc::new(outputs), is_success, messages, text: text.into() }
    }

    /// Returns type and data of the last message.
    pub(crate) fn last_message(&self) -> (&str, &Value) {
        let last = self.messages.as_array().and_then(|messages| messages.last());
        (last.and_then(|last| last[0].as_str()).unwrap_or_default(), last.map_or(&Value::Null, |last| &last[1]))
    }

    /// Returns the `timestamp` of the first message of this type.
    pub(crate) fn time_of(&self, kind: &str) -> Value {
        let messages = self.messages.as_array().map(Vec::as_slice).unwrap_or_default();
        messages
            .iter()
            .find(|message| message[0] == kind)
            .map_or(Value::Null, |message| message[1]["timestamp"].clone())
    }
}

/// All finished prompts.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: BTreeMap<u64, FinishedPrompt>,
    places: HashMap<String, u64>,
    next: u64,
    bytes: usize,
}

impl History {
    /// Adds an entry. An older entry with the same id is replaced in place.
    pub(crate) fn add(&mut self, finished: FinishedPrompt) {
        while self.entries.len() > HISTORY_MAX || (self.bytes > HISTORY_BYTES_MAX && !self.entries.is_empty()) {
            self.drop_oldest();
        }
        let id = finished.item.id.clone();
        let place = *self.places.entry(id).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        // Stored twice, as text and as values; the limit counts both.
        self.bytes += 2 * finished.text.len();
        if let Some(old) = self.entries.insert(place, finished) {
            self.bytes -= 2 * old.text.len();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, oldest)) = self.entries.pop_first() {
            self.bytes -= 2 * oldest.text.len();
            self.places.remove(&oldest.item.id);
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&FinishedPrompt> {
        self.entries.get(self.places.get(id)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &FinishedPrompt> {
        self.entries.values()
    }

    pub(crate) fn remove(&mut self, id: &str) {
        if let Some(old) = self.places.remove(id).and_then(|place| self.entries.remove(&place)) {
            self.bytes -= 2 * old.text.len();
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }

    /// Returns `{id: entry}`, or `{}`.
    pub(crate) fn one_json(&self, id: &str) -> String {
        self.get(id).map_or_else(|| "{}".to_owned(), |entry| object([entry].into_iter()))
    }

    /// Returns the `max_items` newest entries, or those from `offset`.
    pub(crate) fn json(&self, max_items: Option<i64>, offset: i64) -> String {
        let count = i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        let offset = match max_items {
            Some(max) if offset < 0 => count.saturating_sub(max),
            _ => offset,
        };
        let skip = usize::try_from(offset).unwrap_or(0);
        // Python's loop adds an entry before it checks the limit, so a limit of zero or less still yields one.
        let take = max_items.map_or(usize::MAX, |max| usize::try_from(max.max(1)).unwrap_or(usize::MAX));
        object(self.entries.values().skip(skip).take(take))
    }
}

fn object<'a>(entries: impl Iterator<Item = &'a FinishedPrompt>) -> String {
    let mut out = String::from("{");
    for (at, entry) in entries.enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        python::write_text(&entry.item.id, &mut out);
        out.push_str(": ");
        out.push_str(&entry.text);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::{FinishedPrompt, HISTORY_MAX, History};
    use crate::sim::engine::prompt_heap::QueueItem;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn finished(id: &str, mark: u32) -> FinishedPrompt {
        let item = QueueItem {
            number: json!(mark),
            id: id.to_owned(),
            prompt: Arc::new(json!({})),
            extra: Arc::new(json!({"api_key_comfy_org": "s3cret"})),
            outputs: vec![],
            bytes: 0,
        };
        FinishedPrompt::new(&item, true, vec![], json!({}), &json!({}))
    }

    fn ids(text: &str) -> Vec<String> {
        serde_json::from_str::<Value>(text).unwrap().as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn an_entry_with_the_same_id_is_replaced_in_place() {
        let mut history = History::default();
        for (id, mark) in [("a", 1), ("b", 2), ("a", 3)] {
            history.add(finished(id, mark));
        }
        assert_eq!(ids(&history.json(None, -1)), ["a", "b"]);
        assert!(history.one_json("a").contains("[3, \"a\""));
        assert!(!history.one_json("a").contains("s3cret"));
        assert_eq!(ids(&history.json(Some(1), -1)), ["b"]);
        assert_eq!(ids(&history.json(Some(1), 0)), ["a"]);
        assert_eq!(ids(&history.json(Some(0), -1)).len(), 0);
        history.remove("a");
        assert_eq!(history.one_json("a"), "{}");
        history.clear();
        assert_eq!((history.bytes, history.json(None, -1).as_str()), (0, "{}"));
    }

    #[test]
    fn it_holds_10001_entries() {
        let mut history = History::default();
        for mark in 0..10_050 {
            history.add(finished(&mark.to_string(), mark));
        }
        assert_eq!(history.entries.len(), HISTORY_MAX + 1);
        assert!(history.get("48").is_none() && history.get("49").is_some());
    }
}

//! Finished prompts, oldest first, bounded in number as the real server's and in bytes as a test tool's must be.

use super::prompt_heap::Item;
use crate::sim::{HISTORY_BYTES_MAX, HISTORY_MAX, python};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// One finished prompt.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub item: Item,
    /// `{node_id: ui}`.
    pub outputs: Arc<Value>,
    pub is_success: bool,
    /// `[["execution_start", {...}], ...]`.
    pub messages: Arc<Value>,
    /// The entry as `GET /history` shows it.
    text: Arc<str>,
}

impl Finished {
    /// `meta` is `{node_id: {node_id, display_node, parent_node, real_node_id}}`.
    pub(crate) fn new(item: &Item, is_success: bool, messages: Vec<Value>, outputs: Value, meta: &Value) -> Self {
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

    /// The last message's kind and content.
    pub(crate) fn last_message(&self) -> (&str, &Value) {
        let last = self.messages.as_array().and_then(|messages| messages.last());
        (last.and_then(|last| last[0].as_str()).unwrap_or_default(), last.map_or(&Value::Null, |last| &last[1]))
    }

    /// `timestamp` of the first message of this kind.
    pub(crate) fn time_of(&self, kind: &str) -> Value {
        let messages = self.messages.as_array().map(Vec::as_slice).unwrap_or_default();
        messages
            .iter()
            .find(|message| message[0] == kind)
            .map_or(Value::Null, |message| message[1]["timestamp"].clone())
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: BTreeMap<u64, Finished>,
    places: HashMap<String, u64>,
    next: u64,
    bytes: usize,
}

impl History {
    /// Adds one; an older entry with its id is replaced where it stands.
    pub(crate) fn add(&mut self, finished: Finished) {
        while self.entries.len() > HISTORY_MAX || (self.bytes > HISTORY_BYTES_MAX && !self.entries.is_empty()) {
            self.drop_oldest();
        }
        let id = finished.item.id.clone();
        let place = *self.places.entry(id).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        // Kept twice, as text and as values: the bound counts both.
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

    pub(crate) fn get(&self, id: &str) -> Option<&Finished> {
        self.entries.get(self.places.get(id)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Finished> {
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

    /// `{id: entry}`, or `{}`.
    pub(crate) fn one_json(&self, id: &str) -> String {
        self.get(id).map_or_else(|| "{}".to_owned(), |entry| object([entry].into_iter()))
    }

    /// `max_items` newest ones, or those from `offset`.
    pub(crate) fn json(&self, max_items: Option<i64>, offset: i64) -> String {
        let count = i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        let offset = match max_items {
            Some(max) if offset < 0 => count.saturating_sub(max),
            _ => offset,
        };
        let skip = usize::try_from(offset).unwrap_or(0);
        // Python's loop adds before it looks at the limit: zero or less lets one through if there is one to take.
        let take = max_items.map_or(usize::MAX, |max| usize::try_from(max.max(1)).unwrap_or(usize::MAX));
        object(self.entries.values().skip(skip).take(take))
    }
}

fn object<'a>(entries: impl Iterator<Item = &'a Finished>) -> String {
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
    use super::{Finished, HISTORY_MAX, History};
    use crate::sim::engine::prompt_heap::Item;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn finished(id: &str, mark: u32) -> Finished {
        let item = Item {
            number: json!(mark),
            id: id.to_owned(),
            prompt: Arc::new(json!({})),
            extra: Arc::new(json!({"api_key_comfy_org": "s3cret"})),
            outputs: vec![],
            bytes: 0,
        };
        Finished::new(&item, true, vec![], json!({}), &json!({}))
    }

    fn ids(text: &str) -> Vec<String> {
        serde_json::from_str::<Value>(text).unwrap().as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_same_id_replaces_in_place() {
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

//! Cache of node results across prompts. The key of a node consists of its class, its inputs and the keys of the linked
//! nodes; node ids do not matter, unknown input names do.

use crate::sim::{
    engine::{
        graph::{Graph, link},
        process::Instance,
    },
    file_paths,
    nodes::value::NodeValue,
    options::Caching,
    python,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

type Key = [u8; 32];

/// The ui value that a node sent to the client.
#[derive(Debug, Clone)]
pub(crate) struct Ui {
    pub output: Arc<Value>,
    pub meta: Value,
}

#[derive(Debug, Default)]
struct Entry {
    outputs: Option<Arc<Vec<NodeValue>>>,
    ui: Option<Ui>,
    used: u64,
}

/// Cache of a worker.
#[derive(Debug)]
pub(crate) struct Cache {
    caching: Caching,
    entries: HashMap<Key, Entry>,
    /// Keys of the nodes of the current prompt.
    keys: HashMap<String, Key>,
    prompts: u64,
    /// Results of earlier prompts are evicted.
    oldest: u64,
}

impl Cache {
    pub(crate) fn new(caching: Caching) -> Self {
        Self { caching, entries: HashMap::new(), keys: HashMap::new(), prompts: 0, oldest: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.keys.clear();
    }

    /// Computes the keys of a prompt's nodes and evicts results by the caching strategy.
    pub(crate) fn begin(&mut self, graph: &Graph, instance: &Instance) {
        self.prompts += 1;
        self.keys = KeyBuilder { graph, instance, prompt: self.prompts, keys: HashMap::new() }.run();
        let wanted: HashSet<Key> = self.keys.values().copied().collect();
        for key in &wanted {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.used = self.prompts;
            }
        }
        match self.caching {
            Caching::None => self.entries.clear(),
            Caching::Classic => self.entries.retain(|key, _| wanted.contains(key)),
            Caching::Lru(max) => {
                // Evicts whole prompts, oldest first.
                while self.entries.len() > max && self.oldest < self.prompts {
                    self.oldest += 1;
                    self.entries.retain(|_, entry| entry.used >= self.oldest);
                }
            }
        }
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.get(self.keys.get(id)?)
    }

    pub(crate) fn outputs(&self, id: &str) -> Option<&Arc<Vec<NodeValue>>> {
        self.entry(id)?.outputs.as_ref()
    }

    pub(crate) fn ui(&self, id: &str) -> Option<&Ui> {
        self.entry(id)?.ui.as_ref()
    }

    fn entry_mut(&mut self, id: &str) -> &mut Entry {
        let prompt = self.prompts;
        // An expanded node has no key of its own; its result is kept for this prompt only.
        let key = *self.keys.entry(id.to_owned()).or_insert_with(|| digest(&json!(["expanded", id, prompt])));
        let entry = self.entries.entry(key).or_default();
        entry.used = prompt;
        entry
    }

    pub(crate) fn keep_outputs(&mut self, id: &str, outputs: Vec<NodeValue>) {
        self.entry_mut(id).outputs = Some(Arc::new(outputs));
    }

    pub(crate) fn keep_ui(&mut self, id: &str, ui: Ui) {
        self.entry_mut(id).ui = Some(ui);
    }
}

fn digest(value: &Value) -> Key {
    Sha256::digest(python::dumps(value).as_bytes()).into()
}

/// Computes the key of every node after those of the nodes it links to, without recursion.
struct KeyBuilder<'a> {
    graph: &'a Graph,
    instance: &'a Instance,
    prompt: u64,
    keys: HashMap<String, Key>,
}

impl KeyBuilder<'_> {
    fn run(mut self) -> HashMap<String, Key> {
        let mut begun: HashSet<&str> = HashSet::new();
        let mut stack: Vec<&str> = Vec::new();
        for root in &self.graph.ids {
            stack.push(root);
            while let Some(id) = stack.last().copied() {
                if self.keys.contains_key(id) {
                    stack.pop();
                    continue;
                }
                let waits: Vec<&str> = if begun.insert(id) {
                    let links = self.graph.get(id).into_iter().flat_map(|node| node.links().map(|(from, _)| from));
                    links.filter(|from| !self.keys.contains_key(*from) && !begun.contains(from)).collect()
                } else {
                    Vec::new()
                };
                if waits.is_empty() {
                    let key = self.key_of(id);
                    self.keys.insert(id.to_owned(), key);
                    stack.pop();
                } else {
                    stack.extend(waits);
                }
            }
        }
        self.keys
    }

    fn key_of(&self, id: &str) -> Key {
        let Some(node) = self.graph.get(id) else { return digest(&json!(["missing", self.prompt])) };
        let mut parts = vec![json!(node.class_name), self.is_changed(id)];
        if node.class.is_some_and(|class| class.knows_its_id) {
            parts.push(json!(id));
        }
        let mut inputs: Vec<(&String, &Value)> = node.inputs.iter().collect();
        inputs.sort_unstable_by_key(|(name, _)| *name);
        for (name, value) in inputs {
            parts.push(match link(value) {
                // A node in a cycle, or a missing one, cannot be cached.
                Some((from, slot)) => match self.keys.get(from) {
                    Some(key) => json!([name, "ANCESTOR", key.to_vec(), slot]),
                    None => json!([name, "missing", self.prompt]),
                },
                None => json!([name, value]),
            });
        }
        digest(&Value::Array(parts))
    }

    /// Python's `IS_CHANGED`: different each time for TestAlways, the digest of the file for loaders.
    fn is_changed(&self, id: &str) -> Value {
        let Some(node) = self.graph.get(id) else { return Value::Null };
        let input = match node.class_name.as_str() {
            "TestAlways" => return json!(self.prompt),
            "LoadImage" | "LoadImageMask" | "LoadImageOutput" => "image",
            "LoadAudio" => "audio",
            "LoadVideo" => "file",
            _ => return json!(false),
        };
        let key = node.inputs.get(input).and_then(Value::as_str).and_then(file_paths::locate);
        key.and_then(|key| self.instance.files.metadata(&key)).map_or(Value::Null, |file| json!(file.digest.to_vec()))
    }
}

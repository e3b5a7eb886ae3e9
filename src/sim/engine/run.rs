//! One prompt from `execution_start` to its end: the messages in their order, the nodes in theirs.

mod ending;

use super::{
    cache::{Cache, Ui},
    execution_order::Order,
    graph::Graph,
    incarnation::Life,
    progress::{Ids, Progress},
    prompt_heap::Item,
};
use crate::{
    clock,
    sim::{
        Mode, lock,
        nodes::{self, Context, Failed, Made, Val},
    },
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

/// How a prompt ended, or what it did to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Succeeded,
    Failed,
    Interrupted,
    /// The worker is dead: a zombie.
    WorkerDied,
    /// The whole process is.
    ProcessDied,
}

/// What the history gets.
pub(crate) struct Ran {
    pub ended: Ended,
    pub messages: Vec<Value>,
    pub outputs: Value,
    pub meta: Value,
    pub client: Option<String>,
}

type Flight<'a> = BoxFuture<'a, (String, Result<Made, Failed>)>;

/// Why the prompt stops at a node.
struct Stop {
    node: String,
    failed: Failed,
    inputs: Value,
}

struct Run<'a> {
    life: &'a Arc<Life>,
    item: &'a Item,
    cache: &'a mut Cache,
    context: Arc<Context>,
    graph: Graph,
    order: Order,
    messages: Vec<Value>,
    executed: Vec<String>,
    /// Nodes that told something in this run.
    told: HashSet<String>,
    /// Expanded nodes and where their results come from.
    expanded: HashMap<String, Vec<(String, usize)>>,
    flights: FuturesUnordered<Flight<'static>>,
    landed: HashMap<String, Result<Made, Failed>>,
}

/// Runs it to its end. Never errs: a failure is an end like another.
pub(crate) async fn run(life: &Arc<Life>, item: &Item, cache: &mut Cache) -> Ran {
    life.interrupt.send_replace(false);
    let mut ran = Ran { ended: Ended::WorkerDied, messages: vec![], outputs: json!({}), meta: json!({}), client: None };
    // `"client_id" in 5` kills the worker; a client id that cannot be a key of a dict kills the process.
    let client = match &*item.extra {
        Value::Object(extra) => match extra.get("client_id") {
            None | Some(Value::Null) => None,
            Some(Value::String(client)) => Some(client.clone()),
            Some(Value::Array(_) | Value::Object(_)) => {
                ran.ended = Ended::ProcessDied;
                return ran;
            }
            // A number or bool is a key that no socket has.
            Some(other) => Some(format!("\u{0}{other}")),
        },
        Value::Array(_) | Value::String(_) => None,
        Value::Null | Value::Bool(_) | Value::Number(_) => return ran,
    };
    ran.client.clone_from(&client);
    *lock(&life.focus) = (client.clone(), None);
    let context = Arc::new(Context {
        life: Arc::clone(life),
        item: item.clone(),
        client,
        progress: Mutex::new(Progress::default()),
    });
    let mut messages = vec![];
    tell(&context, &mut messages, "execution_start", json!({"prompt_id": item.id}), false);
    let Some(graph) = Graph::read(&item.prompt) else { return ran };
    cache.begin(&graph, &life.shared);
    let run = Run {
        life,
        item,
        cache,
        context,
        graph,
        order: Order::default(),
        messages,
        executed: vec![],
        told: HashSet::new(),
        expanded: HashMap::new(),
        flights: FuturesUnordered::new(),
        landed: HashMap::new(),
    };
    run.finish(ran).await
}

/// A message that history keeps too.
fn tell(context: &Context, messages: &mut Vec<Value>, kind: &str, mut data: Value, to_all: bool) {
    data["timestamp"] = clock::unix_ms().into();
    if context.client.is_some() || to_all {
        context.life.hub.send(context.client.as_deref(), kind, &data);
    }
    messages.push(json!([kind, data]));
}

impl Run<'_> {
    async fn finish(mut self, mut ran: Ran) -> Ran {
        let cached: Vec<&String> = self.graph.ids.iter().filter(|id| self.cache.outputs(id).is_some()).collect();
        let data = json!({"nodes": cached, "prompt_id": self.item.id});
        tell(&self.context, &mut self.messages, "execution_cached", data, false);
        let stopped = match self.ordered_to_fail() {
            Some(stop) => Err(stop),
            None => self.nodes().await,
        };
        ran.ended = match stopped {
            Ok(()) => {
                let data = json!({"prompt_id": self.item.id});
                tell(&self.context, &mut self.messages, "execution_success", data, false);
                Ended::Succeeded
            }
            Err(stop) => self.report(&stop),
        };
        lock(&self.life.focus).1 = None;
        let (outputs, meta) = self.results();
        ran.messages = self.messages;
        ran.outputs = outputs;
        ran.meta = meta;
        ran
    }

    async fn nodes(&mut self) -> Result<(), Box<Stop>> {
        for output in &self.item.outputs {
            self.order.add(output, &self.graph, &|id| self.cache.outputs(id).is_some());
        }
        if self.life.shared.options.mode == Mode::V038 {
            self.tell_cached();
        }
        while !self.order.is_empty() {
            match self.order.pick(&self.graph) {
                Some(id) => self.step(&id).await?,
                None => match self.flights.next().await {
                    Some((id, made)) => {
                        self.order.unblock(&id);
                        self.landed.insert(id, made);
                    }
                    None => return Err(self.cycle()),
                },
            }
        }
        Ok(())
    }

    /// Newer versions also tell the ui of cached nodes that are no outputs.
    fn tell_cached(&mut self) {
        for id in self.graph.ids.clone() {
            let is_inner = !self.item.outputs.contains(&id) && self.cache.outputs(&id).is_some();
            if let (true, Some(ui)) = (is_inner, self.cache.ui(&id).cloned()) {
                self.tell_executed(&id, &ui.output);
            }
        }
    }

    fn ids(&self, id: &str) -> Ids {
        Ids {
            node: id.to_owned(),
            display: self.graph.shown_as(id).to_owned(),
            parent: self.graph.parent(id).map(str::to_owned),
        }
    }

    fn tell_executed(&mut self, id: &str, output: &Value) {
        self.told.insert(id.to_owned());
        let data = json!({
            "node": id, "display_node": self.graph.shown_as(id), "output": output, "prompt_id": self.item.id,
        });
        self.context.tell("executed", &data);
    }

    /// Runs one node, or as far as it goes now.
    async fn step(&mut self, id: &str) -> Result<(), Box<Stop>> {
        let ids = self.ids(id);
        if self.cache.outputs(id).is_some() {
            let output = self.cache.ui(id).map_or(Value::Null, |ui| (*ui.output).clone());
            self.tell_executed(id, &output);
            self.context.finish(&ids);
            self.order.done(id);
            return Ok(());
        }
        if let Some(made) = self.landed.remove(id) {
            return self.settle(&ids, made, json!({}));
        }
        if let Some(sources) = self.expanded.remove(id) {
            let outputs = sources.iter().map(|(from, slot)| self.output(from, *slot)).collect();
            return self.settle(&ids, Ok(Made::of(outputs)), json!({}));
        }
        self.context.start(&ids);
        let inputs = self.inputs(id);
        if self.context.client.is_some() {
            lock(&self.life.focus).1 = Some(ids.display.clone());
        }
        self.context.tell("executing", &json!({"node": id, "display_node": ids.display, "prompt_id": self.item.id}));
        let shown = nodes::shown(&inputs);
        if let Err(failed) = self.context.look() {
            return Err(Box::new(Stop { node: id.to_owned(), failed, inputs: shown }));
        }
        let blocker = inputs.values().find_map(|value| match value {
            Val::Blocked(message) => Some(message.clone()),
            _ => None,
        });
        if let Some(message) = blocker {
            if let Some(message) = message {
                self.blocked(id, &message);
            }
            let count = self.graph.get(id).and_then(|node| node.class).map_or(0, |class| class.outputs.len());
            return self.settle(&ids, Ok(Made::of(vec![Val::Blocked(None); count])), shown);
        }
        let Some(node) = self.graph.get(id).cloned() else { return Ok(()) };
        let is_async = node.is_async();
        let (context, flying) = (Arc::clone(&self.context), ids.clone());
        let flight: Flight<'static> = Box::pin(async move {
            let made = nodes::run(&context, &flying, &node, &inputs).await;
            (flying.node.clone(), made)
        });
        if is_async {
            self.order.block(id);
            self.flights.push(flight);
            return Ok(());
        }
        let (_, made) = flight.await;
        self.settle(&ids, made, shown)
    }

    /// A node gave its results, or failed.
    fn settle(&mut self, ids: &Ids, made: Result<Made, Failed>, inputs: Value) -> Result<(), Box<Stop>> {
        let id = ids.node.as_str();
        let made = made.map_err(|failed| Box::new(Stop { node: id.to_owned(), failed, inputs }))?;
        if let Some(output) = made.ui.filter(|ui| ui.as_object().is_some_and(|ui| !ui.is_empty())) {
            let meta = json!({
                "node_id": id, "display_node": ids.display, "parent_node": ids.parent, "real_node_id": ids.display,
            });
            self.cache.keep_ui(id, Ui { output: Arc::new(output.clone()), meta });
            self.tell_executed(id, &output);
        }
        if let Some((class, inputs)) = made.expand {
            let child = format!("{id}.0.0.1");
            self.graph.insert(&child, class, inputs, Some(id));
            self.order.add(&child, &self.graph, &|id| self.cache.outputs(id).is_some());
            self.order.wait(&child, id);
            self.expanded.insert(id.to_owned(), vec![(child, 0)]);
            return Ok(());
        }
        self.cache.keep_outputs(id, made.outputs);
        self.context.finish(ids);
        self.executed.push(id.to_owned());
        self.order.done(id);
        Ok(())
    }

    fn output(&self, from: &str, slot: usize) -> Val {
        self.cache.outputs(from).and_then(|outputs| outputs.get(slot).cloned()).unwrap_or(Val::Opaque)
    }

    fn inputs(&self, id: &str) -> HashMap<String, Val> {
        let Some(node) = self.graph.get(id) else { return HashMap::new() };
        let resolve = |value: &Value| match super::graph::link(value) {
            Some((from, slot)) => self.output(from, slot),
            None => Val::Json(value.clone()),
        };
        node.inputs.iter().map(|(name, value)| (name.clone(), resolve(value))).collect()
    }
}

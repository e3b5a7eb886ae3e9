//! Runs a prompt from `execution_start` to its end: the nodes in their order, and the messages about them.

mod ending;

use crate::sim::{
    engine::{
        cache::{Cache, Ui},
        execution_order::ExecutionOrder,
        graph::Graph,
        process::Process,
        progress::{NodeIds, Progress},
        prompt_heap::QueueItem,
    },
    lock::lock,
    nodes::{
        self,
        context::Context,
        value::{NodeFailure, NodeResult, NodeValue},
    },
    options::Mode,
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

/// End of a prompt, or its effect on the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunEnd {
    Succeeded,
    Failed,
    Interrupted,
    /// The worker ended: the process is a zombie.
    WorkerDied,
    /// The process ended.
    ProcessDied,
}

/// Result of a run, for the history.
pub(crate) struct RunResult {
    pub ended: RunEnd,
    pub messages: Vec<Value>,
    pub outputs: Value,
    pub meta: Value,
    pub client: Option<String>,
}

type AsyncNode<'a> = BoxFuture<'a, (String, Result<NodeResult, NodeFailure>)>;

/// Failure of a node that stops the prompt.
struct Stop {
    node: String,
    failed: NodeFailure,
    inputs: Value,
}

struct Run<'a> {
    process: &'a Arc<Process>,
    item: &'a QueueItem,
    cache: &'a mut Cache,
    context: Arc<Context>,
    graph: Graph,
    order: ExecutionOrder,
    messages: Vec<Value>,
    executed: Vec<String>,
    /// Nodes whose ui was sent in this run.
    reported: HashSet<String>,
    /// Expanded nodes, and the nodes and slots that provide their results.
    expanded: HashMap<String, Vec<(String, usize)>>,
    async_nodes: FuturesUnordered<AsyncNode<'static>>,
    async_results: HashMap<String, Result<NodeResult, NodeFailure>>,
}

/// Runs a prompt to its end. A failure is an end, not an error.
pub(crate) async fn run(process: &Arc<Process>, item: &QueueItem, cache: &mut Cache) -> RunResult {
    process.interrupt.send_replace(false);
    let mut ran =
        RunResult { ended: RunEnd::WorkerDied, messages: vec![], outputs: json!({}), meta: json!({}), client: None };
    // `"client_id" in 5` ends the worker; a client id that is not hashable in Python ends the process.
    let client = match &*item.extra {
        Value::Object(extra) => match extra.get("client_id") {
            None | Some(Value::Null) => None,
            Some(Value::String(client)) => Some(client.clone()),
            Some(Value::Array(_) | Value::Object(_)) => {
                ran.ended = RunEnd::ProcessDied;
                return ran;
            }
            // A number or bool is a valid key, but no socket has it.
            Some(other) => Some(format!("\u{0}{other}")),
        },
        Value::Array(_) | Value::String(_) => None,
        Value::Null | Value::Bool(_) | Value::Number(_) => return ran,
    };
    ran.client.clone_from(&client);
    *lock(&process.focus) = (client.clone(), None);
    let context = Arc::new(Context {
        process: Arc::clone(process),
        item: item.clone(),
        client,
        progress: Mutex::new(Progress::default()),
    });
    let mut messages = vec![];
    context.emit(&mut messages, "execution_start", json!({"prompt_id": item.id}), false);
    let Some(graph) = Graph::read(&item.prompt) else { return ran };
    cache.begin(&graph, &process.instance);
    let run = Run {
        process,
        item,
        cache,
        context,
        graph,
        order: ExecutionOrder::default(),
        messages,
        executed: vec![],
        reported: HashSet::new(),
        expanded: HashMap::new(),
        async_nodes: FuturesUnordered::new(),
        async_results: HashMap::new(),
    };
    run.finish(ran).await
}

impl Run<'_> {
    async fn finish(mut self, mut ran: RunResult) -> RunResult {
        let cached: Vec<&String> = self.graph.ids.iter().filter(|id| self.cache.outputs(id).is_some()).collect();
        let data = json!({"nodes": cached, "prompt_id": self.item.id});
        self.context.emit(&mut self.messages, "execution_cached", data, false);
        if self.graph.leads_nowhere(&self.item.outputs, &|id| self.cache.outputs(id).is_some()) {
            return ran;
        }
        let stopped = match self.injected_failure() {
            Some(stop) => Err(stop),
            None => self.nodes().await,
        };
        ran.ended = match stopped {
            Ok(()) => {
                let data = json!({"prompt_id": self.item.id});
                self.context.emit(&mut self.messages, "execution_success", data, false);
                RunEnd::Succeeded
            }
            Err(stop) => self.report(&stop),
        };
        lock(&self.process.focus).1 = None;
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
        if self.process.instance.options.mode == Mode::V038 {
            self.report_cached();
        }
        while !self.order.is_empty() {
            match self.order.pick(&self.graph) {
                Some(id) => self.step(&id).await?,
                None => match self.async_nodes.next().await {
                    Some((id, result)) => {
                        self.order.unblock(&id);
                        self.async_results.insert(id, result);
                    }
                    None => return Err(self.cycle()),
                },
            }
        }
        Ok(())
    }

    /// Sends the ui of cached nodes that are not outputs, as newer versions do.
    fn report_cached(&mut self) {
        for id in self.graph.ids.clone() {
            let is_inner = !self.item.outputs.contains(&id) && self.cache.outputs(&id).is_some();
            if let (true, Some(ui)) = (is_inner, self.cache.ui(&id).cloned()) {
                self.report_executed(&id, &ui.output);
            }
        }
    }

    fn ids(&self, id: &str) -> NodeIds {
        NodeIds {
            node: id.to_owned(),
            display: self.graph.shown_as(id).to_owned(),
            parent: self.graph.parent(id).map(str::to_owned),
        }
    }

    fn report_executed(&mut self, id: &str, output: &Value) {
        self.reported.insert(id.to_owned());
        let data = json!({
            "node": id, "display_node": self.graph.shown_as(id), "output": output, "prompt_id": self.item.id,
        });
        self.context.send_to_client("executed", &data);
    }

    /// Runs a node, or starts it if it is asynchronous.
    async fn step(&mut self, id: &str) -> Result<(), Box<Stop>> {
        let ids = self.ids(id);
        if self.cache.outputs(id).is_some() {
            let output = self.cache.ui(id).map_or(Value::Null, |ui| (*ui.output).clone());
            self.report_executed(id, &output);
            self.context.finish(&ids);
            self.order.done(id);
            return Ok(());
        }
        if let Some(result) = self.async_results.remove(id) {
            return self.settle(&ids, result, json!({}));
        }
        if let Some(sources) = self.expanded.remove(id) {
            let outputs = sources.iter().map(|(from, slot)| self.output(from, *slot)).collect();
            return self.settle(&ids, Ok(NodeResult::of(outputs)), json!({}));
        }
        self.context.start(&ids);
        let inputs = self.inputs(id);
        if self.context.client.is_some() {
            lock(&self.process.focus).1 = Some(ids.display.clone());
        }
        self.context
            .send_to_client("executing", &json!({"node": id, "display_node": ids.display, "prompt_id": self.item.id}));
        let shown = nodes::value::shown(&inputs);
        if let Err(failed) = self.context.check_interrupt() {
            return Err(Box::new(Stop { node: id.to_owned(), failed, inputs: shown }));
        }
        let blocker = inputs.values().find_map(|value| match value {
            NodeValue::Blocked(message) => Some(message.clone()),
            _ => None,
        });
        if let Some(message) = blocker {
            if let Some(message) = message {
                self.blocked(id, &message);
            }
            let count = self.graph.get(id).and_then(|node| node.class).map_or(0, |class| class.outputs.len());
            return self.settle(&ids, Ok(NodeResult::of(vec![NodeValue::Blocked(None); count])), shown);
        }
        let Some(node) = self.graph.get(id).cloned() else { return Ok(()) };
        let is_async = node.is_async();
        let (context, node_ids) = (Arc::clone(&self.context), ids.clone());
        let future: AsyncNode<'static> = Box::pin(async move {
            let result = nodes::run(&context, &node_ids, &node, &inputs).await;
            (node_ids.node.clone(), result)
        });
        if is_async {
            self.order.block(id);
            self.async_nodes.push(future);
            return Ok(());
        }
        let (_, result) = future.await;
        self.settle(&ids, result, shown)
    }

    /// Handles the result or failure of a node.
    fn settle(
        &mut self,
        ids: &NodeIds,
        result: Result<NodeResult, NodeFailure>,
        inputs: Value,
    ) -> Result<(), Box<Stop>> {
        let id = ids.node.as_str();
        let result = result.map_err(|failed| Box::new(Stop { node: id.to_owned(), failed, inputs }))?;
        if let Some(output) = result.ui.filter(|ui| ui.as_object().is_some_and(|ui| !ui.is_empty())) {
            let meta = json!({
                "node_id": id, "display_node": ids.display, "parent_node": ids.parent, "real_node_id": ids.display,
            });
            self.cache.keep_ui(id, Ui { output: Arc::new(output.clone()), meta });
            self.report_executed(id, &output);
        }
        if let Some((class, inputs)) = result.expand {
            let child = format!("{id}.0.0.1");
            self.graph.insert(&child, class, inputs, Some(id));
            self.order.add(&child, &self.graph, &|id| self.cache.outputs(id).is_some());
            self.order.wait(&child, id);
            self.expanded.insert(id.to_owned(), vec![(child, 0)]);
            return Ok(());
        }
        self.cache.keep_outputs(id, result.outputs);
        self.context.finish(ids);
        self.executed.push(id.to_owned());
        self.order.done(id);
        Ok(())
    }

    fn output(&self, from: &str, slot: usize) -> NodeValue {
        self.cache.outputs(from).and_then(|outputs| outputs.get(slot).cloned()).unwrap_or(NodeValue::Opaque)
    }

    fn inputs(&self, id: &str) -> HashMap<String, NodeValue> {
        let Some(node) = self.graph.get(id) else { return HashMap::new() };
        let resolve = |value: &Value| match super::graph::link(value) {
            Some((from, slot)) => self.output(from, slot),
            None => NodeValue::Json(value.clone()),
        };
        node.inputs.iter().map(|(name, value)| (name.clone(), resolve(value))).collect()
    }
}

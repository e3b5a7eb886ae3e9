//! `POST /prompt`: number, id, validation, queue, and the faults of submitting.

use crate::{
    clock,
    sim::{
        engine::{
            event_log::LogEvent,
            process::Process,
            prompt_heap::{self, QueueItem},
            validate::{self, Validation},
        },
        lock::lock,
        options::Mode,
        python,
        server::aiohttp,
    },
};
use axum::{body::Body, extract::State, http::StatusCode, response::Response};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};

pub(crate) async fn prompt(State(process): State<Arc<Process>>, body: Body) -> Response {
    let (request, bytes) = match aiohttp::json_body(&process, body).await {
        Ok((Value::Object(request), bytes)) => (request, bytes),
        // In Python `"prompt" in x` is false for a list or a string, not an error.
        Ok((Value::Array(_) | Value::String(_), _)) => return refuse(&process, "", no_prompt(), &json!({})),
        Ok(_) => return aiohttp::internal_error(),
        Err(response) => return response,
    };
    if process.instance.strikes(|faults| &mut faults.prompt_500) {
        return aiohttp::internal_error();
    }
    if process.instance.strikes(|faults| &mut faults.prompt_drop) {
        return aiohttp::cut();
    }
    let number = match number(&process, &request) {
        Ok(number) => number,
        Err(()) => return aiohttp::internal_error(),
    };
    take(&process, request, number, bytes).await
}

/// Returns the client's `number` as a float, or the next value of the counter, negated with `front`.
fn number(process: &Process, request: &Map<String, Value>) -> Result<Value, ()> {
    if let Some(number) = request.get("number") {
        let number = python::float_of(number).map_err(|_| ())?;
        return Ok(serde_json::Number::from_f64(number).map_or_else(|| Value::from(python::NAN), Value::Number));
    }
    let mut queue = lock(&process.queue);
    let number = if request.get("front").is_some_and(python::truthy) { -queue.counter } else { queue.counter };
    queue.counter += 1;
    Ok(Value::from(number))
}

async fn take(process: &Arc<Process>, mut request: Map<String, Value>, number: Value, bytes: usize) -> Response {
    let Some(mut graph) = request.shift_remove("prompt") else { return refuse(process, "", no_prompt(), &json!({})) };
    let id = match prompt_id(process, request.get("prompt_id")) {
        Ok(id) => id,
        Err(error) => return refuse(process, "", error, &json!({})),
    };
    if process.instance.options.mode == Mode::V038 && !validate::replace_classes(&mut graph) {
        return aiohttp::internal_error();
    }
    let targets = request.get("partial_execution_targets").filter(|targets| !targets.is_null());
    let validation = validate::prompt(graph, targets, &process.instance);
    let (graph, outputs, mut node_errors) = match validation {
        Validation::InternalError => return aiohttp::internal_error(),
        Validation::Refused { error, node_errors } => return refuse(process, &id, error, &node_errors),
        Validation::Accepted { prompt, outputs, node_errors } => (prompt, outputs, node_errors),
    };
    let Ok(extra) = extra(process, &mut request) else { return aiohttp::internal_error() };
    if process.instance.strikes(|faults| &mut faults.prompt_partial) {
        node_errors = made_up(&graph);
    }
    let item =
        QueueItem { number: number.clone(), id: id.clone(), prompt: graph.into(), extra: extra.into(), outputs, bytes };
    if enqueue(process, item).is_err() {
        return aiohttp::internal_error();
    }
    let delay_ms = lock(&process.instance.faults).prompt_delay_ms;
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    if process.instance.strikes(|faults| &mut faults.prompt_500_queued) {
        return aiohttp::internal_error();
    }
    if process.instance.strikes(|faults| &mut faults.prompt_drop_queued) {
        return aiohttp::cut();
    }
    aiohttp::json(&json!({"prompt_id": id, "number": number, "node_errors": node_errors}))
}

/// Returns the prompt id: any value as text; in newer versions a canonical UUID.
fn prompt_id(process: &Process, asked: Option<&Value>) -> Result<String, Value> {
    let minted = || uuid::Uuid::new_v4().to_string();
    if process.instance.options.mode == Mode::V03 {
        return Ok(asked.map_or_else(minted, python::str_of));
    }
    match asked {
        None | Some(Value::Null) => Ok(minted()),
        Some(Value::String(text)) if uuid::Uuid::parse_str(text).is_ok_and(|id| id.to_string() == *text) => {
            Ok(text.clone())
        }
        Some(other) => Err(json!({
            "type": "invalid_prompt_id",
            "message": "prompt_id must be a canonical UUID string",
            "details": format!("received: {}", python::repr(other)),
            "extra_info": {},
        })),
    }
}

/// Returns `extra_data` including the client's id.
fn extra(process: &Process, request: &mut Map<String, Value>) -> Result<Value, ()> {
    let mut extra = request.shift_remove("extra_data").unwrap_or_else(|| json!({}));
    if let Some(client_id) = request.shift_remove("client_id") {
        extra.as_object_mut().ok_or(())?.insert("client_id".to_owned(), client_id);
    }
    if process.instance.options.mode == Mode::V038
        && let Some(map) = extra.as_object_mut()
    {
        map.insert("create_time".to_owned(), clock::unix_ms().into());
    }
    Ok(extra)
}

/// Adds a prompt to the queue. An error is the 500 of a failed comparison, or of a full queue.
fn enqueue(process: &Process, item: QueueItem) -> Result<(), ()> {
    let mut queue = lock(&process.queue);
    if !queue.has_room(item.bytes) {
        return Err(());
    }
    process.instance.log.add_with(process.number, LogEvent::Submitted, &item.id, prefixes(&item.prompt));
    let pushed = prompt_heap::push(&mut queue.pending, item);
    if pushed.is_ok() {
        process.broadcast_status(&queue);
        process.work.notify_one();
    }
    pushed.map_err(|prompt_heap::Tie| ())
}

fn prefixes(prompt: &Value) -> Vec<String> {
    let nodes = prompt.as_object().into_iter().flatten();
    nodes
        .filter_map(|(_, node)| node["inputs"]["filename_prefix"].as_str())
        .take(4)
        .map(|prefix| prefix.chars().take(200).collect())
        .collect()
}

fn refuse(process: &Process, id: &str, error: Value, node_errors: &Value) -> Response {
    process.instance.log.add(process.number, LogEvent::Refused, id);
    let body = json!({"error": error, "node_errors": node_errors});
    aiohttp::json_status(StatusCode::BAD_REQUEST, python::dumps(&body))
}

fn no_prompt() -> Value {
    json!({"type": "no_prompt", "message": "No prompt provided", "details": "No prompt provided", "extra_info": {}})
}

fn made_up(graph: &Value) -> Value {
    let node = graph.as_object().and_then(|nodes| nodes.iter().next());
    let (id, class) =
        node.map_or(("1", "Unknown"), |(id, node)| (id, node["class_type"].as_str().unwrap_or("Unknown")));
    json!({id: {
        "errors": [{
            "type": "value_not_in_list",
            "message": "Value not in list",
            "details": "sim: 'made up' not in []",
            "extra_info": {"input_name": "sim", "input_config": null, "received_value": "made up"},
        }],
        "dependent_outputs": [id],
        "class_type": class,
    }})
}

//! `POST /prompt`: number, id, validation, queue; and the faults around it.

use super::aiohttp;
use crate::{
    clock,
    sim::{
        Happened, Mode,
        engine::{
            incarnation::Life,
            prompt_heap::{self, Item},
            validate::{self, Verdict},
        },
        lock, python,
    },
};
use axum::{body::Body, extract::State, http::StatusCode, response::Response};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};

pub(crate) async fn prompt(State(life): State<Arc<Life>>, body: Body) -> Response {
    let (request, bytes) = match aiohttp::json_body(&life, body).await {
        Ok((Value::Object(request), bytes)) => (request, bytes),
        // `"prompt" in [..]` and in a string are false, not errors.
        Ok((Value::Array(_) | Value::String(_), _)) => return refuse(&life, "", no_prompt(), &json!({})),
        Ok(_) => return aiohttp::trouble(),
        Err(response) => return response,
    };
    if life.shared.strikes(|faults| &mut faults.prompt_500) {
        return aiohttp::trouble();
    }
    if life.shared.strikes(|faults| &mut faults.prompt_drop) {
        return aiohttp::cut();
    }
    let number = match number(&life, &request) {
        Ok(number) => number,
        Err(()) => return aiohttp::trouble(),
    };
    take(&life, request, number, bytes).await
}

/// The client's `number` as a float; else the next of the counter, negative with `front`.
fn number(life: &Life, request: &Map<String, Value>) -> Result<Value, ()> {
    if let Some(number) = request.get("number") {
        let number = python::float_of(number).map_err(|_| ())?;
        return Ok(serde_json::Number::from_f64(number).map_or_else(|| Value::from(python::NAN), Value::Number));
    }
    let mut queue = lock(&life.queue);
    let number = if request.get("front").is_some_and(python::truthy) { -queue.counter } else { queue.counter };
    queue.counter += 1;
    Ok(Value::from(number))
}

async fn take(life: &Arc<Life>, mut request: Map<String, Value>, number: Value, bytes: usize) -> Response {
    let Some(graph) = request.shift_remove("prompt") else { return refuse(life, "", no_prompt(), &json!({})) };
    let id = match prompt_id(life, request.get("prompt_id")) {
        Ok(id) => id,
        Err(error) => return refuse(life, "", error, &json!({})),
    };
    let targets = request.get("partial_execution_targets").filter(|targets| !targets.is_null());
    let verdict = validate::prompt(graph, targets, &life.shared);
    let (graph, outputs, mut node_errors) = match verdict {
        Verdict::Trouble => return aiohttp::trouble(),
        Verdict::Refused { error, node_errors } => return refuse(life, &id, error, &node_errors),
        Verdict::Accepted { prompt, outputs, node_errors } => (prompt, outputs, node_errors),
    };
    let Ok(extra) = extra(life, &mut request) else { return aiohttp::trouble() };
    if life.shared.strikes(|faults| &mut faults.prompt_partial) {
        node_errors = made_up(&graph);
    }
    let item =
        Item { number: number.clone(), id: id.clone(), prompt: graph.into(), extra: extra.into(), outputs, bytes };
    if enqueue(life, item).is_err() {
        return aiohttp::trouble();
    }
    let delay_ms = lock(&life.shared.faults).prompt_delay_ms;
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    if life.shared.strikes(|faults| &mut faults.prompt_500_queued) {
        return aiohttp::trouble();
    }
    if life.shared.strikes(|faults| &mut faults.prompt_drop_queued) {
        return aiohttp::cut();
    }
    aiohttp::json(&json!({"prompt_id": id, "number": number, "node_errors": node_errors}))
}

/// Any value, as text; in newer versions a canonical UUID.
fn prompt_id(life: &Life, asked: Option<&Value>) -> Result<String, Value> {
    let minted = || uuid::Uuid::new_v4().to_string();
    if life.shared.options.mode == Mode::V03 {
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

/// `extra_data` with the client's id in it.
fn extra(life: &Life, request: &mut Map<String, Value>) -> Result<Value, ()> {
    let mut extra = request.shift_remove("extra_data").unwrap_or_else(|| json!({}));
    if let Some(client_id) = request.shift_remove("client_id") {
        extra.as_object_mut().ok_or(())?.insert("client_id".to_owned(), client_id);
    }
    if life.shared.options.mode == Mode::V038
        && let Some(map) = extra.as_object_mut()
    {
        map.insert("create_time".to_owned(), clock::unix_ms().into());
    }
    Ok(extra)
}

/// Into the heap. An error is the 500 of a comparison that failed, or of a full queue.
fn enqueue(life: &Life, item: Item) -> Result<(), ()> {
    let mut queue = lock(&life.queue);
    if !queue.has_room(item.bytes) {
        return Err(());
    }
    life.shared.record.add_with(life.number, Happened::Submitted, &item.id, prefixes(&item.prompt));
    let pushed = prompt_heap::push(&mut queue.pending, item);
    if pushed.is_ok() {
        life.tell_status(&queue);
        life.work.notify_one();
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

fn refuse(life: &Life, id: &str, error: Value, node_errors: &Value) -> Response {
    life.shared.record.add(life.number, Happened::Refused, id);
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

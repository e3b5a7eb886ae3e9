//! `/queue`, `/history`, `/interrupt` and `/free`.

use crate::sim::{
    engine::{event_log::LogEvent, process::Process, prompt_heap, prompt_queue::PromptQueue},
    lock::lock,
    python,
    server::aiohttp,
};
use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

pub(crate) async fn remaining(State(process): State<Arc<Process>>) -> Response {
    let info = lock(&process.queue).info();
    aiohttp::json(&info)
}

pub(crate) async fn queue(State(process): State<Arc<Process>>) -> Response {
    let (running, waiting) = {
        let queue = lock(&process.queue);
        (queue.running.clone(), queue.pending.clone())
    };
    let list = |items: &[prompt_heap::QueueItem]| {
        items.iter().map(prompt_heap::QueueItem::json).collect::<Vec<_>>().join(", ")
    };
    let running = list(running.as_slice());
    aiohttp::json_text(format!("{{\"queue_running\": [{running}], \"queue_pending\": [{}]}}", list(&waiting)))
}

/// Handles `{"clear":true}` and `{"delete":[ids]}`. Always answers 200 without a body.
pub(crate) async fn change_queue(State(process): State<Arc<Process>>, body: Body) -> Response {
    let change = match aiohttp::json_body(&process, body).await {
        Ok((Value::Object(change), _)) => change,
        // In Python `"clear" in x` is valid for a list or a string, and an error for a number or null.
        Ok((Value::Array(_) | Value::String(_), _)) => return aiohttp::empty(StatusCode::OK),
        Ok(_) => return aiohttp::internal_error(),
        Err(response) => return response,
    };
    let mut queue = lock(&process.queue);
    if change.get("clear").is_some_and(python::truthy) {
        let deleted: Vec<String> = queue.pending.drain(..).map(|item| item.id).collect();
        for id in deleted {
            process.instance.log.add(process.number, LogEvent::Deleted, &id);
        }
        process.broadcast_status(&queue);
    }
    match ids(change.get("delete")) {
        Ok(ids) => {
            for id in ids {
                delete(&process, &mut queue, &id);
            }
            aiohttp::empty(StatusCode::OK)
        }
        Err(response) => *response,
    }
}

/// Returns the items of Python's `for id in value`. A value that cannot be iterated is a 500.
fn ids(value: Option<&Value>) -> Result<Vec<Value>, Box<Response>> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(ids)) => Ok(ids.clone()),
        Some(Value::String(text)) => Ok(text.chars().map(|letter| Value::from(letter.to_string())).collect()),
        Some(Value::Object(map)) => Ok(map.keys().map(|key| Value::from(key.as_str())).collect()),
        Some(_) => Err(Box::new(aiohttp::internal_error())),
    }
}

/// Deletes the first pending item with this id. Returns true if there was one.
pub(crate) fn delete(process: &Process, queue: &mut PromptQueue, id: &Value) -> bool {
    let Some(id) = id.as_str() else { return false };
    let Some(at) = queue.pending.iter().position(|item| item.id == id) else { return false };
    queue.pending.remove(at);
    if queue.pending.is_empty() {
        // The real queue is wiped when its last item is deleted, which sends the status once more.
        process.broadcast_status(queue);
    } else if prompt_heap::heapify(&mut queue.pending).is_err() {
        tracing::debug!("two pending prompts are not comparable");
    }
    process.broadcast_status(queue);
    process.instance.log.add(process.number, LogEvent::Deleted, id);
    true
}

pub(crate) async fn history(
    State(process): State<Arc<Process>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let number = |name: &str| query.get(name).map(|text| text.trim().parse::<i64>()).transpose();
    let (Ok(max_items), Ok(offset)) = (number("max_items"), number("offset")) else { return aiohttp::internal_error() };
    let text = lock(&process.queue).history.json(max_items, offset.unwrap_or(-1));
    aiohttp::json_text(text)
}

pub(crate) async fn history_of(State(process): State<Arc<Process>>, Path(id): Path<String>) -> Response {
    let text = lock(&process.queue).history.one_json(&id);
    if text != "{}" && process.instance.strikes(|faults| &mut faults.history_hide) {
        return aiohttp::json_text("{}".to_owned());
    }
    aiohttp::json_text(text)
}

/// Handles `{"clear":true}` and `{"delete":[ids]}`.
pub(crate) async fn change_history(State(process): State<Arc<Process>>, body: Body) -> Response {
    let change = match aiohttp::json_body(&process, body).await {
        Ok((Value::Object(change), _)) => change,
        Ok((Value::Array(_) | Value::String(_), _)) => return aiohttp::empty(StatusCode::OK),
        Ok(_) => return aiohttp::internal_error(),
        Err(response) => return response,
    };
    let mut queue = lock(&process.queue);
    if change.get("clear").is_some_and(python::truthy) {
        queue.history.clear();
    }
    match ids(change.get("delete")) {
        Ok(ids) => {
            for id in ids.iter().filter_map(Value::as_str) {
                queue.history.remove(id);
            }
            aiohttp::empty(StatusCode::OK)
        }
        Err(response) => *response,
    }
}

/// Interrupts the running prompt: with a `prompt_id` only if it has that id; without one, or if the body is not JSON,
/// always.
pub(crate) async fn interrupt(State(process): State<Arc<Process>>, body: Body) -> Response {
    let bytes = match aiohttp::body(&process, body).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let asked = match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(map)) => map.get("prompt_id").cloned().unwrap_or(Value::Null),
        Ok(_) => return aiohttp::internal_error(),
        Err(_) => Value::Null,
    };
    let target = python::truthy(&asked).then_some(&asked);
    process.instance.log.add(
        process.number,
        LogEvent::InterruptAsked,
        target.and_then(Value::as_str).unwrap_or_default(),
    );
    if process.instance.strikes(|faults| &mut faults.interrupt_lost) {
        return aiohttp::empty(StatusCode::OK);
    }
    let queue = lock(&process.queue);
    let hits = target.is_none_or(|id| queue.running.as_ref().is_some_and(|item| Some(item.id.as_str()) == id.as_str()));
    if hits {
        process.interrupt.send_replace(true);
    }
    aiohttp::empty(StatusCode::OK)
}

/// Handles `{"unload_models":b,"free_memory":b}`. Takes effect when the current prompt has ended.
pub(crate) async fn free(State(process): State<Arc<Process>>, body: Body) -> Response {
    match aiohttp::json_body(&process, body).await {
        Ok((Value::Object(asked), _)) => {
            process.instance.log.add(process.number, LogEvent::FreeAsked, "");
            if asked.get("free_memory").is_some_and(python::truthy) {
                process.free_memory.store(true, Ordering::SeqCst);
                process.work.notify_one();
            }
            aiohttp::empty(StatusCode::OK)
        }
        Ok(_) => aiohttp::internal_error(),
        Err(response) => response,
    }
}

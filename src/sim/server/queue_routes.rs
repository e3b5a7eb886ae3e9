//! `/queue`, `/history`, `/interrupt`, `/free`: what waits, runs and has run, and how to stop it.

use super::aiohttp;
use crate::sim::{
    Happened,
    engine::{incarnation::Life, prompt_heap, prompt_queue::Queue},
    lock, python,
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

pub(crate) async fn remaining(State(life): State<Arc<Life>>) -> Response {
    let info = lock(&life.queue).info();
    aiohttp::json(&info)
}

pub(crate) async fn queue(State(life): State<Arc<Life>>) -> Response {
    let (running, waiting) = {
        let queue = lock(&life.queue);
        (queue.running.clone(), queue.pending.clone())
    };
    let list = |items: &[prompt_heap::Item]| items.iter().map(prompt_heap::Item::json).collect::<Vec<_>>().join(", ");
    let running = list(running.as_slice());
    aiohttp::json_text(format!("{{\"queue_running\": [{running}], \"queue_pending\": [{}]}}", list(&waiting)))
}

/// `{"clear":true}`, `{"delete":[ids]}`: 200 without a body, whatever they did.
pub(crate) async fn change_queue(State(life): State<Arc<Life>>, body: Body) -> Response {
    let change = match aiohttp::json_body(&life, body).await {
        Ok((Value::Object(change), _)) => change,
        // `"clear" in [..]` and in a string are no errors in Python; in a number or null they are.
        Ok((Value::Array(_) | Value::String(_), _)) => return aiohttp::empty(StatusCode::OK),
        Ok(_) => return aiohttp::trouble(),
        Err(response) => return response,
    };
    let mut queue = lock(&life.queue);
    if change.get("clear").is_some_and(python::truthy) {
        let gone: Vec<String> = queue.pending.drain(..).map(|item| item.id).collect();
        for id in gone {
            life.shared.record.add(life.number, Happened::Deleted, &id);
        }
        life.tell_status(&queue);
    }
    match ids(change.get("delete")) {
        Ok(ids) => {
            for id in ids {
                delete(&life, &mut queue, &id);
            }
            aiohttp::empty(StatusCode::OK)
        }
        Err(response) => *response,
    }
}

/// What Python's `for id in value` gives; what cannot be iterated is a 500.
fn ids(value: Option<&Value>) -> Result<Vec<Value>, Box<Response>> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(ids)) => Ok(ids.clone()),
        Some(Value::String(text)) => Ok(text.chars().map(|letter| Value::from(letter.to_string())).collect()),
        Some(Value::Object(map)) => Ok(map.keys().map(|key| Value::from(key.as_str())).collect()),
        Some(_) => Err(Box::new(aiohttp::trouble())),
    }
}

/// Deletes the first pending item with this id. Gives whether there was one.
pub(crate) fn delete(life: &Life, queue: &mut Queue, id: &Value) -> bool {
    let Some(id) = id.as_str() else { return false };
    let Some(at) = queue.pending.iter().position(|item| item.id == id) else { return false };
    queue.pending.remove(at);
    if queue.pending.is_empty() {
        // The real queue is wiped when its last item goes, which tells the status once more.
        life.tell_status(queue);
    } else if prompt_heap::heapify(&mut queue.pending).is_err() {
        tracing::debug!("two pending prompts cannot be compared");
    }
    life.tell_status(queue);
    life.shared.record.add(life.number, Happened::Deleted, id);
    true
}

pub(crate) async fn history(State(life): State<Arc<Life>>, Query(query): Query<HashMap<String, String>>) -> Response {
    let number = |name: &str| query.get(name).map(|text| text.trim().parse::<i64>()).transpose();
    let (Ok(max_items), Ok(offset)) = (number("max_items"), number("offset")) else { return aiohttp::trouble() };
    let text = lock(&life.queue).history.json(max_items, offset.unwrap_or(-1));
    aiohttp::json_text(text)
}

pub(crate) async fn history_of(State(life): State<Arc<Life>>, Path(id): Path<String>) -> Response {
    let text = lock(&life.queue).history.one_json(&id);
    if text != "{}" && life.shared.strikes(|faults| &mut faults.history_hide) {
        return aiohttp::json_text("{}".to_owned());
    }
    aiohttp::json_text(text)
}

/// `{"clear":true}`, `{"delete":[ids]}`.
pub(crate) async fn change_history(State(life): State<Arc<Life>>, body: Body) -> Response {
    let change = match aiohttp::json_body(&life, body).await {
        Ok((Value::Object(change), _)) => change,
        Ok((Value::Array(_) | Value::String(_), _)) => return aiohttp::empty(StatusCode::OK),
        Ok(_) => return aiohttp::trouble(),
        Err(response) => return response,
    };
    let mut queue = lock(&life.queue);
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

/// With a `prompt_id` only that prompt if it runs; without (or with a body that is no JSON) whatever runs.
pub(crate) async fn interrupt(State(life): State<Arc<Life>>, body: Body) -> Response {
    let bytes = match aiohttp::body(&life, body).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let asked = match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(map)) => map.get("prompt_id").cloned().unwrap_or(Value::Null),
        Ok(_) => return aiohttp::trouble(),
        Err(_) => Value::Null,
    };
    let target = python::truthy(&asked).then_some(&asked);
    life.shared.record.add(life.number, Happened::InterruptAsked, target.and_then(Value::as_str).unwrap_or_default());
    if life.shared.strikes(|faults| &mut faults.interrupt_lost) {
        return aiohttp::empty(StatusCode::OK);
    }
    let queue = lock(&life.queue);
    let hits = target.is_none_or(|id| queue.running.as_ref().is_some_and(|item| Some(item.id.as_str()) == id.as_str()));
    if hits {
        life.interrupt.send_replace(true);
    }
    aiohttp::empty(StatusCode::OK)
}

/// `{"unload_models":b,"free_memory":b}`: takes effect when the current prompt has ended.
pub(crate) async fn free(State(life): State<Arc<Life>>, body: Body) -> Response {
    match aiohttp::json_body(&life, body).await {
        Ok((Value::Object(asked), _)) => {
            life.shared.record.add(life.number, Happened::FreeAsked, "");
            if asked.get("free_memory").is_some_and(python::truthy) {
                life.free_memory.store(true, Ordering::SeqCst);
                life.work.notify_one();
            }
            aiohttp::empty(StatusCode::OK)
        }
        Ok(_) => aiohttp::trouble(),
        Err(response) => response,
    }
}

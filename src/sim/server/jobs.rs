//! `/api/jobs` of newer versions: queue and history in one list, and cancel.

use crate::sim::{
    engine::{history::FinishedPrompt, process::Process, prompt_heap::QueueItem, prompt_queue::PromptQueue},
    lock::lock,
    python,
    server::{aiohttp, queue_routes},
};
use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};

const STATES: [&str; 5] = ["pending", "in_progress", "completed", "failed", "cancelled"];

pub(crate) async fn list(
    State(process): State<Arc<Process>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let wrong = |why: String| aiohttp::json_status(StatusCode::BAD_REQUEST, python::dumps(&json!({"error": why})));
    let wanted: Option<Vec<&str>> = query.get("status").map(|text| text.split(',').map(str::trim).collect());
    if let Some(bad) = wanted.iter().flatten().find(|state| !STATES.contains(state)) {
        return wrong(format!("Invalid status value(s): {bad}. Must be one of: {}", STATES.join(", ")));
    }
    let number = |name: &str| query.get(name).map(|text| text.parse::<usize>()).transpose();
    let (Ok(limit), Ok(offset)) = (number("limit"), number("offset")) else {
        return wrong("limit and offset must be integers".to_owned());
    };
    let workflow = query.get("workflow_id");
    let mut jobs: Vec<Value> = {
        let queue = lock(&process.queue);
        let waiting = queue.pending.iter().map(|item| open(item, "pending"));
        let running = queue.running.iter().map(|item| open(item, "in_progress"));
        waiting.chain(running).chain(queue.history.iter().map(closed)).collect()
    };
    jobs.retain(|job| {
        wanted.as_ref().is_none_or(|wanted| job["status"].as_str().is_some_and(|status| wanted.contains(&status)))
            && workflow.is_none_or(|id| job["workflow_id"] == id.as_str())
    });
    let key = |job: &Value| match query.get("sort_by").map(String::as_str) {
        Some("execution_duration") => {
            job["execution_end_time"].as_i64().unwrap_or(0) - job["execution_start_time"].as_i64().unwrap_or(0)
        }
        _ => job["create_time"].as_i64().unwrap_or(0),
    };
    jobs.sort_by_key(&key);
    if query.get("sort_order").map(String::as_str) != Some("asc") {
        jobs.reverse();
    }
    let (total, offset) = (jobs.len(), offset.unwrap_or(0));
    let page: Vec<Value> = jobs.into_iter().skip(offset).take(limit.unwrap_or(usize::MAX)).collect();
    let has_more = offset.saturating_add(page.len()) < total;
    aiohttp::json(&json!({
        "jobs": page,
        "pagination": {"offset": offset, "limit": limit, "total": total, "has_more": has_more},
    }))
}

pub(crate) async fn one(State(process): State<Arc<Process>>, Path(id): Path<String>) -> Response {
    let queue = lock(&process.queue);
    let running =
        queue.running.iter().find(|item| item.id == id).map(|item| with_workflow(open(item, "in_progress"), item));
    let found = running
        .or_else(|| {
            queue.pending.iter().find(|item| item.id == id).map(|item| with_workflow(open(item, "pending"), item))
        })
        .or_else(|| {
            let entry = queue.history.get(&id)?;
            let mut job = with_workflow(closed(entry), &entry.item);
            job["outputs"] = (*entry.outputs).clone();
            let status_str = if entry.is_success { "success" } else { "error" };
            job["execution_status"] =
                json!({"status_str": status_str, "completed": entry.is_success, "messages": *entry.messages});
            Some(job)
        });
    drop(queue);
    match found {
        Some(job) => aiohttp::json(&job),
        None => aiohttp::json_status(StatusCode::NOT_FOUND, "{\"error\": \"Job not found\"}".to_owned()),
    }
}

fn with_workflow(mut job: Value, item: &QueueItem) -> Value {
    job["workflow"] = json!({"prompt": *item.prompt, "extra_data": *item.without_secrets().extra});
    job
}

/// Returns a job that has not ended.
fn open(item: &QueueItem, status: &str) -> Value {
    json!({
        "id": item.id,
        "status": status,
        "priority": item.number,
        "create_time": item.extra["create_time"],
        "outputs_count": 0,
        "workflow_id": item.extra["extra_pnginfo"]["workflow"]["id"],
    })
}

/// Returns a job that has ended.
fn closed(entry: &FinishedPrompt) -> Value {
    let (last, about) = entry.last_message();
    let status = match (entry.is_success, last) {
        (true, _) => "completed",
        (false, "execution_interrupted") => "cancelled",
        (false, _) => "failed",
    };
    let mut job = open(&entry.item, status);
    job["execution_start_time"] = entry.time_of("execution_start");
    job["execution_end_time"] = about["timestamp"].clone();
    if status == "failed" {
        job["execution_error"] = about.clone();
    }
    let files: Vec<Value> = files(&entry.outputs);
    job["outputs_count"] = files.len().into();
    job["previewable_outputs_count"] = files.len().into();
    job["preview_output"] = files.into_iter().next().unwrap_or_default();
    job
}

/// Returns `{filename, subfolder, type, nodeId, mediaType}` of every file among the outputs.
fn files(outputs: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    for (node, ui) in outputs.as_object().into_iter().flatten() {
        for (media, items) in ui.as_object().into_iter().flatten() {
            for item in items.as_array().into_iter().flatten().filter(|item| item.get("filename").is_some()) {
                let mut file = item.clone();
                file["nodeId"] = json!(node);
                file["mediaType"] = json!(media);
                found.push(file);
            }
        }
    }
    found
}

pub(crate) async fn cancel(State(process): State<Arc<Process>>, Path(id): Path<String>) -> Response {
    let cancelled = cancel_one(&process, &mut lock(&process.queue), &id);
    aiohttp::json(&json!({"cancelled": cancelled}))
}

/// `{"job_ids":[..]}`.
pub(crate) async fn cancel_many(State(process): State<Arc<Process>>, body: Body) -> Response {
    let ids = match aiohttp::json_body(&process, body).await {
        Ok((body, _)) => body["job_ids"].as_array().cloned(),
        Err(response) => return response,
    };
    let Some(ids) = ids.filter(|ids| ids.iter().all(Value::is_string)) else {
        let why = "{\"error\": \"job_ids must be a list of strings\"}";
        return aiohttp::json_status(StatusCode::BAD_REQUEST, why.to_owned());
    };
    let mut queue = lock(&process.queue);
    let hit = ids.iter().filter_map(Value::as_str).filter(|id| cancel_one(&process, &mut queue, id)).count();
    drop(queue);
    aiohttp::json(&json!({"cancelled": hit > 0}))
}

/// Deletes a pending job or interrupts a running one. Returns true if the job was either.
fn cancel_one(process: &Process, queue: &mut PromptQueue, id: &str) -> bool {
    if queue_routes::delete(process, queue, &Value::from(id)) {
        return true;
    }
    let is_running = queue.running.as_ref().is_some_and(|item| item.id == id);
    if is_running && !process.instance.strikes(|faults| &mut faults.interrupt_lost) {
        process.interrupt.send_replace(true);
    }
    is_running
}

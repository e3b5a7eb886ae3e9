//! Errors of every operation: those it names itself (`x-errors`), and those of its body, its login, and the server.

use crate::{api::error::ERROR_TYPES, problem::Problem};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Statuses and meanings of the words of `process::ERROR_TYPES` that [`ERROR_TYPES`] lacks; a test compares them.
const OF_THE_SERVER: &[(&str, u16, &str)] = &[
    ("bad_request", 400, "the request is not understood"),
    ("request_timeout", 408, "the body did not arrive in time"),
    ("overloaded", 503, "too many connections: try again after Retry-After seconds"),
    ("not_ready", 503, "the process is starting or stopping"),
];
/// Errors of every request.
const ALWAYS: &[&str] = &["bad_request", "invalid_query", "internal", "redis_unavailable", "queue_lost", "overloaded"];
/// Errors of a JSON body.
const WITH_JSON: &[&str] = &["invalid_json", "invalid_request", "unknown_field", "too_large", "unsupported_media_type"];

/// The error.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "it is only described, never made")]
pub(super) struct Fault {
    /// Stable word.
    r#type: String,
    /// Every problem of a body.
    details: Vec<Problem>,
    /// The request id, as in `X-Request-Id`.
    request_id: String,
}

/// Returns (word, status, meaning) of every error.
pub(super) fn all() -> impl Iterator<Item = (&'static str, u16, &'static str)> {
    let ours = ERROR_TYPES.iter().flat_map(|one| one.statuses.iter().map(|status| (one.word, *status, one.meaning)));
    ours.chain(OF_THE_SERVER.iter().copied())
}

/// Adds the errors: for each operation and status one response, with an example of each word.
pub(super) fn add(document: &mut Value) {
    let components = &mut document["components"];
    let mut meanings: BTreeMap<&str, &str> = BTreeMap::new();
    meanings.extend(all().map(|(word, _, meaning)| (word, meaning)));
    let words: Vec<Value> =
        meanings.iter().map(|(word, meaning)| json!({"const": word, "description": meaning})).collect();
    components["schemas"]["ErrorType"] = json!({ "description": "What `error.type` may hold.", "oneOf": words });
    components["schemas"]["Fault"]["properties"]["type"] = json!({ "$ref": "#/components/schemas/ErrorType" });
    components["schemas"]["Refusal"] = json!({
        "description": "How every failure looks.",
        "type": "object",
        "required": ["code", "message", "error"],
        "properties": {
            "code": { "type": "integer", "description": "The HTTP status.", "minimum": 400, "maximum": 599 },
            "message": { "type": "string", "description": "One sentence for people." },
            "error": { "$ref": "#/components/schemas/Fault" },
        },
        "additionalProperties": false,
    });
    components["headers"] = json!({
        "RequestId": { "description": "leads to the request in the log", "schema": { "type": "string" } },
        "RetryAfter": { "description": "seconds", "schema": { "type": "integer", "minimum": 1 } },
    });
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for (method, operation) in paths.filter_map(Value::as_object_mut).flatten() {
        finish(method, operation);
    }
}

fn finish(method: &str, operation: &mut Value) {
    let mut words = words_of(operation);
    if method != "get" {
        words.push("not_confirmed".to_owned());
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    let mut by_status: BTreeMap<u16, Vec<(&str, &str)>> = BTreeMap::new();
    for (word, status, meaning) in all().filter(|(word, _, _)| words.iter().any(|one| one == word)) {
        by_status.entry(status).or_default().push((word, meaning));
    }
    for (status, words) in by_status {
        // An error of this operation only is described there.
        responses.entry(status.to_string()).or_insert_with(|| response(status, &words));
    }
    for (status, response) in responses {
        response["headers"]["X-Request-Id"] = json!({ "$ref": "#/components/headers/RequestId" });
        if matches!(status.as_str(), "429" | "503") {
            response["headers"]["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" });
        }
    }
}

fn words_of(operation: &mut Value) -> Vec<String> {
    let named = operation.as_object_mut().and_then(|members| members.shift_remove("x-errors")).unwrap_or_default();
    let named = named.as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut words: Vec<String> = named.chain(ALWAYS.iter().copied()).map(str::to_owned).collect();
    let body = &operation["requestBody"]["content"];
    if body["application/json"].is_object() {
        words.extend(WITH_JSON.iter().map(|word| (*word).to_owned()));
    }
    if body.is_object() {
        words.push("request_timeout".to_owned());
    }
    if operation.get("security").is_none() {
        words.push("unauthorized".to_owned());
    }
    words
}

fn response(status: u16, words: &[(&str, &str)]) -> Value {
    let told: Vec<String> = words.iter().map(|(word, meaning)| format!("`{word}`: {meaning}")).collect();
    let examples: Map<String, Value> = words
        .iter()
        .map(|(word, meaning)| {
            let error = json!({ "type": word, "details": [], "requestId": "0b9b2f0c5d3a4c9e8f7a6b5c4d3e2f1a" });
            let value = json!({ "code": status, "message": meaning, "error": error });
            ((*word).to_owned(), json!({ "value": value }))
        })
        .collect();
    json!({
        "description": told.join("\n\n"),
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Refusal" }, "examples": examples } },
    })
}

#[cfg(test)]
mod tests {
    use super::all;
    use crate::process;
    use std::collections::BTreeSet;

    #[test]
    fn every_word_of_the_server_is_there() {
        let words: BTreeSet<&str> = all().map(|(word, _, _)| word).collect();
        let missing: Vec<_> = process::ERROR_TYPES.iter().filter(|word| !words.contains(**word)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

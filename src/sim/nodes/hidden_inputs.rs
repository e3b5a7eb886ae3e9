//! Nodes that read hidden inputs, as API nodes and nodes that write metadata do.

use crate::sim::nodes::{
    context::Context,
    inputs::Inputs,
    value::{NodeFailure, NodeResult, NodeValue},
};
use serde_json::{Value, json};

/// Runs `NeedsApiKey` or `NeedsPngInfo`.
pub(crate) fn run(context: &Context, name: &str, inputs: &Inputs<'_>) -> Result<NodeResult, NodeFailure> {
    let extra = &*context.item.extra;
    let text = if name == "NeedsApiKey" { api_key(extra, &inputs.text("prompt", ""))? } else { png_info(extra)? };
    Ok(NodeResult::with_ui(vec![NodeValue::Json(text.as_str().into())], json!({"text": [text]})))
}

/// Fails without a key. The prompts `fail` and `echo` give the key away, in an error and in a text.
fn api_key(extra: &Value, prompt: &str) -> Result<String, NodeFailure> {
    let keys = ["auth_token_comfy_org", "api_key_comfy_org"].map(|name| extra[name].as_str());
    let Some(key) = keys.into_iter().flatten().next().filter(|key| !key.is_empty()) else {
        return Err(NodeFailure::error("Exception", "Unauthorized: Please login first to use this node."));
    };
    match prompt {
        "fail" => Err(NodeFailure::error("Exception", format!("Unauthorized: the key {key} has no credits: {key}"))),
        "echo" => Ok(format!("called with {key}")),
        _ => Ok(format!("called with a key of {} bytes", key.len())),
    }
}

/// Returns the workflow in `extra_pnginfo`, as JSON.
fn png_info(extra: &Value) -> Result<String, NodeFailure> {
    match &extra["extra_pnginfo"] {
        Value::Object(members) => Ok(members.get("workflow").unwrap_or(&Value::Null).to_string()),
        _ => Err(NodeFailure::error("AttributeError", "'NoneType' object has no attribute 'get'")),
    }
}

//! Tags of the document, each with its description: one sentence, then the guide of that name in `guides/`, in
//! English and (`x-description-zh-CN`) in Chinese. `/docs` shows them; two of them are also rustdoc, of `graph` and `ws`.

use super::errors;
use serde_json::{Value, json};

macro_rules! guide {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../guides/", $name, ".md")),
            include_str!(concat!("../guides/", $name, ".zh-CN.md")),
        )
    };
}

/// Tags in reading order: (tag, English, Chinese).
const GUIDES: &[(&str, &str, &str)] = &[
    ("auth", "Login: exchanges a username and a password for a token.", "登录：用用户名和密码换取令牌。"),
    guide!("tasks"),
    guide!("params"),
    guide!("batches"),
    guide!("outputs"),
    guide!("workflows"),
    guide!("files"),
    ("instances", "The ComfyUI instances of the fleet.", "集群中的 ComfyUI 实例。"),
    ("config", "The fleet config: servers and health checks.", "集群配置：服务器与健康检查。"),
    ("monitor", "Overview and health check.", "概览与健康检查。"),
    guide!("websocket"),
    guide!("errors"),
];

/// Placeholder of [`types`] in the guide of errors.
const TYPES_MARK: &str = "{{types}}";

/// Returns the `tags` of the document.
pub(super) fn tags() -> Value {
    let types = types();
    let whole = |text: &str| text.trim_end().replace(TYPES_MARK, &types);
    let tag = |(name, english, chinese): &(&str, &str, &str)| json!({ "name": name, "description": whole(english), "x-description-zh-CN": whole(chinese) });
    GUIDES.iter().map(tag).collect()
}

/// Returns every word of `error.type` as a table, from the code.
fn types() -> String {
    let mut rows: Vec<(&str, Vec<String>, &str)> = Vec::new();
    for (word, status, meaning) in errors::all() {
        match rows.iter_mut().find(|(known, ..)| *known == word) {
            Some((_, statuses, _)) => statuses.push(status.to_string()),
            None => rows.push((word, vec![status.to_string()], meaning)),
        }
    }
    let row = |(word, statuses, meaning): &(&str, Vec<String>, &str)| {
        format!("| `{word}` | {} | {meaning} |", statuses.join(", "))
    };
    let rows: Vec<String> = rows.iter().map(row).collect();
    format!("| type | status | meaning |\n|---|---|---|\n{}", rows.join("\n"))
}

//! A published workflow and its declared params as text and table.

use crate::cli::term::{
    format::text,
    output::{self, Color},
    table::{Table, truncate},
};
use serde_json::{Map, Value};

/// Maximum width of a description in a list, of a default, and of the choices of a param.
pub(crate) const WIDTH_MAX: usize = 48;

/// Returns a line each for name, versions, description and more.
pub(crate) fn facts(workflow: &Value) -> Vec<String> {
    let versions = workflow["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let kept: Vec<String> = versions.iter().map(Value::to_string).collect();
    let newest = if workflow["version"] == workflow["latestVersion"] {
        "latest".to_owned()
    } else {
        format!("latest is {}", workflow["latestVersion"])
    };
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name:<12}{}", output::sanitize(value)));
        }
    };
    fact("workflow", text(workflow, "name"));
    fact("version", &format!("{}, {newest}; kept: {}", workflow["version"], kept.join(", ")));
    fact("description", text(workflow, "description"));
    fact("published", text(workflow, "createdAt"));
    fact("nodes", &workflow["workflow"].as_object().map_or(0, Map::len).to_string());
    lines
}

/// Returns a table with a row per param.
pub(crate) fn table(params: &Map<String, Value>) -> Table {
    let mut table = Table::new(&["PARAM", "TYPE", "DEFAULT", "RANGE", "GOES TO", "DESCRIPTION"]);
    for (name, param) in params {
        let default = match &param["default"] {
            Value::Null if param["required"] == true => "(required)".to_owned(),
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let cells = [
            name.clone(),
            text(param, "type").to_owned(),
            truncate(&output::sanitize(&default), WIDTH_MAX),
            range(param),
            target(param),
        ];
        let description = text(param, "description").to_owned();
        table.push(cells.into_iter().chain([description]).map(|text| (text, Color::Plain)));
    }
    table
}

/// Allowed values: `1 to 50`, `at most 500 characters`, `euler, ddim`.
fn range(param: &Value) -> String {
    if let Some(choices) = param["enum"].as_array() {
        let choices: Vec<String> =
            choices.iter().map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned)).collect();
        return truncate(&output::sanitize(&choices.join(", ")), WIDTH_MAX);
    }
    let unit = if param["type"] == "string" { " characters" } else { "" };
    match (&param["min"], &param["max"]) {
        (Value::Null, Value::Null) => String::new(),
        (min, Value::Null) => format!("at least {min}{unit}"),
        (Value::Null, max) => format!("at most {max}{unit}"),
        (min, max) => format!("{min} to {max}{unit}"),
    }
}

fn target(param: &Value) -> String {
    let one = std::slice::from_ref(&param["target"]);
    let targets = param["target"].as_array().map_or(one, Vec::as_slice);
    let targets: Vec<&str> = targets.iter().filter_map(Value::as_str).collect();
    truncate(&output::sanitize(&targets.join(", ")), WIDTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::{facts, table};
    use serde_json::json;

    #[test]
    fn a_workflow_is_shown_with_its_params() {
        let workflow = json!({"name": "portrait", "version": 2, "latestVersion": 3, "versions": [2, 3], "description": "a\u{1b}b",
            "createdAt": "c", "workflow": {"3": {}, "6": {}}});
        let expected = [
            "workflow    portrait",
            "version     2, latest is 3; kept: 2, 3",
            "description a b",
            "published   c",
            "nodes       2",
        ];
        assert_eq!(facts(&workflow), expected);
        let params = json!({
            "prompt": {"type": "string", "target": ["6.text", "7.text"], "max": 500, "required": true},
            "seed": {"type": "integer", "target": "3.seed", "default": 18_446_744_073_709_551_615_u64, "min": 0, "max": 7},
            "sampler": {"type": "enum", "enum": ["euler", 2], "default": "euler", "description": "how"},
            "picture": {"type": "image"}
        });
        let lines = table(params.as_object().unwrap()).lines(None, false);
        assert_eq!(
            lines,
            [
                "PARAM    TYPE     DEFAULT               RANGE                   GOES TO         DESCRIPTION",
                "prompt   string   (required)            at most 500 characters  6.text, 7.text",
                "seed     integer  18446744073709551615  0 to 7                  3.seed",
                "sampler  enum     euler                 euler, 2                                how",
                "picture  image",
            ]
        );
    }
}

//! The OpenAPI document as a contract: responses of the server must conform to it.
//!
//! Validates with the keywords of JSON Schema that the document uses. An unknown keyword is a failure, so that none is
//! ignored.

use super::http::Response;
use serde_json::{Map, Value};
use shuzhiren::api::document;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// Keywords without effect on validity.
const REMARKS: [&str; 6] = ["description", "title", "example", "examples", "default", "deprecated"];

/// Returns the OpenAPI document of this build.
pub fn openapi_document() -> &'static Value {
    &DOCUMENT
}

/// Returns (path, method, operation) of all operations.
pub fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Fails if the response to a documented path does not conform. Responses to other paths are not checked.
#[track_caller]
pub fn check(method: &str, path: &str, answer: &Response) {
    let path = path.split('?').next().unwrap();
    let of_path: Vec<_> = operations().filter(|(template, _, _)| matches(template, path)).collect();
    // `/api/files/upload` does not match `/api/files/{id}`.
    let exact = of_path.iter().find(|(template, _, _)| *template == path).map(|(template, _, _)| *template);
    let Some(template) = exact.or_else(|| of_path.first().map(|(template, _, _)| *template)) else { return };
    let wanted = if method == "HEAD" { "get" } else { &method.to_ascii_lowercase() };
    let Some((_, _, operation)) = of_path.iter().find(|(one, verb, _)| *one == template && *verb == wanted) else {
        assert_eq!(answer.status, 405, "{method} {path} is not documented");
        return;
    };
    let response = &operation["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{method} {path}: {} is not documented: {}", answer.status, shown(answer));
    if method == "HEAD" {
        return;
    }
    let content = response["content"].as_object();
    if answer.header("content-type") == "application/json" {
        let schema = content.and_then(|content| content.get("application/json")).map(|content| &content["schema"]);
        // A downloaded file may be JSON.
        let Some(schema) = schema else {
            assert!(content.is_some(), "{method} {path}: {} has no body: {}", answer.status, shown(answer));
            return;
        };
        let faults = violations(schema, &answer.json());
        assert!(faults.is_empty(), "{method} {path} {}: {faults:?}: {}", answer.status, shown(answer));
    } else {
        let has_other = content.is_none_or(|content| content.keys().any(|one| one != "application/json"));
        assert!(has_other, "{method} {path}: {} must be JSON: {}", answer.status, answer.header("content-type"));
    }
}

fn shown(answer: &Response) -> String {
    String::from_utf8_lossy(&answer.body).chars().take(2_000).collect()
}

fn matches(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given || wanted.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

/// Returns the violations of a schema, each with its JSON pointer.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    validate(schema, value, "", &mut faults);
    faults
}

fn validate(schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let Some(words) = schema.as_object() else { panic!("no schema at {at}: {schema}") };
    for (word, wanted) in words {
        let holds = match word.as_str() {
            "$ref" => {
                let target = DOCUMENT.pointer(wanted.as_str().unwrap().trim_start_matches('#'));
                validate(target.unwrap_or_else(|| panic!("{wanted} leads nowhere")), value, at, faults);
                true
            }
            "type" => match wanted.as_array() {
                Some(types) => types.iter().any(|one| is_of(one.as_str().unwrap(), value)),
                None => is_of(wanted.as_str().unwrap(), value),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "oneOf" => wanted.as_array().unwrap().iter().filter(|one| violations(one, value).is_empty()).count() == 1,
            "properties" | "additionalProperties" | "items" | "propertyNames" => {
                members(word, wanted, words, value, at, faults);
                true
            }
            "required" => wanted
                .as_array()
                .unwrap()
                .iter()
                .all(|name| value.as_object().is_none_or(|members| members.contains_key(name.as_str().unwrap()))),
            _ if REMARKS.contains(&word.as_str()) || word.starts_with("x-") => true,
            _ => bound(word, wanted, value),
        };
        if !holds {
            faults.push(format!("{at}: {value} is against {word} {wanted}"));
        }
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type: {other}"),
    }
}

fn members(word: &str, wanted: &Value, of: &Map<String, Value>, value: &Value, at: &str, faults: &mut Vec<String>) {
    let known = |name: &String| of.get("properties").is_some_and(|known| known.get(name).is_some());
    match (word, value) {
        ("items", Value::Array(items)) => {
            items.iter().enumerate().for_each(|(index, item)| validate(wanted, item, &format!("{at}/{index}"), faults));
        }
        ("properties", Value::Object(members)) => {
            for (name, schema) in wanted.as_object().unwrap() {
                if let Some(member) = members.get(name) {
                    validate(schema, member, &format!("{at}/{name}"), faults);
                }
            }
        }
        ("additionalProperties", Value::Object(members)) => {
            for (name, member) in members.iter().filter(|(name, _)| !known(name)) {
                match wanted {
                    Value::Bool(true) => {}
                    Value::Bool(false) => faults.push(format!("{at}/{name} is not documented")),
                    schema => validate(schema, member, &format!("{at}/{name}"), faults),
                }
            }
        }
        _ => {}
    }
}

fn bound(word: &str, wanted: &Value, value: &Value) -> bool {
    let (number, text, list) = (value.as_f64(), value.as_str(), value.as_array());
    let (limit, size) = (wanted.as_f64(), wanted.as_u64().map(|size| size as usize));
    match word {
        "minimum" => number.is_none_or(|number| number >= limit.unwrap()),
        "maximum" => number.is_none_or(|number| number <= limit.unwrap()),
        "minLength" => text.is_none_or(|text| text.chars().count() >= size.unwrap()),
        "maxLength" => text.is_none_or(|text| text.chars().count() <= size.unwrap()),
        "minItems" => list.is_none_or(|list| list.len() >= size.unwrap()),
        "maxItems" => list.is_none_or(|list| list.len() <= size.unwrap()),
        // Checks patterns that consist of a literal only; other patterns occur only in requests.
        "pattern" => text.is_none_or(|text| {
            let pattern = wanted.as_str().unwrap().trim_start_matches('^').trim_end_matches('$');
            pattern.contains(|letter: char| !letter.is_ascii_alphanumeric()) || pattern == text
        }),
        "format" => text.is_none_or(|text| match wanted.as_str().unwrap() {
            "date-time" => text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(),
            "uuid" => uuid::Uuid::try_parse(text).is_ok(),
            "password" | "binary" => true,
            other => panic!("no format: {other}"),
        }),
        other => panic!("the validator does not know {other}"),
    }
}

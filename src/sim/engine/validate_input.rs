//! Validation of a single input: conversion, limits, combos, links, and the custom checks of some classes.

use crate::sim::{
    engine::process::Instance,
    file_paths::locate,
    nodes::classes::{Class, Declared, choices, find},
    python,
};
use serde_json::{Map, Value, json};

/// Longest combo that is echoed in an error.
const CHOICES_SHOWN_MAX: usize = 20;

/// Result of checking a literal.
pub(crate) enum Checked {
    /// Converted to the declared type.
    Good(Value),
    Bad(Value),
}

/// Returns `[type, options]` as in errors.
pub(crate) fn config(input: &Declared, instance: &Instance) -> Value {
    let kind = if input.folder.is_some() { Value::Array(choices(input, instance)) } else { input.kind.clone() };
    json!([kind, input.options])
}

pub(crate) fn bad_link(input: &Declared, value: &Value, instance: &Instance) -> Value {
    json!({
        "type": "bad_linked_input",
        "message": "Bad linked input, must be a length-2 list of [node_id, slot_index]",
        "details": input.name,
        "extra_info": {"input_name": input.name, "input_config": config(input, instance), "received_value": value},
    })
}

pub(crate) fn type_mismatch(input: &Declared, received: &str, link: &Value, instance: &Instance) -> Value {
    let wanted = python::str_of(&config(input, instance)[0]);
    json!({
        "type": "return_type_mismatch",
        "message": "Return type mismatch between linked nodes",
        "details": format!("{}, received_type({received}) mismatch input_type({wanted})", input.name),
        "extra_info": {
            "input_name": input.name,
            "input_config": config(input, instance),
            "received_type": received,
            "linked_node": link,
        },
    })
}

/// Whether two types differ. Types are comma-separated unions; `*` matches anything.
pub(crate) fn types_differ(received: &str, wanted: &Value) -> bool {
    let Some(wanted) = wanted.as_str() else { return received != "*" };
    if received == wanted || received == "*" || wanted == "*" {
        return false;
    }
    !received.split(',').any(|one| wanted.split(',').any(|other| one.trim() == other.trim()))
}

/// Converts and checks a value that is not a link.
pub(crate) fn literal(class: &Class, input: &Declared, value: Value, instance: &Instance) -> Checked {
    let value = match value {
        Value::Object(mut map) if map.contains_key("__value__") => map.shift_remove("__value__").unwrap_or_default(),
        other => other,
    };
    let value = match converted(input.kind.as_str().unwrap_or_default(), &value) {
        Ok(value) => value,
        Err(why) => return Checked::Bad(not_convertible(input, &value, &why, instance)),
    };
    // An input with a custom check is not checked here.
    if is_custom(class, input) {
        return Checked::Good(value);
    }
    if let Some(min) = input.options.get("min").filter(|min| is_less(&value, min)) {
        let message = format!("Value {} smaller than min of {}", python::str_of(&value), python::str_of(min));
        return Checked::Bad(out_of_range(input, "value_smaller_than_min", &message, &value, instance));
    }
    if let Some(max) = input.options.get("max").filter(|max| is_less(max, &value)) {
        let message = format!("Value {} bigger than max of {}", python::str_of(&value), python::str_of(max));
        return Checked::Bad(out_of_range(input, "value_bigger_than_max", &message, &value, instance));
    }
    if input.kind.is_array() {
        let choices = choices(input, instance);
        if !choices.contains(&value) {
            return Checked::Bad(not_in_list(input, &choices, &value, instance));
        }
    }
    Checked::Good(value)
}

fn converted(kind: &str, value: &Value) -> Result<Value, String> {
    Ok(match kind {
        "INT" => python::int_value(python::int_of(value)?),
        "FLOAT" => {
            serde_json::Number::from_f64(python::float_of(value)?).map_or(Value::from(python::NAN), Value::Number)
        }
        "STRING" => Value::String(python::str_of(value)),
        "BOOLEAN" => Value::Bool(python::truthy(value)),
        _ => value.clone(),
    })
}

/// Whether `a < b`, exact beyond 2^53 if both are integers. Texts are never out of range.
fn is_less(a: &Value, b: &Value) -> bool {
    let (Value::Number(x), Value::Number(y)) = (a, b) else { return false };
    match (
        x.is_f64() && x.as_f64().is_some_and(|x| x.fract() != 0.0),
        y.is_f64() && y.as_f64().is_some_and(|y| y.fract() != 0.0),
    ) {
        (false, false) => python::int_of(a).unwrap_or(0) < python::int_of(b).unwrap_or(0),
        _ => x.as_f64() < y.as_f64(),
    }
}

fn not_convertible(input: &Declared, value: &Value, why: &str, instance: &Instance) -> Value {
    let kind = input.kind.as_str().unwrap_or_default();
    json!({
        "type": "invalid_input_type",
        "message": format!("Failed to convert an input value to a {kind} value"),
        "details": format!("{}, {}, {why}", input.name, python::str_of(value)),
        "extra_info": {
            "input_name": input.name,
            "input_config": config(input, instance),
            "received_value": value,
            "exception_message": why,
        },
    })
}

fn out_of_range(input: &Declared, kind: &str, message: &str, value: &Value, instance: &Instance) -> Value {
    json!({
        "type": kind,
        "message": message,
        "details": input.name,
        "extra_info": {"input_name": input.name, "input_config": config(input, instance), "received_value": value},
    })
}

fn not_in_list(input: &Declared, choices: &[Value], value: &Value, instance: &Instance) -> Value {
    let is_long = choices.len() > CHOICES_SHOWN_MAX;
    let list = if is_long {
        format!("(list of length {})", choices.len())
    } else {
        python::repr(&Value::Array(choices.to_vec()))
    };
    let config = if is_long { Value::Null } else { config(input, instance) };
    json!({
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": format!("{}: '{}' not in {list}", input.name, python::str_of(value)),
        "extra_info": {"input_name": input.name, "input_config": config, "received_value": value},
    })
}

/// Returns true for inputs that name a file in the input folder.
fn is_custom(class: &Class, input: &Declared) -> bool {
    let name = class.info["name"].as_str().unwrap_or_default();
    matches!(
        (name, input.name.as_str()),
        ("LoadImage" | "LoadImageMask" | "LoadImageOutput", "image") | ("LoadAudio", "audio") | ("LoadVideo", "file")
    )
}

/// Python's `VALIDATE_INPUTS` of the loaders: the file must exist. A name that is not a text raises with this message.
pub(crate) fn custom(id: &str, nodes: &Map<String, Value>, instance: &Instance) -> Result<Option<Value>, String> {
    let Some(node) = nodes.get(id) else { return Ok(None) };
    let Some(class) = node["class_type"].as_str().and_then(find) else { return Ok(None) };
    let Some(input) = class.inputs.iter().find(|input| is_custom(class, input)) else { return Ok(None) };
    let name = match node["inputs"].get(&input.name) {
        Some(Value::String(name)) => name,
        None | Some(Value::Array(_)) => return Ok(None),
        Some(other) => return Err(format!("'{}' object has no attribute 'endswith'", python::type_name(other))),
    };
    if file_exists(name, instance) {
        return Ok(None);
    }
    let what = match input.name.as_str() {
        "audio" => "audio",
        "file" => "video",
        _ => "image",
    };
    Ok(Some(json!({
        "type": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": format!("{} - Invalid {what} file: {name}", input.name),
        "extra_info": {"input_name": input.name},
    })))
}

/// Whether `sub/name.png` or `name.png [temp]` exists. An empty name is the folder itself, which exists; loading it
/// fails.
fn file_exists(name: &str, instance: &Instance) -> bool {
    locate(name).is_some_and(|key| key.2.is_empty() || instance.files.metadata(&key).is_some())
}

#[cfg(test)]
mod tests {
    use super::{is_less, types_differ};
    use serde_json::json;

    #[test]
    fn types_are_unions() {
        assert!(types_differ("IMAGE", &json!("LATENT")));
        assert!(!types_differ("INT,FLOAT", &json!("FLOAT")));
        assert!(!types_differ("IMAGE", &json!("*")));
        assert!(types_differ("STRING", &json!(["a"])), "a combo takes no link of another type");
    }

    #[test]
    fn limits_are_exact_for_large_integers() {
        let more: serde_json::Value = serde_json::from_str("18446744073709551616").unwrap();
        assert!(is_less(&json!(u64::MAX), &more));
        assert!(!is_less(&json!(u64::MAX), &json!(u64::MAX)));
        assert!(is_less(&json!(0.5), &json!(1)) && !is_less(&json!(1.0), &json!(1)));
    }
}

//! Makes the schemas strict: objects are closed, members that may be absent are never `null`,
//! numbers have no language-specific size, and flattened members are one object.

use crate::{
    api::routes::thumbnail::SIDES,
    task::{FailureKind, Status},
};
use serde_json::{Map, Value, json};

/// Schemas that may have other members.
const OPEN: &[&str] = &["UploadForm", "NodeInput"];

/// Largest version in a query: 15 digits.
const VERSION_MAX: u64 = 999_999_999_999_999;

/// Makes every schema of the document strict.
pub(super) fn finish(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    let before = schemas.clone();
    for (name, schema) in schemas.iter_mut() {
        name_data(name, schema, &before);
        join_parts(schema, &before);
        tighten(schema, !OPEN.contains(&name.as_str()));
    }
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            never_null(&mut parameter["schema"]);
            tighten(&mut parameter["schema"], true);
            add_words(parameter);
        }
        if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
            responses.values_mut().for_each(|response| tighten(response, true));
        }
    }
}

/// Replaces the copied schema inside an envelope by a reference.
fn name_data(name: &str, schema: &mut Value, schemas: &Map<String, Value>) {
    let Some(inside) = name.strip_prefix("Envelope_") else { return };
    let (one, is_list) = inside.strip_prefix("Vec_").map_or((inside, false), |one| (one, true));
    if schemas.contains_key(one) {
        let reference = json!({ "$ref": format!("#/components/schemas/{one}") });
        schema["properties"]["data"] = if is_list { json!({ "type": "array", "items": reference }) } else { reference };
    }
}

/// Merges an `allOf` of objects (a flattened member) into one object: a closed part would refuse the members of the other.
fn join_parts(schema: &mut Value, schemas: &Map<String, Value>) {
    let Some(parts) = schema.as_object_mut().and_then(|members| members.shift_remove("allOf")) else { return };
    let mut joined = json!({ "type": "object", "required": [], "properties": {} });
    for part in parts.as_array().into_iter().flatten() {
        let mut part = resolve(part, schemas).clone();
        join_parts(&mut part, schemas);
        let required = part["required"].as_array().cloned().unwrap_or_default();
        joined["required"].as_array_mut().into_iter().for_each(|all| all.extend(required.clone()));
        for (name, property) in part["properties"].as_object().into_iter().flatten() {
            joined["properties"][name] = property.clone();
        }
    }
    for (name, value) in joined.as_object().into_iter().flatten() {
        schema[name] = value.clone();
    }
}

fn resolve<'a>(schema: &'a Value, schemas: &'a Map<String, Value>) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    name.and_then(|name| schemas.get(name)).unwrap_or(schema)
}

/// Visits every value below.
fn tighten(schema: &mut Value, closes: bool) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| tighten(item, closes)),
        Value::Object(members) => {
            if matches!(members.get("format").and_then(Value::as_str), Some("int32" | "int64")) {
                members.shift_remove("format");
            }
            if members.get("properties").is_some_and(Value::is_object) {
                tighten_object(members, closes);
            }
            members.values_mut().for_each(|member| tighten(member, closes));
        }
        _ => {}
    }
}

fn tighten_object(members: &mut Map<String, Value>, closes: bool) {
    let required = members.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|one| one == name));
    let properties = members.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, property) in properties.filter(|(name, _)| !is_required(name)) {
        never_null(property);
    }
    if closes && !members.contains_key("additionalProperties") {
        members.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

/// Removes `null` from the choices of a schema.
fn never_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) else { return };
    choices.retain(|choice| choice["type"] != "null");
    if let [only] = choices.as_slice() {
        let only = only.clone();
        let Some(members) = schema.as_object_mut() else { return };
        members.shift_remove("oneOf");
        for (name, value) in only.as_object().into_iter().flatten() {
            members.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Declares choices, and lists of words separated by commas.
fn add_words(parameter: &mut Value) {
    if parameter["name"] == "w" {
        parameter["schema"]["enum"] = json!(SIDES);
    }
    let limit = if parameter["name"] == "version" { VERSION_MAX } else { u64::MAX };
    if parameter["schema"]["type"] == "integer" {
        parameter["schema"]["maximum"] = json!(limit);
    }
    let words = match parameter["name"].as_str() {
        Some("status") => Status::ALL.map(Status::as_str).join("|"),
        Some("errorType") => FailureKind::ALL.map(FailureKind::as_str).join("|"),
        _ => return,
    };
    parameter["schema"]["pattern"] = json!(format!("^({words})(,({words}))*$"));
}

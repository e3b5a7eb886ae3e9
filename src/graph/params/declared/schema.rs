//! JSON Schema (2020-12) of the declared parameters: accepts the same values as a submit.

use super::{Declared, Kind, Param, apply::Place, validate_value::SEED_REQUESTS};
use crate::{
    graph::{
        Budget, FleetCatalog, Workflow,
        catalog::Range,
        params::{address::Reader, options::Options},
    },
    json::raw_value,
    problem::Problems,
};
use serde_json::{Map, Value, json, value::RawValue};
use std::collections::HashSet;

/// Pattern of keys that are addresses, not names; they are validated against the graph.
const ADDRESSES: &str = r"^[@0-9]|[.]";
/// Returns the schema of the `params` of a submit to a published workflow, with bounds and choices of the instances
/// too.
pub fn schema(
    title: &str,
    description: Option<&str>,
    workflow: &Workflow,
    declared: &Declared,
    pool: &FleetCatalog,
    budget: &Budget,
) -> Value {
    let options = Options { declared: Some(declared), budget, ..Options::default() };
    let mut reader = Reader::new(workflow, &options, Problems::default());
    reader.read_names();
    let property = |param: &Param| (param.name.clone(), property(&reader, param, pool));
    let properties: Map<String, Value> = declared.params.iter().map(property).collect();
    let required: Vec<&str> =
        declared.params.iter().filter(|param| reader.is_needed(param)).map(|param| param.name.as_str()).collect();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": properties,
        "patternProperties": {ADDRESSES: {"description": "an address in the graph, validated against the graph"}},
        "additionalProperties": false,
    });
    if let Some(description) = description {
        schema["description"] = description.into();
    }
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn property(reader: &Reader<'_, '_>, param: &Param, pool: &FleetCatalog) -> Value {
    let places = reader.places_of(param);
    let mut schema = plain(param, reader, &places, pool);
    if param.kind == Kind::Integer && reader.is_seed(param, &places) {
        let wishes: Vec<Value> = SEED_REQUESTS.iter().filter_map(|wish| serde_json::from_str(wish).ok()).collect();
        schema = json!({"anyOf": [schema, {"enum": wishes, "description": "drawn, and reported in resolved.seeds"}]});
    }
    if let Some(description) = &param.description {
        schema["description"] = description.as_str().into();
    }
    if let Some(default) = &param.default {
        schema["default"] = value_of(default);
    }
    schema
}

fn plain(param: &Param, reader: &Reader<'_, '_>, places: &[Place], pool: &FleetCatalog) -> Value {
    let mut schema = match param.kind {
        Kind::String => json!({"type": "string"}),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Number => json!({"type": "number"}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Enum => json!({"type": ["string", "number", "boolean"]}),
        Kind::Image | Kind::Video | Kind::Audio | Kind::File => return file(param.kind),
    };
    let (low, high) = if param.kind == Kind::String { ("minLength", "maxLength") } else { ("minimum", "maximum") };
    let mut bounds = [(low, param.min.as_ref()), (high, param.max.as_ref())]
        .map(|(word, bound)| (word, bound.and_then(|bound| serde_json::from_str::<Value>(&bound.text).ok())));
    let mut choices: Option<Vec<Value>> =
        (!param.choices.is_empty()).then(|| param.choices.iter().map(|one| value_of(one)).collect());
    let mut seen = HashSet::new();
    for (place, input) in places {
        let class = &reader.workflow.node(*place).class;
        // Inputs of one declaration narrow once, however many there are.
        if !reader.budget.spend(1 + input.len() / 64) || !seen.insert((class.as_str(), input.as_str())) {
            continue;
        }
        if matches!(param.kind, Kind::Integer | Kind::Number)
            && let Some(range) = pool.range(class, input)
        {
            tighten(&mut bounds, &range);
        }
        if let Some(offered) = pool.choices(class, input) {
            reader.budget.spend(offered.len());
            let is_offered = |value: &Value| offered.contains(&canonical(value));
            choices = Some(match choices {
                Some(choices) => choices.into_iter().filter(is_offered).collect(),
                None => offered.iter().filter_map(|one| serde_json::from_str(one).ok()).collect(),
            });
        }
    }
    for (word, bound) in bounds {
        if let Some(bound) = bound {
            schema[word] = bound;
        }
    }
    match choices {
        // JSON Schema does not allow an empty `enum`.
        Some(choices) if choices.is_empty() => schema["not"] = json!({}),
        Some(choices) => schema["enum"] = choices.into(),
        None => {}
    }
    schema
}

/// Narrows the declared bounds to those of the instances.
fn tighten(bounds: &mut [(&str, Option<Value>); 2], range: &Range) {
    let [(_, low), (_, high)] = bounds;
    for (bound, other, is_low) in [(low, &range.min, true), (high, &range.max, false)] {
        let Some(other) = other.as_ref().and_then(|text| serde_json::from_str::<Value>(text).ok()) else { continue };
        let is_narrower = match bound.as_ref().and_then(Value::as_f64).zip(other.as_f64()) {
            None => true,
            Some((declared, other)) if is_low => other > declared,
            Some((declared, other)) => other < declared,
        };
        if is_narrower {
            *bound = Some(other);
        }
    }
}

fn file(kind: Kind) -> Value {
    let directive = |name: &str, others: &[&str]| {
        let mut properties: Map<String, Value> = [(name.to_owned(), json!({"type": "string"}))].into_iter().collect();
        properties.extend(others.iter().map(|other| ((*other).to_owned(), json!({"type": "string"}))));
        json!({"type": "object", "properties": properties, "required": [name], "additionalProperties": false})
    };
    let id = json!({"type": "string", "minLength": 1, "description": format!("the fileId or name of an uploaded {}, a link, or base64", kind.word())});
    json!({"anyOf": [id, directive("$file", &[]), directive("$url", &["sha256", "filename"]), directive("$base64", &["filename"])]})
}

fn value_of(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

fn canonical(value: &Value) -> String {
    let raw = serde_json::value::to_raw_value(value).ok();
    raw.and_then(|raw| raw_value::canonical(&raw)).unwrap_or_default()
}

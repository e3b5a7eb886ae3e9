//! The document of the API: what is served is documented and the other way round, every error, every example, every bound.
//! That answers are as documented is seen by every test of the api: `Api::send` holds each against the document.

use super::server::{Api, JWT_SECRET, assert_refused};
use crate::support::contract::{openapi_document, operations, violations};
use serde_json::{Value, json};
use shuzhiren::{api::ERROR_TYPES, process};
use std::collections::BTreeSet;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// A path with something in its braces.
pub(super) fn filled(template: &str) -> String {
    let id = match template.split('/').nth(2) {
        Some("instances") => "127.0.0.1:8001",
        Some("workflows") => "text-to-image",
        _ => "01935f0e-7c00-7000-8000-00000000ffff",
    };
    let name = template.split('{').nth(1).and_then(|rest| rest.split('}').next()).unwrap_or_default();
    template.replace(&format!("{{{name}}}"), id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_documented_is_served_and_nothing_else() {
    let api = Api::start().await;
    let documented: BTreeSet<(&str, &str)> = operations().map(|(path, method, _)| (path, method)).collect();
    assert!(documented.len() > 15, "{documented:?}");
    for (template, _) in &documented {
        for method in METHODS {
            let answer = api.send(&method.to_uppercase(), &filled(template), &[], b"").await;
            let about = format!("{method} {template}: {}", answer.status);
            if documented.contains(&(*template, method)) {
                assert!(answer.status != 405, "{about}");
                let nowhere = answer.status == 404 && answer.json()["message"] == "there is no such path";
                assert!(!nowhere, "{about}");
            } else {
                // `DELETE /api/files/upload` is one of `/api/files/{id}`.
                let is_other = documented.contains(&("/api/files/{id}", method)) && *template == "/api/files/upload";
                assert!(answer.status == 405 || is_other, "{about}");
            }
        }
    }
    // Nothing is served beside the list that the document is made from.
    let list = include_str!("../../../src/api/mod.rs");
    assert!(!list.contains(".route(") && !list.contains(".nest(") && !list.contains(".route_service("));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_there_without_a_login() {
    let api = Api::start().await;
    let answer = api.send("GET", "/api/openapi.json", &[], b"").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let document = answer.json();
    assert_eq!(&document, openapi_document());
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    assert!(!document.to_string().contains(JWT_SECRET));
    let ids: BTreeSet<&str> = operations().map(|(_, _, one)| one["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations().count(), "an operationId is there twice");
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    for (path, method, operation) in operations() {
        assert!(operation["summary"].is_string(), "{method} {path} says nothing");
        assert!(tags.contains(&&operation["tags"][0]), "{method} {path}");
        assert!(operation.get("x-errors").is_none(), "{method} {path}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let text = openapi_document().to_string();
    let names: Vec<&str> = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(names.len() > 100, "the reader of references reads nothing");
    for name in names {
        assert!(openapi_document().pointer(name).is_some(), "{name}");
    }
}

#[test]
fn every_error_is_documented_where_it_happens() {
    let known: BTreeSet<&str> =
        ERROR_TYPES.iter().map(|one| one.word).chain(process::ERROR_TYPES.iter().copied()).collect();
    let listed = openapi_document()["components"]["schemas"]["ErrorType"]["oneOf"].as_array().unwrap();
    let listed: BTreeSet<&str> = listed.iter().map(|one| one["const"].as_str().unwrap()).collect();
    assert_eq!(listed, known);
    let mut told = BTreeSet::new();
    for (path, method, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let content = &response["content"]["application/json"];
            for (word, example) in content["examples"].as_object().into_iter().flatten() {
                told.insert(word.as_str());
                let faults = violations(&content["schema"], &example["value"]);
                assert!(faults.is_empty(), "{method} {path} {word}: {faults:?}");
                let one = ERROR_TYPES.iter().find(|one| one.word == word);
                let fits = one.is_none_or(|one| one.statuses.iter().any(|one| one.to_string() == *status));
                assert!(fits, "{method} {path} {status}: {word}");
            }
        }
    }
    // One is of methods that are not there, one of paths that are not of the API.
    told.extend(["method_not_allowed", "not_ready"]);
    assert_eq!(told, known, "errors that no operation names, or that nobody knows");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_a_body_is_taken() {
    let api = Api::with_instance().await;
    let mut sent = BTreeSet::new();
    // A workflow is published before a task names it.
    let (first, rest): (Vec<_>, Vec<_>) = operations().partition(|(_, _, one)| one["operationId"] == "publishWorkflow");
    for (template, method, operation) in first.into_iter().chain(rest) {
        let body = &operation["requestBody"]["content"]["application/json"];
        for (name, example) in body["examples"].as_object().into_iter().flatten() {
            let (value, about) = (&example["value"], format!("{method} {template} {name}"));
            assert_eq!(violations(&body["schema"], value), Vec::<String>::new(), "{about}");
            let answer = api.json(&method.to_uppercase(), &filled(template), &[], value.to_string().as_bytes()).await;
            assert_eq!(answer.status, 200, "{about}: {}", answer.json());
            sent.insert(operation["operationId"].as_str().unwrap());
        }
        assert!(body.is_null() || body["examples"].is_object(), "{method} {template} has no example");
    }
    assert!(sent.contains("submitTask") && sent.len() > 3, "{sent:?}");
}

#[test]
fn every_example_of_an_answer_is_one() {
    for (path, method, operation) in operations() {
        let content = &operation["responses"]["200"]["content"]["application/json"];
        let needs = content.is_object() && operation["operationId"] != "getOpenApi";
        assert!(!needs || content["example"].is_object(), "{method} {path} has no example of its answer");
        if needs {
            assert_eq!(violations(&content["schema"], &content["example"]), Vec::<String>::new(), "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bound_of_a_body_is_the_servers() {
    let api = Api::start().await;
    let schemas = &openapi_document()["components"]["schemas"];
    let mut tried = 0;
    for (schema, path, method, wrap) in [
        ("TaskBody", "/api/tasks?dryRun=true", "POST", &with_workflow as &dyn Fn(&str, Value) -> Value),
        ("HealthCheckBody", "/api/config", "PUT", &|name, value| json!({ "healthCheck": { name: value } })),
    ] {
        for (name, property) in schemas[schema]["properties"].as_object().unwrap() {
            for (word, step) in [("minimum", -1), ("maximum", 1)] {
                let Some(limit) = property[word].as_i64() else { continue };
                for (value, is_good) in [(limit, true), (limit + step, false)] {
                    let body = wrap(name, json!(value)).to_string();
                    let answer = api.json(method, path, &[], body.as_bytes()).await;
                    if is_good {
                        assert_eq!(answer.status, 200, "{name} {value}: {}", answer.json());
                    } else {
                        assert!(matches!(answer.status, 400 | 422), "{name} {value}: {}", answer.json());
                    }
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= 16, "{tried}");
}

fn with_workflow(name: &str, value: Value) -> Value {
    json!({ "workflow": super::server::workflow(), name: value })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_not_documented_is_refused() {
    let api = Api::with_instance().await;
    for (template, method, operation) in operations() {
        let body = &operation["requestBody"]["content"]["application/json"];
        let Some(example) = body["examples"].as_object().and_then(|examples| examples.values().next()) else {
            continue;
        };
        let mut value = example["value"].clone();
        value["nobodyReadsThis"] = json!(1);
        assert!(!violations(&body["schema"], &value).is_empty(), "{method} {template}: the schema is open");
        let answer = api.json(&method.to_uppercase(), &filled(template), &[], value.to_string().as_bytes()).await;
        let word = if template == "/api/config" { "invalid_config" } else { "unknown_field" };
        assert_refused(&answer, 400, word, &format!("{method} {template}"));
    }
}

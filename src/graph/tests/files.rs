//! params.md, Files: files at URLs, and the assets of ComfyUI's API v2.

mod names;

use super::{LIMITS, Options, Problem, Resolved, Workflow, assert_changes, assert_refused, raw, with};
use crate::graph::{Catalog, FleetCatalog, Member, OwnFiles};
use crate::task::{FileId, InstanceId};
use std::sync::Arc;

const SHA256: &str = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef";

/// An instance whose `Load.image` takes files and lists a URL, and whose `Load.note` takes texts.
fn pool() -> FleetCatalog {
    let object_info = r#"{"Load":{"input":{"required":{"image":[["a.png","https://listed/x.png"],{"image_upload":true}],"note":["STRING"]}},"output_node":true}}"#;
    let catalog = Some(Arc::new(Catalog::parse(object_info).unwrap()));
    FleetCatalog::new([Member { instance: InstanceId::new("i"), is_alive: true, catalog }])
}

fn load(image: &str) -> String {
    format!(r#"{{"1":{{"class_type":"Load","inputs":{{"image":{image},"note":"n"}}}}}}"#)
}

fn resolved(graph: &str, params: &str, pool: Option<&FleetCatalog>) -> Result<Resolved, Vec<Problem>> {
    let options = Options { pool, ..Options::default() };
    crate::graph::resolve(&Workflow::parse(raw(graph), LIMITS).unwrap(), raw(params), &options)
}

fn urls(resolved: &Resolved) -> Vec<&str> {
    resolved.remote.iter().map(|file| file.url.as_str()).collect()
}

#[test]
fn a_file_at_a_url_is_collected_and_its_input_is_null() {
    for directive in [r#"{"$url":"https://x/a.png"}"#, r#"{"$force":{"$url":"https://x/a.png"}}"#] {
        let resolved = assert_changes(&format!(r#"{{"57:8":{{"image":{directive}}}}}"#), &[(r#""x.png""#, "null")]);
        let [file] = resolved.remote.as_slice() else { panic!("one file") };
        assert_eq!(
            (file.node_id.as_str(), file.input.as_str(), file.url.as_str()),
            ("57:8", "image", "https://x/a.png")
        );
        assert_eq!((file.pointer.as_str(), &file.sha256, &file.filename), ("/params/57:8/image", &None, &None));
    }
    let params = format!(r#"{{"57:8.image":{{"filename":"b.png","sha256":"{SHA256}","$url":"https://x/a.png"}}}}"#);
    let resolved = assert_changes(&params, &[(r#""x.png""#, "null")]);
    let file = &resolved.remote[0];
    assert_eq!(
        (file.sha256.as_deref(), file.filename.as_deref()),
        (Some(SHA256.to_lowercase().as_str()), Some("b.png"))
    );
    for bad in [
        r#"{"$url":5}"#,
        r#"{"$url":null}"#,
        r#"{"$url":"https://x","name":"a"}"#,
        r#"{"$url":"https://x","$file":"y"}"#,
        r#"{"$url":"https://x","filename":5}"#,
        r#"{"$url":"https://x","sha256":"abc"}"#,
        r#"{"$url":"https://x","sha256":null}"#,
        &format!(r#"{{"$url":"https://x","sha256":"{}g"}}"#, &SHA256[1..]),
    ] {
        assert_refused(&format!(r#"{{"57:8.image":{bad}}}"#), &[("/params/57:8.image", "param_bad_directive")]);
    }
}

#[test]
fn a_url_in_an_input_that_takes_files_is_a_file() {
    let (pool, link) = (pool(), r#""https://x/a.png""#);
    for (graph, params, pointer) in [
        (load(r#""a.png""#), format!(r#"{{"1.image":{link}}}"#), "/params/1.image"),
        (load(r#""{{p}}""#), format!(r#"{{"p":{link}}}"#), "/params/p"),
        (load(link), "{}".to_owned(), "/workflow/1/inputs/image"),
        (load(r#"{"$url":"https://x/a.png"}"#), "{}".to_owned(), "/workflow/1/inputs/image"),
        (load(r#""HTTPS://x/a.png""#), "{}".to_owned(), "/workflow/1/inputs/image"),
    ] {
        let resolved = resolved(&graph, &params, Some(&pool)).unwrap();
        assert_eq!(resolved.workflow.to_json().get(), load("null"), "{graph} {params}");
        let [file] = resolved.remote.as_slice() else { panic!("{graph} {params}: {:?}", resolved.remote) };
        assert!(file.url.eq_ignore_ascii_case("https://x/a.png"));
        assert_eq!(file.pointer, pointer);
    }
}

#[test]
fn a_url_in_any_other_input_stays_a_text() {
    let pool = pool();
    for (graph, params) in [
        // A text of another input.
        (load(r#""a.png""#), r#"{"1.note":"https://x/a.png"}"#),
        // A value of the list.
        (load(r#""a.png""#), r#"{"1.image":"https://listed/x.png"}"#),
        (load(r#""https://listed/x.png""#), "{}"),
        // Marked as literal.
        (load(r#""a.png""#), r#"{"1.image":{"$literal":"https://x/a.png"}}"#),
        (load(r#""a.png""#), r#"{"1.image":{"$force":"https://x/a.png"}}"#),
        // Not a URL.
        (load(r#""a.png""#), r#"{"1.image":"see https://x/a.png"}"#),
        (load(r#""a.png""#), r#"{"1.image":"ftp://x/a.png"}"#),
        (load(r#"{"a":"$url https://x core/ASSET"}"#), "{}"),
    ] {
        let resolved = resolved(&graph, params, Some(&pool)).unwrap();
        assert!(resolved.remote.is_empty(), "{graph} {params}: {:?}", resolved.remote);
        assert!(!resolved.workflow.to_json().get().contains("null"));
    }
    assert!(urls(&resolved(&load(r#""https://x/a.png""#), "{}", None).unwrap()).is_empty(), "no catalog is known");
    let set = resolved(&load(r#""https://x/a.png""#), r#"{"1.image":"a.png"}"#, Some(&pool)).unwrap();
    assert!(set.remote.is_empty(), "a param has replaced it");
}

#[test]
fn an_asset_is_a_stored_file_or_a_file_at_its_url() {
    let id = FileId::new();
    let asset = |info: &str| format!(r#"{{"__type":"core/ASSET","info":{info}}}"#);
    let ours = asset(&format!(r#"{{"id":"{id}","hash":"blake3:00","file_path":"in.png"}}"#));
    let resolved_params = with(&format!(r#"{{"57:8.image":{ours}}}"#)).unwrap();
    assert_eq!(resolved_params.files[0].file_id, id);
    // In the graph, where the SDKs write it.
    let resolved_graph = resolved(&load(&ours), "{}", None).unwrap();
    assert_eq!((resolved_graph.files[0].file_id, resolved_graph.workflow.to_json().get()), (id, load("null").as_str()));
    let elsewhere = asset(r#"{"id":"asset-1","url":"https://x/y","file_path":"in.png"}"#);
    let resolved_url = with(&format!(r#"{{"57:8.image":{elsewhere}}}"#)).unwrap();
    assert_eq!(
        (urls(&resolved_url), resolved_url.remote[0].filename.as_deref()),
        (vec!["https://x/y"], Some("in.png"))
    );
    for (bad, code) in [
        (asset(r#"{"id":"asset-1"}"#), "param_unsupported_directive"),
        (asset(r#"{"hash":"blake3:00"}"#), "param_unsupported_directive"),
        (r#"{"__type":"core/MODEL","info":{}}"#.to_owned(), "param_unsupported_directive"),
        (r#"{"__type":5,"info":{}}"#.to_owned(), "param_unsupported_directive"),
        (r#"{"__type":"core/ASSET"}"#.to_owned(), "param_bad_directive"),
        (asset("[]"), "param_bad_directive"),
        (asset(r#"{"id":"x","path":"y"}"#), "param_bad_directive"),
        (r#"{"__type":"core/ASSET","info":{},"x":1}"#.to_owned(), "param_bad_directive"),
    ] {
        assert_refused(&format!(r#"{{"57:8.image":{bad}}}"#), &[("/params/57:8.image", code)]);
    }
    let problems = resolved(&load(&asset(r#"{"id":"asset-1"}"#)), "{}", None).unwrap_err();
    assert_eq!(
        (problems[0].pointer.as_str(), problems[0].code.as_str()),
        ("/workflow/1/inputs/image", "workflow_bad_file")
    );
}

#[test]
fn directives_for_params_are_refused_in_the_graph() {
    let pool = pool();
    for (value, code) in [
        (r#"{"$base64":"aGk="}"#, "workflow_bad_directive"),
        (r#"{"$random":{}}"#, "workflow_bad_directive"),
        (r#"{"$link":["2",0]}"#, "workflow_bad_directive"),
        (r#"{"$unset":true}"#, "workflow_bad_directive"),
        (r#"{"$force":5}"#, "workflow_bad_directive"),
        (r#"{"\u0024literal":5}"#, "workflow_bad_directive"),
        (r#"{"\u0024file":5}"#, "workflow_bad_file"),
    ] {
        let problems = resolved(&load(value), "{}", Some(&pool)).expect_err(value);
        let found = (problems.len(), problems[0].pointer.as_str(), problems[0].code.as_str());
        assert_eq!(found, (1, "/workflow/1/inputs/image", code), "{value}");
        assert!(problems[0].message.contains("1.image") || code == "workflow_bad_file", "{}", problems[0].message);
        resolved(&load(value), r#"{"1.image":"a.png"}"#, Some(&pool)).unwrap();
    }
    // An object of another application, and a text in an input that takes no file.
    let own = r#"{"1":{"class_type":"Load","inputs":{"image":{"$schema":"x"},"note":"data:text/plain,x"}}}"#;
    assert_eq!(resolved(own, "{}", None).unwrap().workflow.to_json().get(), own);
}

/// Bug reports 12, 17 and 19.
#[test]
fn a_file_given_as_a_text_is_the_file() {
    let pool = pool();
    let id = FileId::new();
    let own = OwnFiles::new("http://files.example", None);
    let resolved = |graph: &str, params: &str| {
        let options = Options { pool: Some(&pool), own: Some(&own), ..Options::default() };
        crate::graph::resolve(&Workflow::parse(raw(graph), LIMITS).unwrap(), raw(params), &options).unwrap()
    };
    for text in [
        format!("\"{id}\""),
        format!("\"http://files.example/upload/file/{id}?expires=1&signature=x\""),
        format!("\"/upload/file/{id}\""),
        format!("{{\"$file\":\"http://files.example/upload/file/{id}\"}}"),
        format!("{{\"$url\":\"http://files.example/upload/file/{id}\"}}"),
    ] {
        for found in [resolved(&load(&text), "{}"), resolved(&load("\"a.png\""), &format!("{{\"1.image\":{text}}}"))] {
            assert_eq!(found.workflow.to_json().get(), load("null"), "{text}");
            assert_eq!((found.files[0].file_id, found.remote.len()), (id, 0), "{text}");
        }
    }
    let data = r#""data:image/png;base64,aGk=""#;
    for (found, pointer) in [
        (resolved(&load(data), "{}"), "/workflow/1/inputs/image"),
        (resolved(&load("\"a.png\""), &format!("{{\"1.image\":{data}}}")), "/params/1.image"),
    ] {
        assert_eq!((found.inline[0].pointer.as_str(), found.inline[0].directive.as_str()), (pointer, data));
    }
}

//! Files that stand in an input as people write them: by name, by id in any spelling, as an object (bug report 17).

use super::super::{LIMITS, Options, Problem, Resolved, Workflow, raw};
use crate::{
    graph::{Catalog, Declared, FleetCatalog, InputFiles, Member, UploadNames},
    task::{FileId, InstanceId},
};
use std::{collections::HashMap, sync::Arc};

const OBJECT_INFO: &str = r#"{
    "Load":{"input":{"required":{"image":[["a.png"],{"image_upload":true}],"mode":[["x","y"]]}},"output":["IMAGE"]},
    "LoadSaved":{"input":{"required":{"image":["COMBO",{"image_upload":true,"image_folder":"output","remote":{"route":"/x"}}]}},"output":["IMAGE"]},
    "Text":{"input":{"required":{"text":["STRING"]}},"output":["IMAGE"]},
    "Save":{"input":{"required":{"images":["IMAGE"]}},"output_node":true}}"#;

/// A fleet of instances with one catalog, which list these files; `None` = not known.
fn fleet(files: &[(&str, Option<&[&str]>)]) -> FleetCatalog {
    let catalog = Arc::new(Catalog::parse(OBJECT_INFO).unwrap());
    let member =
        |name: &str| Member { instance: InstanceId::new(name), is_alive: true, catalog: Some(catalog.clone()) };
    let listed = |names: &[&str]| Arc::new(InputFiles::from_json(&serde_json::to_string(names).unwrap()).unwrap());
    let known: HashMap<_, _> = files.iter().map(|(name, files)| (InstanceId::new(*name), files.map(listed))).collect();
    FleetCatalog::new(files.iter().map(|(name, _)| member(name))).with_input_files(known)
}

fn graph(image: &str) -> String {
    format!(
        r#"{{"1":{{"class_type":"Load","inputs":{{"image":{image},"mode":"x"}}}},"9":{{"class_type":"Save","inputs":{{"images":["1",0]}}}}}}"#
    )
}

/// Uploads that were looked up.
fn uploads(known: &[(&str, &[FileId])]) -> UploadNames {
    UploadNames::new(known.iter().map(|(name, ids)| ((*name).to_owned(), ids.to_vec())).collect())
}

fn resolved(graph: &str, params: &str, pool: &FleetCatalog, uploads: &UploadNames) -> Result<Resolved, Vec<Problem>> {
    let options = Options { pool: Some(pool), uploads: Some(uploads), ..Options::default() };
    crate::graph::resolve(&Workflow::parse(raw(graph), LIMITS).unwrap(), raw(params), &options)
}

/// Resolves the value in the graph and as a param; both must come to the same.
fn both(value: &str, pool: &FleetCatalog, uploads: &UploadNames) -> Vec<Result<Resolved, Vec<Problem>>> {
    let param = format!(r#"{{"1.image":{value}}}"#);
    vec![resolved(&graph(value), "{}", pool, uploads), resolved(&graph(r#""a.png""#), &param, pool, uploads)]
}

fn codes(resolved: &Resolved) -> Vec<&str> {
    resolved.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

#[test]
fn the_name_of_an_upload_is_the_upload() {
    let pool = fleet(&[("1", Some(&["a.png"]))]);
    let (id, older) = (FileId::new(), FileId::new());
    let known = uploads(&[("photo.png", &[id]), ("a b.png", &[id]), ("two.png", &[id, older]), ("a.png", &[id])]);
    for (value, warned) in [
        (r#""photo.png""#, &[][..]),
        (r#""a b.png""#, &[]),
        (r#""photo.png [input]""#, &[]),
        (r#"{"$file":"photo.png"}"#, &[]),
        (r#"{"name":"photo.png","subfolder":"","type":"input"}"#, &[]),
        (r#"{"filename":"a b.png"}"#, &[]),
        (r#""two.png""#, &["input_file_ambiguous"]),
        (r#""a.png""#, &["input_file_ambiguous"]),
    ] {
        for found in both(value, &pool, &known) {
            let found = found.unwrap();
            assert_eq!((found.files.len(), found.files[0].file_id), (1, id), "{value}");
            assert_eq!(
                (found.workflow.to_json().get(), codes(&found).as_slice()),
                (graph("null").as_str(), warned),
                "{value}"
            );
        }
    }
    let forced = resolved(&graph(r#""a.png""#), r#"{"1.image":{"$force":"photo.png"}}"#, &pool, &known).unwrap();
    assert!(forced.files.is_empty() && forced.warnings.is_empty(), "a forced name is sent as it is");
}

#[test]
fn a_file_id_is_read_in_any_spelling_and_from_an_object() {
    let (pool, none) = (fleet(&[("1", Some(&["a.png"]))]), uploads(&[]));
    let id = FileId::new();
    let plain = id.to_string();
    for value in [
        format!("\"{}\"", plain.to_uppercase()),
        format!("\"{}\"", plain.replace('-', "")),
        format!("\" {{{plain}}} \""),
        format!("{{\"fileId\":\"{plain}\"}}"),
        format!(
            "{{\"fileId\":\"{plain}\",\"url\":\"http://h/upload/file/{plain}\",\"filename\":\"x.png\",\"sizeBytes\":5}}"
        ),
        format!("{{\"id\":\"{}\"}}", plain.to_uppercase()),
        format!("{{\"$file\":\"{}\"}}", plain.replace('-', "")),
    ] {
        for found in both(&value, &pool, &none) {
            let found = found.unwrap();
            assert_eq!(
                (found.files[0].file_id, found.workflow.to_json().get()),
                (id, graph("null").as_str()),
                "{value}"
            );
        }
    }
    for found in both(r#"{"url":"https://x/a.png"}"#, &pool, &none) {
        assert_eq!(found.unwrap().remote[0].url, "https://x/a.png");
    }
}

#[test]
fn a_name_that_no_instance_has_is_refused() {
    let pool = fleet(&[("1", Some(&["a.png", "photo.png"])), ("2", Some(&["a.png"]))]);
    let none = uploads(&[]);
    for value in
        [r#""nosuch.png""#, r#""""#, r#""0123456789abcdef0123456789abcdef""#, r#"{"x":1}"#, r#"{"name":"nosuch.png"}"#]
    {
        for (found, pointer) in
            both(value, &pool, &none).into_iter().zip(["/workflow/1/inputs/image", "/params/1.image"])
        {
            let problems = found.map(|_| ()).expect_err(value);
            let found: Vec<_> =
                problems.iter().map(|problem| (problem.pointer.as_str(), problem.code.as_str())).collect();
            assert_eq!(found, [(pointer, "input_file_unknown")], "{value}");
            assert!(problems[0].message.contains("POST /api/upload"), "{}", problems[0].message);
        }
    }
    let problems = resolved(&graph(r#""phot.png""#), "{}", &pool, &none).map(|_| ()).unwrap_err();
    assert_eq!(problems[0].candidates, ["photo.png"]);
    let problems = resolved(&graph(r#"{"$file":"nosuch.png"}"#), "{}", &pool, &none).map(|_| ()).unwrap_err();
    assert_eq!(problems[0].code, "workflow_bad_file");
    // One branch without its file beside a good one.
    let two = graph(r#""a.png""#).replacen('{', r#"{"2":{"class_type":"Load","inputs":{"image":"nosuch.png","mode":"x"}},"8":{"class_type":"Save","inputs":{"images":["2",0]}},"#, 1);
    let found = resolved(&two, "{}", &pool, &none).unwrap();
    assert_eq!((codes(&found), found.warnings[0].param.as_deref()), (vec!["output_ignored"], Some("8")));
}

#[test]
fn a_name_on_some_instances_is_a_requirement() {
    let none = uploads(&[]);
    let pool = fleet(&[("1", Some(&["a.png", "photo.png"])), ("2", Some(&["a.png"]))]);
    for found in both(r#""photo.png""#, &pool, &none) {
        let found = found.unwrap();
        assert_eq!(found.eligible, Some(vec![InstanceId::new("1")]));
        assert_eq!(found.needs, [r#"1.image "photo.png""#]);
        assert!(found.warnings.is_empty() && found.workflow.to_json().get() == graph(r#""photo.png""#));
    }
    let everywhere = resolved(&graph(r#""a.png""#), "{}", &pool, &none).unwrap();
    assert!(everywhere.eligible.is_none() && everywhere.needs.is_empty() && everywhere.warnings.is_empty());
    let both_needed = graph(r#""photo.png""#).replacen('{', r#"{"2":{"class_type":"Load","inputs":{"image":"b.png","mode":"x"}},"8":{"class_type":"Save","inputs":{"images":["2",0]}},"#, 1);
    let apart = fleet(&[("1", Some(&["photo.png"])), ("2", Some(&["b.png"]))]);
    let problems = resolved(&both_needed, "{}", &apart, &none).map(|_| ()).unwrap_err();
    assert_eq!(problems[0].code, "no_instance_fits");
    let catalog = Catalog::parse(OBJECT_INFO).unwrap();
    let lists = |names: &str| InputFiles::from_json(names).unwrap();
    let task = Workflow::parse(raw(&graph(r#""photo.png""#)), LIMITS).unwrap();
    assert!(task.has_files(&catalog, &lists(r#"["photo.png"]"#)) && !task.has_files(&catalog, &lists("[]")));
}

#[test]
fn what_no_list_shows_is_taken_with_a_warning() {
    let none = uploads(&[]);
    let unknown = fleet(&[("1", None), ("2", Some(&["a.png"]))]);
    for found in both(r#""photo.png""#, &unknown, &none) {
        let found = found.unwrap();
        assert_eq!((codes(&found), &found.eligible), (vec!["input_file_unverified"], &None));
    }
    let known = fleet(&[("1", Some(&["a.png"]))]);
    for value in [r#""sub/photo.png""#, r#""photo.png [output]""#, r#""C:\\photo.png""#] {
        for found in both(value, &known, &none) {
            assert_eq!(codes(&found.unwrap()), ["input_file_unverified"], "{value}");
        }
    }
    let saved = r#"{"1":{"class_type":"LoadSaved","inputs":{"image":"x.png"}},"9":{"class_type":"Save","inputs":{"images":["1",0]}}}"#;
    assert!(resolved(saved, "{}", &known, &none).unwrap().warnings.is_empty(), "its list is elsewhere");
}

#[test]
fn only_names_in_inputs_that_take_files_are_looked_up() {
    let pool = fleet(&[("1", Some(&["a.png"]))]);
    let pending = UploadNames::default();
    let text = r#"{"1":{"class_type":"Text","inputs":{"text":"photo.png"}},"9":{"class_type":"Save","inputs":{"images":["1",0]}}}"#;
    resolved(text, "{}", &pool, &pending).unwrap();
    assert!(pending.wanted().is_empty());
    resolved(&graph(r#""photo.png""#), r#"{"1.mode":"y"}"#, &pool, &pending).unwrap();
    resolved(&graph(r#""a.png""#), r#"{"1.image":{"$file":"b.png"}}"#, &pool, &pending).unwrap();
    assert_eq!(pending.wanted(), ["b.png", "photo.png"]);
    // Names in a published graph are those of its publisher; names in params are the caller's.
    let declared = Declared::read(raw(r#"{"picture":{"type":"image","target":"2.image"}}"#)).unwrap();
    let published = graph(r#""a.png""#).replacen('{', r#"{"2":{"class_type":"Load","inputs":{"image":"a.png","mode":"x"}},"8":{"class_type":"Save","inputs":{"images":["2",0]}},"#, 1);
    let id = FileId::new();
    let known = uploads(&[("a.png", &[id]), ("mine.png", &[id])]);
    let options = Options { pool: Some(&pool), uploads: Some(&known), declared: Some(&declared), ..Options::default() };
    let workflow = Workflow::parse(raw(&published), LIMITS).unwrap();
    let found = crate::graph::resolve(&workflow, raw(r#"{"picture":"mine.png"}"#), &options).unwrap();
    assert_eq!((found.files.len(), found.files[0].node_id.as_str()), (1, "2"));
    let problems =
        crate::graph::resolve(&workflow, raw(r#"{"picture":"other.png"}"#), &options).map(|_| ()).unwrap_err();
    assert_eq!((problems[0].pointer.as_str(), problems[0].code.as_str()), ("/params/picture", "param_bad_directive"));
    let pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQ==";
    let found = crate::graph::resolve(&workflow, raw(&format!(r#"{{"picture":"{pixel}"}}"#)), &options).unwrap();
    assert_eq!(found.inline[0].base64, pixel);
}

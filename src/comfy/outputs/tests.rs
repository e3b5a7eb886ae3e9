//! Outputs of every form of ui results, in order, within the limits.

use super::{Collected, ancestor};
use crate::{
    comfy::{NodeOutput, RemoteFile, limits},
    task::{FailureKind, OutputKind},
};
use proptest::prelude::*;
use serde_json::json;

fn file(node_id: &str, key: &str, filename: &str, subfolder: &str, folder_type: &str, animated: bool) -> NodeOutput {
    let file = RemoteFile {
        filename: filename.to_owned(),
        subfolder: subfolder.to_owned(),
        folder_type: folder_type.to_owned(),
    };
    NodeOutput::File { node_id: node_id.to_owned(), key: key.to_owned(), file, animated, is_bare_path: false }
}

fn bare_path(node_id: &str, filename: &str, subfolder: &str, folder_type: &str) -> NodeOutput {
    let mut output = file(node_id, "result", filename, subfolder, folder_type, false);
    if let NodeOutput::File { is_bare_path, .. } = &mut output {
        *is_bare_path = true;
    }
    output
}

fn value(node_id: &str, key: &str, kind: OutputKind, text: &str) -> NodeOutput {
    let (node_id, key) = (node_id.to_owned(), key.to_owned());
    NodeOutput::Value { node_id, key, kind, text: text.to_owned(), is_short: true }
}

fn text(node_id: &str, text: &str) -> NodeOutput {
    value(node_id, "text", OutputKind::Text, text)
}

fn graph(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

/// Collects outputs that can all be fetched.
fn collect(outputs: &str, meta: Option<&str>, graph: &[String]) -> Vec<NodeOutput> {
    let Collected { outputs, warnings, fault } = super::collect(outputs, meta, graph);
    assert!(fault.is_none() && warnings.is_empty(), "{fault:?} {warnings:?}");
    outputs
}

#[test]
fn outputs_in_any_ui_shape_are_collected_in_graph_order() {
    let outputs = json!({
        "9": {"images": [{"filename": "a.webp", "subfolder": "", "type": "output"}], "animated": [true]},
        "10": {"gifs": [[{"filename": "b.mp4", "subfolder": "v", "type": "temp", "format": "video/h264"}]]},
        "2": {"text": ["t", ["u"], 7], "value": ["not a text"], "string": "s"},
        "3": {"audio": {"filename": "c.flac"}, "result": null, "a": 1},
        "1.0.0.1": {"images": [{"filename": "d.png", "subfolder": "", "type": "temp"}]},
    })
    .to_string();
    let outputs_found = collect(&outputs, None, &graph(&["10", "9", "1", "2", "3"]));
    assert_eq!(
        outputs_found,
        [
            file("10", "gifs", "b.mp4", "v", "temp", false),
            file("9", "images", "a.webp", "", "output", true),
            file("1", "images", "d.png", "", "temp", false),
            text("2", "t"),
            text("2", "u"),
            text("2", "7"),
            value("2", "value", OutputKind::Text, "not a text"),
            value("2", "string", OutputKind::Text, "s"),
            file("3", "audio", "c.flac", "", "output", false),
            value("3", "a", OutputKind::Number, "1"),
        ]
    );
}

/// Bug report 7: scores, tags, poses.
#[test]
fn values_of_any_key_are_outputs_of_their_kind() {
    for (ui, expected) in [
        (
            r#"{"value":[0.873,true]}"#,
            vec![("value", OutputKind::Number, "0.873"), ("value", OutputKind::Boolean, "true")],
        ),
        (r#"{"tags":["cat, dog"]}"#, vec![("tags", OutputKind::Text, "cat, dog")]),
        (
            r#"{"openpose_json":["[{\"people\": []}]"]}"#,
            vec![("openpose_json", OutputKind::Json, r#"[{"people": []}]"#)],
        ),
        (r#"{"text":["{\"a\": 1}"]}"#, vec![("text", OutputKind::Text, r#"{"a": 1}"#)]),
        (
            r#"{"bboxes":[[0,1,2.5],[3,4,5]]}"#,
            vec![("bboxes", OutputKind::Json, "[0,1,2.5]"), ("bboxes", OutputKind::Json, "[3,4,5]")],
        ),
        (r#"{"meta":{"a":{"b":null}}}"#, vec![("meta", OutputKind::Json, r#"{"a":{"b":null}}"#)]),
        (r#"{"meta":[{"filenames":["a.png"]}]}"#, vec![("meta", OutputKind::Json, r#"{"filenames":["a.png"]}"#)]),
        (r#"{"count":18446744073709551615}"#, vec![("count", OutputKind::Number, "18446744073709551615")]),
        (r#"{"animated":["slow"]}"#, vec![("animated", OutputKind::Text, "slow")]),
        (r#"{"a":null,"b":[],"c":{},"d":[null,[],{}],"animated":[true],"e":[{"filename":null}]}"#, vec![]),
        (r#"{"images":[{"source":"websocket","content-type":"image/png","type":"output"}]}"#, vec![]),
    ] {
        let expected: Vec<_> = expected.iter().map(|&(key, kind, text)| value("1", key, kind, text)).collect();
        assert_eq!(collect(&format!(r#"{{"1":{ui}}}"#), None, &[]), expected, "{ui}");
    }
    let many = json!({"1": {"value": (0..=limits::VALUES_MAX).collect::<Vec<_>>()}}).to_string();
    let found = collect(&many, None, &[]);
    assert!(matches!(&found[..], [NodeOutput::Value { kind: OutputKind::Json, .. }]), "{found:?}");
}

/// Protocol §18: savers of 3D files.
#[test]
fn a_bare_path_of_a_3d_file_is_a_file() {
    let outputs = |ui: &str| collect(&format!(r#"{{"1":{ui}}}"#), None, &[]);
    for (ui, expected) in [
        (r#"{"result":["3d/x_00001.glb",null,[]]}"#, bare_path("1", "x_00001.glb", "3d", "output")),
        (r#"{"result":["p_1f.GLB",null,null]}"#, bare_path("1", "p_1f.GLB", "", "output")),
        (r#"{"result":"a\\b/c.ply"}"#, bare_path("1", "c.ply", "a\\b", "output")),
        (r#"{"result":[["c.ksplat"]]}"#, bare_path("1", "c.ksplat", "", "output")),
        (r#"{"result":["c.spz [temp]"]}"#, bare_path("1", "c.spz", "", "temp")),
        (r#"{"result":["/srv/out/hy/a.glb"]}"#, bare_path("1", "a.glb", "/srv/out/hy", "output")),
        (r#"{"result":["C:\\out\\a.obj"]}"#, bare_path("1", "a.obj", "C:\\out", "output")),
    ] {
        assert_eq!(outputs(ui), [expected], "{ui}");
    }
    for text in ["../a.stl", ".obj", "a.obj.txt", "two\nlines.obj"] {
        let found = outputs(&json!({"result": [text]}).to_string());
        assert_eq!(found, [value("1", "result", OutputKind::Text, text)], "{text}");
    }
    assert_eq!(outputs(r#"{"text":["a.glb"]}"#), [text("1", "a.glb")]);
}

/// Bug report 8: long texts are whole, and none is missing.
#[test]
fn long_values_are_whole_and_marked_to_be_stored() {
    let long = format!("[{}1]", "1, ".repeat(100_000));
    let outputs = json!({"1": {"text": [long.clone(), "short"], "data": long}}).to_string();
    let found: Vec<_> = collect(&outputs, None, &[])
        .into_iter()
        .map(|output| match output {
            NodeOutput::Value { kind, text, is_short, .. } => (kind, text, is_short),
            NodeOutput::File { .. } | NodeOutput::Picture { .. } => panic!(),
        })
        .collect();
    let expected = [
        (OutputKind::Text, long.clone(), false),
        (OutputKind::Text, "short".to_owned(), true),
        (OutputKind::Json, long, false),
    ];
    assert_eq!(found, expected);
    let sixty = json!({"1": {"text": vec!["x".repeat(60_000); 60]}}).to_string();
    let found = collect(&sixty, None, &[]);
    let short = found.iter().filter(|output| matches!(output, NodeOutput::Value { is_short: true, .. })).count();
    assert_eq!((found.len(), short), (60, limits::TEXTS_BYTES_MAX / 60_000));
}

#[test]
fn without_a_graph_nodes_are_sorted_by_number() {
    let outputs = r#"{"10":{"text":["b"]},"9":{"text":["a"]},"x":{"text":["c"]}}"#;
    assert_eq!(collect(outputs, None, &[]), [text("9", "a"), text("10", "b"), text("x", "c")]);
}

#[test]
fn meta_gives_the_display_id_of_an_expanded_node() {
    let outputs_found = collect(
        r#"{"x-7":{"text":["a"]}}"#,
        Some(r#"{"x-7":{"node_id":"x-7","display_node":"4","parent_node":"4"}}"#),
        &graph(&["4"]),
    );
    assert_eq!(outputs_found, [text("4", "a")]);
}

#[test]
fn a_hostile_name_is_a_fault_and_the_rest_is_kept() {
    let long = "x".repeat(2_000);
    let hostile = [
        json!({"filename": "../../etc/passwd"}),
        json!({"filename": "..\\x"}),
        json!({"filename": ".."}),
        json!({"filename": ""}),
        json!({"filename": "a\r\nX: y"}),
        json!({"filename": "a\u{0}"}),
        json!({"filename": 5}),
        json!({"filename": long}),
        json!({"filename": "ok", "subfolder": "../.."}),
        json!({"filename": "ok", "subfolder": "a/../../b"}),
        json!({"filename": "ok", "subfolder": {"a": 1}}),
        json!({"filename": "ok", "type": 1}),
    ];
    let fine = json!({"filename": "fine ü.png", "subfolder": "win\\dows", "type": null});
    for name in hostile {
        let outputs = json!({"1": {"images": [name, fine, {"filename": null}]}}).to_string();
        let Collected { outputs, fault, warnings } = super::collect(&outputs, None, &[]);
        assert_eq!(outputs, [file("1", "images", "fine ü.png", "win\\dows", "output", false)], "{name}");
        assert!(warnings[0].message.contains("name"), "{name}: {warnings:?}");
        let fault = fault.unwrap();
        assert_eq!((fault.kind, fault.node_id.as_deref()), (FailureKind::OutputUnavailable, Some("1")), "{name}");
        assert!(fault.message.contains("name") && fault.message.len() < 300, "{name}: {}", fault.message);
    }
}

/// Savers of buckets and of other services.
#[test]
fn a_file_at_another_place_is_kept_as_json_with_a_warning() {
    for place in [
        json!({"filename": "a.png", "subfolder": "", "type": "s3"}),
        json!({"filename": "https://example.com/a.png", "type": "output"}),
    ] {
        let outputs = json!({"1": {"images": [place, {"filename": "b.png"}]}}).to_string();
        let Collected { outputs, fault, warnings } = super::collect(&outputs, None, &[]);
        let expected = [
            value("1", "images", OutputKind::Json, &place.to_string()),
            file("1", "images", "b.png", "", "output", false),
        ];
        assert_eq!(outputs, expected);
        assert!(fault.is_none(), "{fault:?}");
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(warning.code == "output_dropped" && warning.message.contains("kept as JSON"), "{warning:?}");
    }
}

#[test]
fn a_file_listed_twice_is_collected_once() {
    let outputs = r#"{"1":{"images":[{"filename":"a"},{"filename":"a"}],"gifs":[{"filename":"a"}]}}"#;
    assert_eq!(collect(outputs, None, &[]).len(), 1);
}

#[test]
fn outputs_are_bounded() {
    let images: Vec<_> = (0..limits::OUTPUTS_MAX + 10).map(|n| json!({"filename": format!("{n}.png")})).collect();
    let outputs = json!({"1": {"images": images}, "2": {"text": ["x".repeat(8_000_000)]}}).to_string();
    let Collected { outputs, fault, .. } = super::collect(&outputs, None, &[]);
    assert_eq!((outputs.len(), fault.unwrap().kind), (limits::OUTPUTS_MAX, FailureKind::OutputTooLarge));
    let texts: serde_json::Map<String, serde_json::Value> =
        (0..limits::OUTPUTS_MAX / 4 + 3).map(|n| (n.to_string(), json!({"text": vec!["a"; 4]}))).collect();
    let Collected { outputs, warnings, fault } = super::collect(&serde_json::to_string(&texts).unwrap(), None, &[]);
    assert_eq!((outputs.len(), fault.is_none()), (limits::OUTPUTS_MAX, true));
    let last = warnings.last().unwrap();
    assert_eq!((warnings.len(), last.code.as_str(), last.key.as_deref()), (3, "output_dropped", Some("text")));
    assert!(last.message.contains("node 1026") && last.message.contains("4096"), "{}", last.message);
}

/// Each prefix of the id was hashed: minutes for megabytes.
#[test]
fn a_long_node_id_is_cut_before_it_is_looked_at() {
    let long = "a.".repeat(2 << 20);
    let outputs = format!(r#"{{"{long}":{{"text":["t"]}}}}"#);
    let found = collect(&outputs, Some(&format!(r#"{{"{long}":{{"display_node":"{long}"}}}}"#)), &graph(&["a"]));
    assert_eq!(found, [text("a", "t")]);
    let lookups = std::cell::Cell::new(0);
    let count = |_: &str| {
        lookups.set(lookups.get() + 1);
        false
    };
    assert_eq!(ancestor(&long, count), None);
    assert!(lookups.get() <= limits::NODE_ID_BYTES_MAX, "{}", lookups.get());
}

#[test]
fn a_flag_for_each_file_says_whether_it_is_animated() {
    let outputs = r#"{"1":{"images":[{"filename":"a"},{"filename":"b"},{"filename":"c"}],"animated":[false,true]}}"#;
    let flags: Vec<bool> = collect(outputs, None, &[])
        .iter()
        .map(|output| matches!(output, NodeOutput::File { animated: true, .. }))
        .collect();
    assert_eq!(flags, [false, true, false]);
}

proptest! {
    #[test]
    fn no_outputs_panic(outputs in "[\\[\\]{}\",:a-z0-9 .]{0,80}") {
        super::collect(&outputs, Some(&outputs), &[]);
        super::collect(&format!("{{\"1\":{{\"images\":{outputs}}}}}"), None, &[]);
    }
}

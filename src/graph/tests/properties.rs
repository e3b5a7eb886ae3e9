//! Properties of all graphs and all params.

use super::{GRAPH, LIMITS, Options, Workflow, convert::pool, graph, raw, resolve};
use crate::graph::{Catalog, FleetCatalog, Member};
use crate::task::InstanceId;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use std::sync::Arc;

fn number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?"
}

/// Strategy of words with a meaning here, and of any text.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "3",
        "6",
        "57",
        "57:8",
        "seed",
        "6.text",
        "3.seed",
        "57:KSampler.seed",
        "57:8.image",
        "@Prompt.text",
        "@Prompt[*]",
        "inputs",
        "class_type",
        "_meta",
        "$file",
        "$random",
        "$link",
        "$force",
        "$literal",
        "$unset",
        "$url",
        "sha256",
        "https://x/a.png",
        "__type",
        "core/ASSET",
        "info",
        "id",
        "nodeId",
        "fieldName",
        "fieldValue",
        "nodes",
        "min",
        "KSampler",
        "random",
        "$base64",
        "prompt",
        "filename",
        "{{a}}",
        "{{a:1}} b",
        r"\{{a}}",
        "a",
        "$a",
        ".",
        ":",
        "@",
        "",
    ];
    prop_oneof![3 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn quoted() -> impl Strategy<Value = String> {
    prop_oneof![4 => word().prop_map(|word| serde_json::to_string(&word).unwrap()), 1 => Just(r#""\ud800""#.to_owned())]
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![number(), quoted(), Just("null".to_owned()), Just("true".to_owned()), Just("-1".to_owned())];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(", ")));
        let members = prop::collection::vec((quoted(), inner), 0..5);
        let object = members.prop_map(|members| {
            let members: Vec<String> = members.into_iter().map(|(key, value)| format!("{key} :{value}")).collect();
            format!("{{{}}}", members.join(","))
        });
        prop_oneof![list, object]
    })
}

/// Strategy of nodes with numbered inputs of plain values: `{"0":{"class_type":"N","inputs":{"i0":…}}}`.
fn plain_graph() -> impl Strategy<Value = Vec<Vec<String>>> {
    let value = prop_oneof![number(), Just(r#""t\u00e9xt""#.to_owned()), Just(r#"{"__value__":["1", 0]}"#.to_owned())];
    prop::collection::vec(prop::collection::vec(value, 1..6), 1..6)
}

fn written(nodes: &[Vec<String>]) -> String {
    let inputs = |list: &[String]| {
        list.iter().enumerate().map(|(at, value)| format!(r#""i{at}":{value}"#)).collect::<Vec<_>>().join(",")
    };
    let node =
        |(id, list): (usize, &Vec<String>)| format!(r#""{id}":{{"class_type":"N","inputs":{{{}}}}}"#, inputs(list));
    format!("{{{}}}", nodes.iter().enumerate().map(node).collect::<Vec<_>>().join(","))
}

/// Strategy of graphs roughly in the editor's format, with some valid ids, classes, slots and links.
fn editor_graph() -> impl Strategy<Value = String> {
    let id = prop::sample::select(vec!["1", "2", "3", "\"4\"", "-10", "-20", "null"]);
    let class = prop::sample::select(vec![
        "KSampler",
        "Reroute",
        "PrimitiveNode",
        "Note",
        "LoadImage",
        "SaveImage",
        "g",
        "EmptyLatentImage",
        "?",
    ]);
    let slot = (
        prop::sample::select(vec!["model", "image", "images", "width", "", "x"]),
        prop::sample::select(vec!["\"*\"", "\"IMAGE\"", "\"INT,FLOAT\"", "0", "[]"]),
        id.clone(),
        any::<bool>(),
    );
    let slot = slot.prop_map(|(name, kind, link, is_widget)| {
        let widget = if is_widget { r#","widget":{"name":"width"}"# } else { "" };
        format!(r#"{{"name":"{name}","type":{kind},"link":{link}{widget}}}"#)
    });
    let slots = prop::collection::vec(slot, 0..3).prop_map(|slots| slots.join(","));
    let node =
        (id.clone(), class, prop::sample::select(vec!["0", "2", "4", "7"]), slots, prop::collection::vec(json(), 0..4));
    let node = node.prop_map(|(id, class, mode, slots, values)| {
        format!(r#"{{"id":{id},"type":"{class}","mode":{mode},"inputs":[{slots}],"outputs":[{{"type":"IMAGE"}}],"widgets_values":[{}]}}"#, values.join(","))
    });
    let nodes = prop::collection::vec(prop_oneof![9 => node, 1 => json()], 0..5).prop_map(|nodes| nodes.join(","));
    let link = (id.clone(), id.clone(), 0..3_u8, id, 0..3_u8);
    let link = link.prop_map(|(id, from, slot, to, at)| format!(r#"[{id},{from},{slot},{to},{at},"*"]"#));
    let links = prop::collection::vec(prop_oneof![9 => link, 1 => json()], 0..6).prop_map(|links| links.join(","));
    (nodes.clone(), links.clone(), nodes, links).prop_map(|(nodes, links, inner, within)| {
        format!(r#"{{"nodes":[{nodes}],"links":[{links}],"definitions":{{"subgraphs":[{{"id":"g","inputs":[{{"name":"image"}}],"nodes":[{inner}],"links":[{within}]}}]}}}}"#)
    })
}

proptest! {
    #[test]
    fn no_graph_makes_parse_panic(json in json()) {
        if let Ok(workflow) = Workflow::parse(raw(&json), LIMITS) {
            let json = workflow.to_json();
            let again = Workflow::from_stored(&json).map(|workflow| workflow.to_json());
            prop_assert_eq!(again.as_deref().map(serde_json::value::RawValue::get), Some(json.get()));
        }
    }

    #[test]
    fn no_params_make_resolve_panic_and_the_result_is_a_graph(params in json()) {
        match resolve(&graph(), raw(&params)) {
            Ok(resolved) => {
                let before = graph();
                prop_assert!(Workflow::parse(&resolved.workflow.to_json(), LIMITS).is_ok());
                prop_assert_eq!(resolved.workflow.node_ids(), before.node_ids());
                for id in before.node_ids() {
                    prop_assert_eq!(resolved.workflow.class_of(id), before.class_of(id));
                }
            }
            Err(problems) => prop_assert!(!problems.is_empty() && problems.len() <= 100),
        }
    }

    #[test]
    fn only_named_inputs_change_and_numbers_keep_their_bytes(
        nodes in plain_graph(),
        picks in prop::collection::btree_map((0..6_usize, 0..6_usize), number(), 0..6),
    ) {
        let picks: Vec<_> = picks.into_iter().filter(|((node, input), _)| nodes.get(*node).is_some_and(|list| *input < list.len())).collect();
        let mut expected = nodes.clone();
        let params: Vec<String> = picks.iter().map(|((node, input), value)| format!(r#""{node}.i{input}": {value}"#)).collect();
        for ((node, input), value) in picks {
            expected[node][input] = value;
        }
        let workflow = Workflow::parse(raw(&written(&nodes)), LIMITS).unwrap();
        let resolved = resolve(&workflow, raw(&format!("{{{}}}", params.join(",")))).unwrap();
        let json = resolved.workflow.to_json();
        prop_assert_eq!(json.get(), written(&expected));
    }

    #[test]
    fn a_text_is_set_exactly(text in any::<String>()) {
        let params = serde_json::to_string(&serde_json::json!({ "6.text": text })).unwrap();
        let resolved = resolve(&graph(), raw(&params)).unwrap();
        let json: serde_json::Value = serde_json::from_str(resolved.workflow.to_json().get()).unwrap();
        prop_assert_eq!(json["6"]["inputs"]["text"].as_str(), Some(text.as_str()));
        let mut expected: serde_json::Value = serde_json::from_str(GRAPH).unwrap();
        expected["6"]["inputs"]["text"] = text.into();
        prop_assert_eq!(json, expected);
    }

    #[test]
    fn no_params_make_resolve_panic_with_a_fleet(params in json(), is_strict in any::<bool>(), all in any::<bool>()) {
        let listed = include_str!("../../sim/nodes/classes.json");
        let pool = FleetCatalog::new([
            Member { instance: InstanceId::new("a:1"), is_alive: true, catalog: Catalog::parse(listed).map(Arc::new) },
            Member { instance: InstanceId::new("b:1"), is_alive: true, catalog: None },
        ]);
        let options = Options { is_strict, randomizes_seeds: all, maps_names: all, pool: Some(&pool), ..Options::default() };
        match crate::graph::resolve(&graph(), raw(&params), &options) {
            Ok(resolved) => prop_assert!(Workflow::parse(&resolved.workflow.to_json(), LIMITS).is_ok()),
            Err(problems) => prop_assert!(!problems.is_empty() && problems.len() <= 100),
        }
    }

    #[test]
    fn a_placeholder_is_filled_exactly(text in any::<String>(), other in any::<String>()) {
        let graph = r#"{"1":{"class_type":"A","inputs":{"x":"<{{a}}|{{b}}>","y":1.10}}}"#;
        let params = serde_json::to_string(&serde_json::json!({ "a": text, "b": other })).unwrap();
        let resolved = resolve(&Workflow::parse(raw(graph), LIMITS).unwrap(), raw(&params)).unwrap();
        let written = resolved.workflow.to_json();
        let is_kept = written.get().ends_with(r#","y":1.10}}}"#);
        prop_assert!(is_kept);
        let json: serde_json::Value = serde_json::from_str(written.get()).unwrap();
        let expected = format!("<{text}|{other}>");
        prop_assert_eq!(json["1"]["inputs"]["x"].as_str(), Some(expected.as_str()));
    }

    #[test]
    fn isolate_keeps_every_prefix_inside_the_folder(prefix in "[./\\\\ a%]{0,12}") {
        let graph = serde_json::json!({"1": {"class_type": "S", "inputs": {"filename_prefix": prefix}}}).to_string();
        let mut workflow = Workflow::parse(raw(&graph), LIMITS).unwrap();
        workflow.isolate("folder", None);
        let json: serde_json::Value = serde_json::from_str(workflow.to_json().get()).unwrap();
        let put = json["1"]["inputs"]["filename_prefix"].as_str().unwrap().to_owned();
        prop_assert!(put.starts_with("folder/"));
        prop_assert!(put.split(['/', '\\']).all(|segment| !matches!(segment.trim(), "" | "." | "..")), "{}", put);
    }

    #[test]
    fn no_editor_graph_makes_the_conversion_panic(ui in editor_graph()) {
        match Workflow::read(raw(&ui), LIMITS, &pool()) {
            Ok((workflow, warnings)) => {
                prop_assert!(Workflow::parse(&workflow.to_json(), LIMITS).is_ok());
                prop_assert_eq!(warnings[0].code.as_str(), "workflow_converted");
            }
            Err(problems) => prop_assert!(!problems.is_empty() && problems.len() <= 100),
        }
    }

    #[test]
    fn a_converted_value_keeps_its_bytes(seed in number(), cfg in number(), text in any::<String>()) {
        let text = serde_json::to_string(&text.replace(['/', '{', '\\'], "")).unwrap();
        let ui = format!(r#"{{"nodes":[{{"id":3,"type":"KSampler","inputs":[{}],"widgets_values":[{seed},"fixed",20,{cfg},"euler","normal",1]}},{{"id":6,"type":"CLIPTextEncode","inputs":[{{"name":"clip"}}],"widgets_values":[{text}]}}],"links":[]}}"#,
            ["model", "positive", "negative", "latent_image"].map(|name| format!(r#"{{"name":"{name}"}}"#)).join(","));
        let (workflow, _) = Workflow::read(raw(&ui), LIMITS, &pool()).unwrap();
        let json = workflow.to_json();
        let has = |part: &str| json.get().contains(part);
        let (seed, cfg, text) = (format!(r#""seed":{seed},"#), format!(r#""cfg":{cfg},"#), format!(r#""text":{text}}}"#));
        prop_assert!(has(&seed) && has(&cfg) && has(&text), "{}", json.get());
    }

    #[test]
    fn the_array_form_sets_what_the_path_form_sets(entries in prop::collection::vec((prop::sample::select(vec!["3", "6", "7", "57", "57:8", "9"]), prop::sample::select(vec!["text", "seed", "image", "opts.mode", "x"]), number()), 0..4)) {
        let list: Vec<String> = entries.iter().map(|(id, input, value)| format!(r#"{{"nodeId":"{id}","fieldName":"{input}","fieldValue":{value}}}"#)).collect();
        let listed = resolve(&graph(), raw(&format!("[{}]", list.join(","))));
        let mut seen = std::collections::HashSet::new();
        if entries.iter().all(|(id, input, _)| seen.insert((id, input))) {
            let paths: Vec<String> = entries.iter().map(|(id, input, value)| format!(r#""{id}.{input}":{value}"#)).collect();
            let paths = resolve(&graph(), raw(&format!("{{{}}}", paths.join(","))));
            prop_assert_eq!(listed.is_ok(), paths.is_ok());
            if let (Ok(listed), Ok(paths)) = (listed, paths) {
                let (listed, paths) = (listed.workflow.to_json(), paths.workflow.to_json());
                prop_assert_eq!(listed.get(), paths.get());
            }
        }
    }

    #[test]
    fn only_the_titled_input_changes(title in "[a-z.@$ ]{1,8}", text in any::<String>()) {
        let graph = serde_json::json!({
            "1": {"class_type": "A", "inputs": {"text": "x", "n": 1}, "_meta": {"title": title}},
            "2": {"class_type": "A", "inputs": {"text": "x"}, "_meta": {"title": format!("{title}!")}}
        });
        let params = serde_json::json!({format!("@{title}.text"): text}).to_string();
        let resolved = resolve(&Workflow::parse(raw(&graph.to_string()), LIMITS).unwrap(), raw(&params)).unwrap();
        let mut expected = graph;
        expected["1"]["inputs"]["text"] = text.into();
        let written: serde_json::Value = serde_json::from_str(resolved.workflow.to_json().get()).unwrap();
        prop_assert_eq!(written, expected);
    }
}

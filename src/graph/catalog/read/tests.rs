//! Tests of reading catalogs.

use crate::graph::catalog::{Catalog, Kind};
use proptest::prelude::{any, proptest};

fn kind(spec: &str) -> Kind {
    let json = format!(r#"{{"A":{{"input":{{"required":{{"x":{spec}}}}}}}}}"#);
    Catalog::parse(&json).unwrap().class("A").unwrap().input("x").unwrap().kind.clone()
}

fn choice(values: &[&str]) -> Kind {
    Kind::Choice(values.iter().map(|&value| value.to_owned()).collect())
}

#[test]
fn every_form_of_a_spec_is_read() {
    for (spec, expected) in [
        (r#"["INT",{"min":0,"max":18446744073709551615}]"#, Kind::Int { min: Some(0), max: Some(u64::MAX.into()) }),
        (r#"["INT",{"min":-9223372036854775808}]"#, Kind::Int { min: Some(i64::MIN.into()), max: None }),
        (r#"["INT",{"min":0.5,"max":1e3}]"#, Kind::Int { min: Some(1), max: Some(1_000) }),
        (r#"["INT"]"#, Kind::Int { min: None, max: None }),
        (r#"["FLOAT",{"min":-1,"max":null}]"#, Kind::Float { min: Some(-1.0), max: None }),
        (r#"["BOOLEAN",{"default":true}]"#, Kind::Boolean),
        (r#"["STRING",{"multiline":true}]"#, Kind::Text),
        (r#"[["b","a","a"]]"#, choice(&[r#""a""#, r#""b""#])),
        (r#"[[512,1.5,true,"\u0061"],{"tooltip":"x"}]"#, choice(&[r#""a""#, "1.5", "512", "true"])),
        (r#"["COMBO",{"options":["a"],"multiselect":false}]"#, choice(&[r#""a""#])),
        (r#"["COMBO",{"options":[]}]"#, choice(&[])),
        (r#"["COMBO",{"options":["a"],"multiselect":true}]"#, Kind::Open),
        (r#"["COMBO",{"remote":{"route":"/x"}}]"#, Kind::Open),
        (r#"["COMBO"]"#, Kind::Open),
        (r#"[["a.png"],{"image_upload":true}]"#, Kind::Open),
        (r#"[[{"a":1}]]"#, Kind::Open),
        (r#"["IMAGE"]"#, Kind::Open),
        (r#"["*",{}]"#, Kind::Open),
        (r#"["INT,FLOAT",{}]"#, Kind::Open),
        (r#"[]"#, Kind::Open),
        (r#""PROMPT""#, Kind::Open),
        ("null", Kind::Open),
    ] {
        assert_eq!(kind(spec), expected, "{spec}");
    }
}

#[test]
fn sections_flags_and_output_nodes_are_read() {
    let json = r#"{"A":{"input":{"required":{"seed":["INT",{"control_after_generate":true}]},"optional":{"image":["COMBO",{"image_upload":true}]},"hidden":{"id":"UNIQUE_ID"}},"output_node":true},"B":{"input":{}},"C":{},"D":null}"#;
    let catalog = Catalog::parse(json).unwrap();
    let (a, b) = (catalog.class("A").unwrap(), catalog.class("B").unwrap());
    assert!(a.is_output && !b.is_output && catalog.class("C").is_some() && catalog.class("D").is_none());
    let (seed, image) = (a.input("seed").unwrap(), a.input("image").unwrap());
    assert!(seed.is_required && seed.is_seed && !seed.is_upload);
    assert!(!image.is_required && image.is_upload && a.input("id").is_none());
    for none in ["", "null", "[]", "{}", r#"{"A":null}"#, "<html>"] {
        assert!(Catalog::parse(none).is_none(), "{none}");
    }
}

#[test]
fn only_the_urls_of_a_file_list_are_kept() {
    for spec in [
        r#"[["b.png","https://x/b","http://x/a"],{"image_upload":true}]"#,
        r#"["COMBO",{"options":["https://x/b","http://x/a",7],"file_upload":true}]"#,
    ] {
        let json = format!(r#"{{"A":{{"input":{{"required":{{"x":{spec}}}}}}}}}"#);
        let catalog = Catalog::parse(&json).unwrap();
        assert_eq!(catalog.class("A").unwrap().input("x").unwrap().urls, ["http://x/a", "https://x/b"], "{spec}");
        assert_eq!(Catalog::from_json(&catalog.to_json()), Some(catalog));
    }
    let plain = Catalog::parse(r#"{"A":{"input":{"required":{"x":[["https://x/b"]]}}}}"#).unwrap();
    assert!(!plain.to_json().contains("\"l\""), "a combo's own values are its choices");
}

#[test]
fn form_hints_and_the_editors_order_are_kept() {
    let json = r#"{"A":{"input":{"required":{"z":["IMAGE"],"b":["INT",{"default":18446744073709551615,"step":8,"tooltip":"t","round":1}]},"optional":{"a":["STRING",{"forceInput":true,"dynamicPrompts":true}],"up":[["x.png"],{"image_upload":true,"default":"x.png"}],"z":["MASK"]}},
        "output":["IMAGE",["x","y"]],"output_name":["picture"],"display_name":"An A","name":"A","category":"c/d"}}"#;
    let catalog = Catalog::from_json(&Catalog::parse(json).unwrap().to_json()).unwrap();
    let class = catalog.class("A").unwrap();
    let order: Vec<&str> = class.in_order().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(order, ["z", "b", "a", "up"]);
    let of = |name: &str| class.input(name).unwrap();
    assert_eq!((of("z").type_name(), of("z").is_widget(), of("z").is_required), ("IMAGE", false, true));
    assert_eq!((of("b").type_name(), of("b").default_value().unwrap().get()), ("INT", "18446744073709551615"));
    assert_eq!(of("b").hints.as_deref(), Some(r#"{"default":18446744073709551615,"step":8,"tooltip":"t"}"#));
    assert!(of("b").is_widget() && of("up").is_widget() && !of("a").is_widget() && of("a").is_dynamic);
    assert_eq!((of("up").type_name(), &of("up").hints), ("COMBO", &None), "a file in a folder is no default");
    assert_eq!((class.title.as_deref(), class.category.as_str()), (Some("An A"), "c/d"));
    let outputs: Vec<(&str, &str)> = class.outputs.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    assert_eq!(outputs, [("picture", "IMAGE"), ("COMBO", "COMBO")]);
    let old = Catalog::from_json(r#"{"A":{"i":{"b":{"k":{"i":{"min":0,"max":1}}}}}}"#).unwrap();
    assert!(old.class("A").unwrap().in_order().is_none(), "a catalog stored earlier has no order");
}

/// The stand-in's `/object_info` is an excerpt of a real instance's.
#[test]
fn a_real_object_info_is_read_and_round_trips() {
    let catalog = Catalog::parse(include_str!("../../../sim/nodes/classes.json")).unwrap();
    let sampler = catalog.class("KSampler").unwrap();
    assert_eq!(sampler.input("seed").unwrap().kind, Kind::Int { min: Some(0), max: Some(u64::MAX.into()) });
    assert_eq!(sampler.input("cfg").unwrap().kind, Kind::Float { min: Some(0.0), max: Some(100.0) });
    assert!(matches!(&sampler.input("sampler_name").unwrap().kind, Kind::Choice(all) if all.len() > 30));
    assert!(sampler.input("seed").unwrap().is_seed && catalog.class("SaveImage").unwrap().is_output);
    let again = Catalog::from_json(&catalog.to_json()).unwrap();
    assert_eq!((again.to_json(), again), (catalog.to_json(), catalog));
}

#[test]
fn a_class_that_the_instance_replaces_is_taken_and_not_listed() {
    let mut catalog = Catalog::parse(r#"{"New":{"output_node":true},"Kept":{}}"#).unwrap();
    catalog.add_replaced(
        r#"{"Old":[{"new_node_id":"New"}],"Kept":[{"new_node_id":"New"}],"Lost":[{"new_node_id":"Gone"}],"Odd":7}"#,
    );
    assert!(catalog.has_class("Old") && catalog.is_output("Old") && catalog.class("Old").is_none());
    assert!(!catalog.has_class("Lost") && !catalog.has_class("Odd") && catalog.class("Kept").is_some());
    assert_eq!(catalog.classes().count(), 2);
    assert_eq!(Catalog::from_json(&catalog.to_json()), Some(catalog));
}

proptest! {
    #[test]
    fn nothing_panics(spec in "[\\[\\]{}\",:a-z0-9.-]{0,40}", name in any::<String>()) {
        let name = serde_json::to_string(&name).unwrap();
        if let Some(catalog) = Catalog::parse(&format!(r#"{{{name}:{{"input":{{"required":{{"x":{spec}}}}}}}}}"#)) {
            assert_eq!(Catalog::from_json(&catalog.to_json()), Some(catalog));
        }
    }
}

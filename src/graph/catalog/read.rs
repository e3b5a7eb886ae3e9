//! From `/object_info` to a [`Catalog`]: V1 and V3 forms; what is not understood is left to the instance to judge.

use super::{Catalog, Class, Input, Kind};
use crate::graph::raw;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Options that say: this input takes a file.
const UPLOADS: [&str; 4] = ["image_upload", "video_upload", "audio_upload", "file_upload"];

impl Catalog {
    /// Reads `{class: {"input": {"required": {name: spec}, "optional": {…}}, "output_node": bool}}`, where a spec is
    /// `["INT",{min,max,…}]`, `["IMAGE"]`, a V1 combo `[["a","b"],{…}]` or a V3 combo `["COMBO",{"options":["a","b"],…}]`.
    /// `None` when it is not of that form at all. `NaN` and its like must have been replaced before.
    pub fn parse(object_info: &str) -> Option<Self> {
        let classes = raw::members(serde_json::from_str(object_info).ok()?)?;
        let classes: BTreeMap<String, Class> =
            classes.into_iter().filter_map(|(name, info)| Some((name, class(info)?))).collect();
        (!classes.is_empty()).then_some(Self { classes })
    }

    /// Reads back what [`Catalog::to_json`] wrote.
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// As JSON; equal catalogs give equal texts.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("maps of strings and finite numbers always serialise")
    }
}

fn class(info: &RawValue) -> Option<Class> {
    let members = raw::members(info)?;
    let sections = member(&members, "input").and_then(raw::members).unwrap_or_default();
    let mut inputs = BTreeMap::new();
    for (section, is_required) in [("optional", false), ("required", true)] {
        let declared = member(&sections, section).and_then(raw::members).unwrap_or_default();
        inputs.extend(declared.into_iter().map(|(name, spec)| (name, input(spec, is_required))));
    }
    let is_output = member(&members, "output_node").is_some_and(|is_output| is_output.get() == "true");
    Some(Class { is_output, inputs })
}

fn input(spec: &RawValue, is_required: bool) -> Input {
    let parts = raw::elements(spec).unwrap_or_default();
    let options = parts.get(1).and_then(|options| raw::members(options)).unwrap_or_default();
    let is_set =
        |name: &str| member(&options, name).is_some_and(|value| !matches!(value.get(), "false" | "null" | "\"\""));
    let is_upload = UPLOADS.iter().any(|name| is_set(name));
    let kind = match parts.first() {
        // The list of such a combo is what lay in the folder when it was asked; several at once are no single value.
        _ if is_upload || is_set("multiselect") || is_set("remote") => Kind::Open,
        Some(list) if raw::is_array(list) => choices(list),
        Some(name) => match raw::text(name).as_deref() {
            Some("INT") => Kind::Int {
                min: member(&options, "min").and_then(|bound| whole(bound, f64::ceil)),
                max: member(&options, "max").and_then(|bound| whole(bound, f64::floor)),
            },
            Some("FLOAT") => Kind::Float {
                min: member(&options, "min").and_then(finite),
                max: member(&options, "max").and_then(finite),
            },
            Some("BOOLEAN") => Kind::Boolean,
            Some("STRING") => Kind::Text,
            Some("COMBO") => member(&options, "options").map_or(Kind::Open, choices),
            _ => Kind::Open,
        },
        None => Kind::Open,
    };
    let urls = if is_upload { listed_urls(&parts, &options) } else { Vec::new() };
    Input { is_required, is_seed: is_set("control_after_generate"), is_upload, urls, kind }
}

/// The URLs among a combo's values.
fn listed_urls(parts: &[&RawValue], options: &[(String, &RawValue)]) -> Vec<String> {
    let list = parts.first().filter(|list| raw::is_array(list)).copied().or_else(|| member(options, "options"));
    let texts = list.and_then(raw::elements).unwrap_or_default().into_iter().filter_map(raw::text);
    let mut urls: Vec<String> = texts.filter(|text| raw::is_url(text)).collect();
    urls.sort_unstable();
    urls
}

fn member<'a>(members: &[(String, &'a RawValue)], name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(key, _)| key == name).map(|&(_, value)| value)
}

/// A combo's values. One that is neither text, number nor boolean cannot be asked for; then the instance judges.
fn choices(list: &RawValue) -> Kind {
    let Some(values) = raw::elements(list) else { return Kind::Open };
    let Some(mut choices) = values.into_iter().map(raw::canonical).collect::<Option<Vec<String>>>() else {
        return Kind::Open;
    };
    choices.sort_unstable();
    choices.dedup();
    Kind::Choice(choices)
}

fn finite(bound: &RawValue) -> Option<f64> {
    bound.get().parse().ok().filter(|bound: &f64| bound.is_finite())
}

#[allow(clippy::cast_possible_truncation, reason = "`as` saturates, and that is what is wanted")]
fn whole(bound: &RawValue, round: fn(f64) -> f64) -> Option<i128> {
    bound.get().parse().ok().or_else(|| finite(bound).map(|bound| round(bound) as i128))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::super::{Catalog, Kind};
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
    fn of_a_list_of_files_only_its_urls_are_kept() {
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

    /// The stand-in's list is cut from a real instance's.
    #[test]
    fn a_real_list_is_read_and_comes_back_the_same() {
        let catalog = Catalog::parse(include_str!("../../sim/classes.json")).unwrap();
        let sampler = catalog.class("KSampler").unwrap();
        assert_eq!(sampler.input("seed").unwrap().kind, Kind::Int { min: Some(0), max: Some(u64::MAX.into()) });
        assert_eq!(sampler.input("cfg").unwrap().kind, Kind::Float { min: Some(0.0), max: Some(100.0) });
        assert!(matches!(&sampler.input("sampler_name").unwrap().kind, Kind::Choice(all) if all.len() > 30));
        assert!(sampler.input("seed").unwrap().is_seed && catalog.class("SaveImage").unwrap().is_output);
        let again = Catalog::from_json(&catalog.to_json()).unwrap();
        assert_eq!((again.to_json(), again), (catalog.to_json(), catalog));
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
}

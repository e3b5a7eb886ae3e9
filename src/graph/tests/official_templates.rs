//! Conversion of the official templates and blueprints, compared with what the editor itself sends. Runs when
//! `SHUZHIREN_TEMPLATES` names a folder with `object_info.json`, `templates/<name>.json` and `blueprint_graphs/<name>.json`
//! (editor graphs), `prompts/<name>.json` and `blueprint_prompts/<name>.json` (the output of the editor's own
//! `graphToPrompt`); nothing of it is part of this repository.

use super::convert::{api, plain, pool_of, read};
use crate::graph::FleetCatalog;
use serde_json::{Map, Value};
use std::{collections::HashMap, fs, path::Path};

/// Graphs that must come out identical: of 499 templates, of 89 blueprints.
const TEMPLATES_MIN: usize = 480;
const BLUEPRINTS_MIN: usize = 80;

#[test]
fn official_templates_come_out_as_the_editor_sends_them() {
    let Some(folder) = std::env::var_os("SHUZHIREN_TEMPLATES") else {
        eprintln!("NOT TESTED: the official templates are not here; set SHUZHIREN_TEMPLATES to their folder");
        return;
    };
    let folder = Path::new(&folder);
    let pool = pool_of(&[&text(&folder.join("object_info.json"))]);
    let templates = identical(&folder.join("templates"), &folder.join("prompts"), &pool);
    let blueprints = identical(&folder.join("blueprint_graphs"), &folder.join("blueprint_prompts"), &pool);
    assert!(templates >= TEMPLATES_MIN, "{templates} templates are identical");
    assert!(blueprints >= BLUEPRINTS_MIN, "{blueprints} blueprints are identical");
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Converts all graphs of which the editor's output is there, prints the differences, and returns how many are the same.
fn identical(graphs: &Path, prompts: &Path, pool: &FleetCatalog) -> usize {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut names: Vec<_> = fs::read_dir(prompts).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for sent in names.iter().filter(|path| path.extension().is_some_and(|kind| kind == "json")) {
        let name = sent.file_stem().unwrap().to_string_lossy();
        let graph: Value = serde_json::from_str(&text(&graphs.join(sent.file_name().unwrap()))).unwrap();
        let sent: Value = serde_json::from_str(&text(sent)).unwrap();
        let verdict = match read(&graph, pool) {
            Ok((workflow, _)) => match difference(&plain(&api(&workflow)), &plain(&sent)) {
                None => "identical",
                Some(difference) if difference.starts_with("ids") => "identical but for ids",
                Some(difference) => {
                    eprintln!("different: {name}: {difference}");
                    "different"
                }
            },
            Err(problems) => {
                let faults: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).take(3).collect();
                eprintln!("refused: {name}: {}", faults.join(" / "));
                "refused"
            }
        };
        *counts.entry(verdict).or_default() += 1;
    }
    eprintln!("{}: {counts:?}", graphs.display());
    ["identical", "identical but for ids"].iter().filter_map(|verdict| counts.get(verdict)).sum()
}

/// Describes the first differences of two graphs; `ids …` if only the ids of nodes differ.
fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    let (ours, theirs) = (ours.as_object().unwrap(), theirs.as_object().unwrap());
    let mut found = Vec::new();
    for (id, node) in ours {
        match theirs.get(id) {
            None => found.push(format!("{id} ({}) is only ours", node["class_type"])),
            Some(other) if other["class_type"] != node["class_type"] => found.push(format!("{id} has another class")),
            Some(other) => {
                let (one, other) = (node["inputs"].as_object().unwrap(), other["inputs"].as_object().unwrap());
                for (name, value) in one {
                    if other.get(name) != Some(value) {
                        let theirs = other.get(name).map_or("nothing".to_owned(), short);
                        found.push(format!("{id}.{name}: ours {}, theirs {theirs}", short(value)));
                    }
                }
                let missing = other.iter().filter(|(name, _)| !one.contains_key(*name));
                found.extend(missing.map(|(name, value)| format!("{id}.{name}: theirs {}", short(value))));
            }
        }
    }
    found.extend(theirs.keys().filter(|id| !ours.contains_key(*id)).map(|id| format!("{id} is only theirs")));
    if found.is_empty() {
        return None;
    }
    let is_renamed = shapes(ours) == shapes(theirs);
    Some(format!("{}{}", if is_renamed { "ids: " } else { "" }, found[..found.len().min(6)].join("; ")))
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    text.chars().take(60).collect()
}

/// Returns the nodes without their ids: each with its values, and the shapes of the nodes that its links come from.
fn shapes(graph: &Map<String, Value>) -> Vec<String> {
    let mut known: HashMap<&str, String> = HashMap::new();
    for _ in 0..12 {
        known = graph
            .iter()
            .map(|(id, node)| {
                let inputs = node["inputs"].as_object().unwrap().iter().map(|(name, value)| match value.as_array() {
                    Some(link) => {
                        let origin = link[0].as_str().and_then(|id| known.get(id)).map_or(0, |shape| hash(shape));
                        format!("{name}<-{origin}:{}", link[1])
                    }
                    None => format!("{name}={value}"),
                });
                let mut inputs: Vec<String> = inputs.collect();
                inputs.sort();
                (id.as_str(), format!("{}({})", node["class_type"], inputs.join(",")))
            })
            .collect();
    }
    let mut shapes: Vec<String> = known.into_values().collect();
    shapes.sort();
    shapes
}

fn hash(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

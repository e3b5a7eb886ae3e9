//! Names of model files as one instance writes them: `SDXL\a.safetensors` on Windows, `SDXL/a.safetensors` elsewhere.

use super::{Catalog, Kind, literal::same_separators};
use crate::{graph::Workflow, json::raw_value};
use serde_json::value::RawValue;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Text of the names kept for one instance, bytes. Beyond it, names are sent as they came.
const BYTES_MAX: usize = 1 << 20;

/// Values in folders of the combos of one instance, as JSON, by class and input.
#[derive(Debug, Default)]
pub struct Spellings(HashMap<String, Vec<(String, Names)>>);

/// Names in folders, shared by all inputs with the same list.
type Names = Arc<[String]>;

impl Spellings {
    /// Collects the names of a catalog.
    pub fn of(catalog: &Catalog) -> Self {
        let (mut classes, mut known, mut bytes) = (HashMap::new(), HashSet::<Names>::new(), 0);
        for (class, declared) in catalog.classes() {
            let mut inputs = Vec::new();
            for (input, declared) in &declared.inputs {
                let Kind::Choice(choices) = &declared.kind else { continue };
                let names: Vec<String> = choices.iter().filter(|name| is_path(name)).cloned().collect();
                if names.is_empty() {
                    continue;
                }
                let names = match known.get(names.as_slice()) {
                    Some(names) => names.clone(),
                    None => {
                        bytes += names.iter().map(|name| name.len() + size_of::<String>()).sum::<usize>();
                        let names: Names = names.into();
                        known.insert(names.clone());
                        names
                    }
                };
                if bytes > BYTES_MAX {
                    return Self::default();
                }
                inputs.push((input.clone(), names));
            }
            if !inputs.is_empty() {
                classes.insert(class.clone(), inputs);
            }
        }
        Self(classes)
    }

    fn names(&self, class: &str, input: &str) -> Option<&[String]> {
        self.0.get(class)?.iter().find(|(name, _)| name == input).map(|(_, names)| names.as_ref())
    }
}

impl Workflow {
    /// Writes every file name in a folder as the instance does, where it lists the file under another spelling only.
    pub fn spell_as(&mut self, spellings: &Spellings) {
        for place in 0..self.node_count() {
            let node = self.node(place);
            let mut changes = Vec::new();
            for (input, value) in node.inputs.iter().filter(|(_, value)| is_path(value.get())) {
                let Some(names) = spellings.names(&node.class, input) else { continue };
                let Some(given) = raw_value::canonical(value).filter(|given| !names.contains(given)) else { continue };
                let wanted = same_separators(&given);
                let found = names.iter().find(|name| same_separators(name) == wanted);
                changes.extend(found.map(|name| (input.clone(), name.clone())));
            }
            for (input, name) in changes {
                if let Ok(name) = RawValue::from_string(name) {
                    self.put(place, &input, name);
                }
            }
        }
    }
}

/// Whether a JSON text is a string with a separator of folders.
fn is_path(json: &str) -> bool {
    json.starts_with('"') && json.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::{Catalog, RawValue, Spellings, Workflow};

    /// Bug report 13.
    #[test]
    fn a_model_is_written_as_the_instance_writes_it() {
        let graph = |name: &str, text: &str| {
            format!(r#"{{"4":{{"class_type":"L","inputs":{{"ckpt":{name},"vae":["1",0],"text":{text}}}}}}}"#)
        };
        let spelled = |list: &str, name: &str| {
            let info = format!(r#"{{"L":{{"input":{{"required":{{"ckpt":[[{list}]],"text":["STRING"]}}}}}}}}"#);
            let spellings = Spellings::of(&Catalog::parse(&info).unwrap());
            let graph = RawValue::from_string(graph(name, r#""a/b\\c""#)).unwrap();
            let mut workflow = Workflow::from_stored(&graph).unwrap();
            workflow.spell_as(&spellings);
            workflow.to_json().get().to_owned()
        };
        let windows = r#""SDXL\\a\\b.safetensors","x""#;
        for name in [r#""SDXL/a/b.safetensors""#, r#""SDXL\\a/b.safetensors""#, r#""SDXL\\a\\b.safetensors""#] {
            assert_eq!(spelled(windows, name), graph(r#""SDXL\\a\\b.safetensors""#, r#""a/b\\c""#));
            assert_eq!(spelled(r#""SDXL/a/b.safetensors""#, name), graph(r#""SDXL/a/b.safetensors""#, r#""a/b\\c""#));
        }
        let other = r#""SDXL/other""#;
        assert_eq!(spelled(windows, other), graph(other, r#""a/b\\c""#), "an unknown name stays");
    }
}

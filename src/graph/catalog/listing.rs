//! Merged listing of the fleet's classes, for forms: each class once, with every choice that any instance offers, and
//! the instances that have the class.

use super::{Class, FleetCatalog, Input, Kind, Variant};
use crate::{json::raw_value, task::InstanceId};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// Wire form of the listing:
/// `{"classes":{"KSampler":{"title","category","outputNode","inputs":[…],"outputs":[{"name","type"}],"instances":["ip:port"]}}}`;
/// `unknown` lists requested classes that no instance is known to have.
#[derive(Serialize)]
struct Listing<'a> {
    classes: BTreeMap<&'a str, Merged<'a>>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    unknown: BTreeSet<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Merged<'a> {
    title: &'a str,
    category: &'a str,
    output_node: bool,
    /// In the order of the first instance; inputs that only others declare come last.
    inputs: Vec<MergedInput<'a>>,
    outputs: Vec<OutputSlot<'a>>,
    instances: Vec<&'a InstanceId>,
}

#[derive(Serialize)]
struct OutputSlot<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
}

/// Wire form of an input: `{"name":"steps","type":"INT","required":true,"min":1,"max":10000,"default":20}`; `link` =
/// takes only a link, `upload` = takes a file, `seed` = may be drawn, `options` = choices of all instances. A dynamic combo
/// has `"variants":{"h264":[{"name":"codec.crf",…}]}`, a growing group `"sockets":{"names":["images.image0",…],"min":1,
/// "type":"IMAGE"}`.
struct MergedInput<'a> {
    name: Cow<'a, str>,
    input: &'a Input,
    options: BTreeSet<Cow<'a, str>>,
    /// Inputs of each choice of a dynamic combo, as the first instance that has it declares them.
    variants: BTreeMap<&'a str, &'a [(String, Input)]>,
}

impl<'a> MergedInput<'a> {
    fn new(name: Cow<'a, str>, input: &'a Input) -> Self {
        Self { name, input, options: BTreeSet::new(), variants: BTreeMap::new() }
    }

    /// Adds what one instance declares.
    fn add(&mut self, input: &'a Input) {
        match &input.kind {
            Kind::Choice(choices) => self.options.extend(choices.iter().map(|choice| Cow::Borrowed(choice.as_str()))),
            Kind::Dynamic(variants) => {
                for Variant { key, inputs } in variants {
                    self.options.insert(Cow::Owned(raw_value::quote(key).get().to_owned()));
                    self.variants.entry(key).or_insert(inputs);
                }
            }
            Kind::Int { .. } | Kind::Float { .. } | Kind::Boolean | Kind::Text => {}
            Kind::Growing(_) | Kind::Open => {}
        }
    }

    /// Returns what a choice brings, under the whole names.
    fn children(&self, inputs: &'a [(String, Input)]) -> Vec<Self> {
        let child = |(name, input): &'a (String, Input)| {
            let mut child = Self::new(Cow::Owned(format!("{}.{name}", self.name)), input);
            child.add(input);
            child
        };
        inputs.iter().map(child).collect()
    }
}

/// Wire form of the sockets of a growing group; the first `min` must be linked.
#[derive(Serialize)]
struct Sockets<'a> {
    names: Vec<String>,
    min: usize,
    #[serde(rename = "type")]
    kind: &'a str,
}

impl FleetCatalog {
    /// Returns the listing of all classes, or of `only` these, as JSON.
    pub fn listing(&self, only: Option<&[&str]>) -> String {
        let mut listing = Listing { classes: BTreeMap::new(), unknown: BTreeSet::new() };
        for group in &self.groups {
            let mut add = |name, class| {
                let merged = listing.classes.entry(name).or_insert_with(|| Merged::of(name, class));
                merged.add(class, &group.instances);
            };
            match only {
                None => group.catalog.classes().for_each(|(name, class)| add(name, class)),
                Some(only) => {
                    let wanted: BTreeSet<&str> = only.iter().copied().collect();
                    wanted
                        .iter()
                        .filter_map(|name| group.catalog.classes.get_key_value(*name))
                        .filter(|(_, class)| !class.is_replaced)
                        .for_each(|(name, class)| add(name, class));
                }
            }
        }
        let known = |name: &&&str| !listing.classes.contains_key(**name);
        listing.unknown = only.unwrap_or_default().iter().filter(known).copied().collect();
        serde_json::to_string(&listing).expect("maps of strings, finite numbers and raw JSON always serialise")
    }

    /// Whether both hold the same catalogs of the same instances.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&super::fleet_catalog::Group, &super::fleet_catalog::Group)| {
            std::sync::Arc::ptr_eq(&one.catalog, &other.catalog) && one.instances == other.instances
        };
        let same_files = |(instance, files): (&InstanceId, &Option<std::sync::Arc<super::InputFiles>>)| {
            other.files.get(instance).is_some_and(|others| match (files, others) {
                (Some(files), Some(others)) => std::sync::Arc::ptr_eq(files, others),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            })
        };
        self.unknown == other.unknown
            && self.files.len() == other.files.len()
            && self.files.iter().all(same_files)
            && self.groups.len() == other.groups.len()
            && self.groups.iter().zip(&other.groups).all(same)
    }
}

impl<'a> Merged<'a> {
    fn of(name: &'a str, class: &'a Class) -> Self {
        Self {
            title: class.title.as_deref().unwrap_or(name),
            category: &class.category,
            output_node: class.is_output,
            inputs: Vec::new(),
            outputs: class.outputs.iter().map(|(name, kind)| OutputSlot { name, kind }).collect(),
            instances: Vec::new(),
        }
    }

    fn add(&mut self, class: &'a Class, instances: &'a [InstanceId]) {
        self.instances.extend(instances);
        let mut inputs: Vec<(&String, &Input)> = class.inputs.iter().collect();
        inputs.sort_by_key(|(_, input)| input.place);
        for (name, input) in inputs {
            let at = self.inputs.iter().position(|one| one.name == *name).unwrap_or_else(|| {
                self.inputs.push(MergedInput::new(Cow::Borrowed(name), input));
                self.inputs.len() - 1
            });
            self.inputs[at].add(input);
        }
    }
}

impl Serialize for MergedInput<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let input = self.input;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("type", input.type_name())?;
        map.serialize_entry("required", &input.is_required)?;
        for (name, is_set) in [("link", !input.is_widget()), ("upload", input.is_upload), ("seed", input.is_seed)] {
            if is_set {
                map.serialize_entry(name, &true)?;
            }
        }
        match &input.kind {
            Kind::Int { min, max } => bounds(&mut map, min.as_ref(), max.as_ref())?,
            Kind::Float { min, max } => bounds(&mut map, min.as_ref(), max.as_ref())?,
            Kind::Choice(_) | Kind::Dynamic(_) => {
                let options: Vec<&RawValue> =
                    self.options.iter().filter_map(|option| serde_json::from_str(option).ok()).collect();
                map.serialize_entry("options", &options)?;
                if !self.variants.is_empty() {
                    let variants: BTreeMap<&str, Vec<Self>> =
                        self.variants.iter().map(|(key, inputs)| (*key, self.children(inputs))).collect();
                    map.serialize_entry("variants", &variants)?;
                }
            }
            Kind::Growing(growing) => {
                let names = growing.names.iter().map(|name| format!("{}.{name}", self.name)).collect();
                let sockets = Sockets { names, min: growing.min, kind: growing.socket.type_name() };
                map.serialize_entry("sockets", &sockets)?;
            }
            Kind::Boolean | Kind::Text | Kind::Open => {}
        }
        let hints: Option<&RawValue> = input.hints.as_deref().and_then(|hints| serde_json::from_str(hints).ok());
        for (name, value) in hints.and_then(raw_value::members).unwrap_or_default() {
            map.serialize_entry(&name, value)?;
        }
        map.end()
    }
}

fn bounds<M: SerializeMap, T: Serialize>(map: &mut M, min: Option<&T>, max: Option<&T>) -> Result<(), M::Error> {
    for (name, bound) in [("min", min), ("max", max)] {
        if let Some(bound) = bound {
            map.serialize_entry(name, bound)?;
        }
    }
    Ok(())
}

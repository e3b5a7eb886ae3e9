//! Inputs that bring further inputs: a combo whose choice decides which (`COMFY_DYNAMICCOMBO_V3`), and a group of sockets
//! that grows with its links (`COMFY_AUTOGROW_V3`). The further inputs have dotted names: `codec.crf`, `images.image0`.

use super::{
    Class, FleetCatalog, Input, Kind,
    read::{elements, input, member, members},
};
use crate::json::raw_value;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// Maximum nesting of dynamic inputs; those of ComfyUI nest twice.
pub(super) const NESTING_MAX: usize = 6;
/// Maximum number of sockets of a growing group; ComfyUI allows 100.
const SOCKETS_MAX: usize = 200;
/// Sockets of a growing group that declares no maximum.
const SOCKETS_DEFAULT: usize = 100;

/// A choice of a dynamic combo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::graph) struct Variant {
    /// The value of the combo, a text.
    #[serde(rename = "k")]
    pub(in crate::graph) key: String,
    /// The inputs that it brings in the editor's order, by their names within the combo.
    #[serde(rename = "i", default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::graph) inputs: Vec<(String, Input)>,
}

/// A group of sockets that grows with its links.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::graph) struct Growing {
    /// The names of the sockets within the group, `a` or `image0`, in their order.
    #[serde(rename = "n")]
    pub(in crate::graph) names: Vec<String>,
    /// Number of sockets that must be linked.
    #[serde(rename = "m", default)]
    pub(in crate::graph) min: usize,
    /// The declaration of each socket.
    #[serde(rename = "i")]
    pub(in crate::graph) socket: Input,
}

/// Reads the values of a node's other inputs, which decide which dynamic inputs it has.
pub(in crate::graph) type Chosen<'c> = &'c dyn Fn(&str) -> Option<String>;

impl Class {
    /// Returns the declaration of an input. A dynamic input is found under its whole name, `codec.crf`; if several
    /// choices of its combo bring one of that name, it is that of the first.
    pub(in crate::graph) fn input(&self, name: &str) -> Option<&Input> {
        self.input_beside(name, &|_| None)
    }

    /// Does the same as [`Self::input`] for a node whose combos have the values that `chosen` returns by name; a combo
    /// without one may have any.
    pub(in crate::graph) fn input_beside(&self, name: &str, chosen: Chosen<'_>) -> Option<&Input> {
        if let Some(input) = self.inputs.get(name) {
            return Some(input);
        }
        name.match_indices('.').find_map(|(dot, _)| {
            let (group, child) = (&name[..dot], &name[dot + 1..]);
            self.inputs.get(group)?.child(group, child, chosen)
        })
    }
}

impl FleetCatalog {
    /// Returns the types of all outputs of all classes.
    pub(in crate::graph) fn output_types(&self) -> HashSet<&str> {
        let classes = self.groups.iter().flat_map(|group| group.catalog.classes());
        classes.flat_map(|(_, class)| &class.outputs).map(|(_, kind)| kind.as_str()).collect()
    }
}

impl Input {
    /// Finds an input that this one brings; `name` is its own whole name.
    fn child(&self, name: &str, child: &str, chosen: Chosen<'_>) -> Option<&Input> {
        match &self.kind {
            Kind::Dynamic(variants) => {
                let key = chosen(name);
                let fitting = variants.iter().filter(|variant| key.as_ref().is_none_or(|key| *key == variant.key));
                fitting.into_iter().find_map(|variant| variant.find(name, child, chosen))
            }
            Kind::Growing(growing) => growing.names.iter().any(|one| one == child).then_some(&growing.socket),
            Kind::Int { .. } | Kind::Float { .. } | Kind::Boolean | Kind::Text | Kind::Choice(_) | Kind::Open => None,
        }
    }

    /// Returns how the value of a dynamic input is written instead, if this is an object with values: ComfyUI takes each
    /// by its whole name only.
    pub(in crate::graph) fn unread_members(&self, name: &str, value: &RawValue) -> Option<String> {
        let names: Vec<&String> = match &self.kind {
            Kind::Growing(growing) => growing.names.iter().collect(),
            Kind::Dynamic(variants) => {
                variants.iter().flat_map(|variant| &variant.inputs).map(|(name, _)| name).collect()
            }
            Kind::Int { .. } | Kind::Float { .. } | Kind::Boolean | Kind::Text => return None,
            Kind::Choice(_) | Kind::Open => return None,
        };
        let given = raw_value::members(value).unwrap_or_default();
        let is_dynamic = matches!(self.kind, Kind::Dynamic(_));
        if given.iter().any(|(member, _)| member == "__value__") || (given.is_empty() && !is_dynamic) {
            return None;
        }
        let known = given.iter().map(|(member, _)| member).find(|member| names.contains(member));
        let example = known.or(names.first().copied()).map_or("0", String::as_str);
        let own = if is_dynamic { format!("`{name}` with the choice itself, `") } else { String::from("`") };
        Some(format!("{own}{name}.{example}`"))
    }

    /// Whether it, or one that it brings, takes files.
    pub(super) fn has_file_input(&self) -> bool {
        self.is_upload
            || match &self.kind {
                Kind::Dynamic(variants) => {
                    variants.iter().flat_map(|variant| &variant.inputs).any(|(_, input)| input.has_file_input())
                }
                Kind::Growing(growing) => growing.socket.has_file_input(),
                Kind::Int { .. } | Kind::Float { .. } | Kind::Boolean | Kind::Text => false,
                Kind::Choice(_) | Kind::Open => false,
            }
    }

    /// Whether it takes a file whose name its own list shows.
    pub(in crate::graph) fn lists_files(&self) -> bool {
        self.is_upload && !self.is_remote
    }

    /// Counts the values that it holds in memory.
    pub(super) fn value_count(&self, each: usize) -> usize {
        each + match &self.kind {
            Kind::Choice(choices) => choices.len(),
            Kind::Dynamic(variants) => {
                let inputs = variants.iter().flat_map(|variant| &variant.inputs);
                each * variants.len() + inputs.map(|(_, input)| input.value_count(each)).sum::<usize>()
            }
            Kind::Growing(growing) => growing.names.len() + growing.socket.value_count(each),
            Kind::Int { .. } | Kind::Float { .. } | Kind::Boolean | Kind::Text | Kind::Open => 0,
        }
    }
}

impl Variant {
    fn find(&self, group: &str, wanted: &str, chosen: Chosen<'_>) -> Option<&Input> {
        self.inputs.iter().find_map(|(name, input)| {
            let rest = wanted.strip_prefix(name.as_str())?;
            match rest.strip_prefix('.') {
                Some(child) => input.child(&format!("{group}.{name}"), child, chosen),
                None => rest.is_empty().then_some(input),
            }
        })
    }
}

/// Reads `{"options":[{"key":"h264","inputs":{"required":{name: spec},"optional":{…}}}]}`; `None` if it has another form.
pub(super) fn variants(options: &[(String, &RawValue)], depth: usize) -> Option<Vec<Variant>> {
    let list = elements(member(options, "options")?)?;
    list.into_iter()
        .map(|option| {
            let option = members(option)?;
            let key = member(&option, "key").and_then(raw_value::text)?;
            let inputs = member(&option, "inputs").map_or(Some(Vec::new()), |inputs| sections(inputs, depth))?;
            Some(Variant { key, inputs })
        })
        .collect()
}

/// Reads `{"template":{"input":{"required":{name: spec}},"prefix":"image","min":1,"max":10}}`, or with `"names":["a"]`
/// in place of prefix and maximum; `None` if it has another form.
pub(super) fn growing(options: &[(String, &RawValue)], depth: usize) -> Option<Growing> {
    let template = members(member(options, "template")?)?;
    let (_, socket) = sections(member(&template, "input")?, depth)?.into_iter().next()?;
    let count = |name: &str| member(&template, name).and_then(|count| count.get().parse::<usize>().ok());
    let names = match member(&template, "names").and_then(elements) {
        Some(names) => names.into_iter().take(SOCKETS_MAX).map(raw_value::text).collect::<Option<Vec<String>>>()?,
        None => {
            let prefix = member(&template, "prefix").and_then(raw_value::text).unwrap_or_default();
            (0..count("max").unwrap_or(SOCKETS_DEFAULT).min(SOCKETS_MAX)).map(|at| format!("{prefix}{at}")).collect()
        }
    };
    let min = count("min").unwrap_or(1).min(names.len());
    Some(Growing { names, min: if socket.is_required { min } else { 0 }, socket })
}

/// Returns the inputs of `{"required":{name: spec},"optional":{…}}` in their order.
fn sections(json: &RawValue, depth: usize) -> Option<Vec<(String, Input)>> {
    let sections = members(json)?;
    let declared = |section: &str| member(&sections, section).and_then(members).unwrap_or_default();
    let (required, optional) = (declared("required"), declared("optional"));
    let all = required.iter().map(|one| (one, true)).chain(optional.iter().map(|one| (one, false)));
    Some(all.map(|((name, spec), is_required)| (name.clone(), input(spec, is_required, depth + 1))).collect())
}

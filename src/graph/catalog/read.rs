//! Parses `/object_info`, in its V1 and V3 forms, into a [`Catalog`]; unknown forms are left to the instance to
//! validate.

use super::{Catalog, Class, Input, Kind, dynamic};
use crate::{
    graph::links::is_url,
    json::{each_element, each_member, raw_value},
};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, ops::ControlFlow};

/// Options that mark an input for files.
const UPLOADS: [&str; 4] = ["image_upload", "video_upload", "audio_upload", "file_upload"];
/// Options kept for forms.
const HINTS: [&str; 5] = ["default", "step", "multiline", "tooltip", "placeholder"];
/// Longest JSON text of a hint, and longest name, bytes.
const HINT_BYTES_MAX: usize = 2_000;
/// Members of an object, e.g. inputs of a class.
const MEMBERS_MAX: usize = 2_000;
/// Elements of a list, e.g. values of a combo; a longer one is left to the instance to validate.
const ELEMENTS_MAX: usize = 200_000;
/// Values of all combos of a catalog; a class or an input counts as [`PARTS`] of them. Each takes more memory than text.
const VALUES_MAX: usize = 1_000_000;
/// Values of a combo that take the memory of one class or input.
const PARTS: usize = 10;

impl Catalog {
    /// Parses `{class: {"input": {"required": {name: spec}, "optional": {…}}, "output_node": bool}}`, where a spec is
    /// `["INT",{min,max,…}]`, `["IMAGE"]`, a V1 combo `[["a","b"],{…}]` or a V3 combo
    /// `["COMBO",{"options":["a","b"],…}]`. `None` if it has another form. `NaN` and similar must have been replaced
    /// before. Also `None` with more values than any ComfyUI has: they would need hundreds of megabytes.
    pub fn parse(object_info: &str) -> Option<Self> {
        let (mut classes, mut values) = (BTreeMap::new(), 0);
        each_member(object_info, |name, info| {
            if let Some(class) = class(info) {
                values += values_of(&class);
                classes.insert(name.into_owned(), class);
            }
            if values <= VALUES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        (!classes.is_empty() && values <= VALUES_MAX).then_some(Self { classes })
    }

    /// Adds the classes that the instance replaces by others itself: `{old: [{"new_node_id": new, …}]}`, from
    /// `/node_replacements` (protocol §18). One that the instance has is not replaced.
    pub fn add_replaced(&mut self, replacements: &str) {
        let mut replaced = Vec::new();
        each_member(replacements, |old, entries| {
            let first = elements(entries).unwrap_or_else(|| vec![entries]).into_iter().next();
            let new = first.and_then(members).and_then(|entry| member(&entry, "new_node_id").and_then(raw_value::text));
            if !self.classes.contains_key(old.as_ref())
                && let Some(new) = new.and_then(|new| self.classes.get(&new))
            {
                replaced.push((old.into_owned(), new.is_output));
            }
            if replaced.len() < MEMBERS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        for (old, is_output) in replaced {
            let class = Class {
                is_output,
                title: None,
                category: String::new(),
                outputs: Vec::new(),
                has_no_output: false,
                inputs: BTreeMap::new(),
                is_replaced: true,
            };
            self.classes.insert(old, class);
        }
    }

    /// Reads the output of [`Catalog::to_json`].
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Returns the catalog as JSON; equal catalogs give equal texts.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("maps of strings and finite numbers always serialise")
    }
}

fn values_of(class: &Class) -> usize {
    PARTS + 2 * class.outputs.len() + class.inputs.values().map(|input| input.value_count(PARTS)).sum::<usize>()
}

fn class(info: &RawValue) -> Option<Class> {
    let facts = members(info)?;
    let sections = member(&facts, "input").and_then(members).unwrap_or_default();
    let mut inputs = BTreeMap::new();
    let declared = |section: &str| member(&sections, section).and_then(members).unwrap_or_default();
    let (required, optional) = (declared("required"), declared("optional"));
    // An input declared in both is required, at its position among the required ones.
    for (at, (name, spec)) in required.iter().chain(&optional).enumerate() {
        let place = u16::try_from(at).ok();
        inputs.entry(name.clone()).or_insert_with(|| Input { place, ..input(spec, at < required.len(), 0) });
    }
    let short = |name: &str| member(&facts, name).and_then(raw_value::text).filter(|text| text.len() <= HINT_BYTES_MAX);
    Some(Class {
        is_output: member(&facts, "output_node").is_some_and(|is_output| is_output.get() == "true"),
        title: short("display_name").filter(|title| !title.is_empty() && Some(title) != short("name").as_ref()),
        category: short("category").unwrap_or_default(),
        outputs: outputs(&facts),
        has_no_output: member(&facts, "output").and_then(elements).is_some_and(|outputs| outputs.is_empty()),
        inputs,
        is_replaced: false,
    })
}

/// Returns names and types of the outputs; the type of a combo is its list.
fn outputs(facts: &[(String, &RawValue)]) -> Vec<(String, String)> {
    let list = |name: &str| member(facts, name).and_then(elements).unwrap_or_default();
    let names = list("output_name");
    // The type of such an output is that of the links to the inputs of the same group.
    let known = |kind: String| if kind == "COMFY_MATCHTYPE_V3" { "*".to_owned() } else { kind };
    let types = list("output").into_iter().map(|one| raw_value::text(one).map_or_else(|| "COMBO".to_owned(), known));
    types
        .enumerate()
        .map(|(at, kind)| (names.get(at).and_then(|name| raw_value::text(name)).unwrap_or_else(|| kind.clone()), kind))
        .collect()
}

/// Reads the declaration of an input that is nested `depth` deep in others.
pub(super) fn input(spec: &RawValue, is_required: bool, depth: usize) -> Input {
    let parts = elements(spec).unwrap_or_default();
    let options = parts.get(1).and_then(|options| members(options)).unwrap_or_default();
    let is_set =
        |name: &str| member(&options, name).is_some_and(|value| !matches!(value.get(), "false" | "null" | "\"\""));
    let is_upload = UPLOADS.iter().any(|name| is_set(name));
    let type_name = parts.first().and_then(|name| raw_value::text(name));
    let widget_type = member(&options, "widgetType").and_then(raw_value::text);
    let list = parts.first().filter(|list| raw_value::is_array(list)).copied();
    let kind = match (list, widget_type.as_deref().or(type_name.as_deref())) {
        // The list of such a combo is a snapshot of a folder; a multi-select has no single value.
        _ if is_upload || is_set("multiselect") || is_set("remote") => Kind::Open,
        (Some(list), _) => choices(list),
        (None, Some("INT")) => Kind::Int {
            min: member(&options, "min").and_then(|bound| whole(bound, f64::ceil)),
            max: member(&options, "max").and_then(|bound| whole(bound, f64::floor)),
        },
        (None, Some("FLOAT")) => {
            Kind::Float { min: member(&options, "min").and_then(finite), max: member(&options, "max").and_then(finite) }
        }
        (None, Some("BOOLEAN")) => Kind::Boolean,
        (None, Some("STRING")) => Kind::Text,
        (None, Some("COMBO")) => member(&options, "options").map_or(Kind::Open, choices),
        (None, Some("COMFY_DYNAMICCOMBO_V3")) if depth < dynamic::NESTING_MAX => {
            dynamic::variants(&options, depth).map_or(Kind::Open, Kind::Dynamic)
        }
        (None, Some("COMFY_AUTOGROW_V3")) if depth < dynamic::NESTING_MAX => {
            dynamic::growing(&options, depth).map_or(Kind::Open, |growing| Kind::Growing(Box::new(growing)))
        }
        (None, _) => Kind::Open,
    };
    let urls = if is_upload { listed_urls(&parts, &options) } else { Vec::new() };
    Input {
        is_required,
        is_seed: is_set("control_after_generate"),
        is_upload,
        is_remote: is_upload && is_set("remote"),
        urls,
        hints: hints(&options, is_upload || is_set("remote")),
        spelled: spelled_numbers(&kind, list.or_else(|| member(&options, "options"))),
        first: first_choice(&kind, list.or_else(|| member(&options, "options"))),
        place: None,
        type_name: own_type(&kind, type_name, list.is_some(), &options),
        widget_type: widget_type.filter(|_| matches!(kind, Kind::Open)),
        kind,
        is_forced: is_set("forceInput"),
        is_socketless: is_set("socketless"),
        is_dynamic: is_set("dynamicPrompts"),
    }
}

/// Returns the declared type unless the kind implies it; that of an input that matches others is the types it allows.
fn own_type(kind: &Kind, declared: Option<String>, has_list: bool, options: &[(String, &RawValue)]) -> Option<String> {
    let implied = match kind {
        Kind::Int { .. } => "INT",
        Kind::Float { .. } => "FLOAT",
        Kind::Boolean => "BOOLEAN",
        Kind::Text => "STRING",
        Kind::Choice(_) | Kind::Open => "COMBO",
        Kind::Dynamic(_) => "COMFY_DYNAMICCOMBO_V3",
        Kind::Growing(_) => "COMFY_AUTOGROW_V3",
    };
    match declared {
        Some(name) if name == "COMFY_MATCHTYPE_V3" => {
            let template = member(options, "template").and_then(members).unwrap_or_default();
            member(&template, "allowed_types").and_then(raw_value::text).or_else(|| Some("*".to_owned()))
        }
        Some(name) => (name != implied).then_some(name),
        // An open input without a type name of its own counts as a combo if it has a list.
        None => (!has_list && matches!(kind, Kind::Open)).then(String::new),
    }
}

/// Returns the first value of a combo, unless it is the first of the sorted ones.
fn first_choice(kind: &Kind, list: Option<&RawValue>) -> Option<String> {
    let Kind::Choice(choices) = kind else { return None };
    let first = elements(list?)?.into_iter().next().and_then(raw_value::canonical)?;
    (choices.first() != Some(&first)).then_some(first)
}

/// Returns the numbers of a combo that are written otherwise than in their canonical form.
fn spelled_numbers(kind: &Kind, list: Option<&RawValue>) -> Vec<String> {
    let Kind::Choice(choices) = kind else { return Vec::new() };
    if choices.iter().all(|choice| choice.starts_with('"')) {
        return Vec::new();
    }
    let values = list.and_then(elements).unwrap_or_default();
    let numbers = values.into_iter().map(RawValue::get).filter(|json| !json.starts_with('"'));
    numbers
        .filter(|json| choices.binary_search_by(|choice| choice.as_str().cmp(json)).is_err())
        .map(str::to_owned)
        .collect()
}

/// Returns the URLs among a combo's values.
fn listed_urls(parts: &[&RawValue], options: &[(String, &RawValue)]) -> Vec<String> {
    let list = parts.first().filter(|list| raw_value::is_array(list)).copied().or_else(|| member(options, "options"));
    let texts = list.and_then(elements).unwrap_or_default().into_iter().filter_map(raw_value::text);
    let mut urls: Vec<String> = texts.filter(|text| is_url(text)).collect();
    urls.sort_unstable();
    urls
}

/// Returns the hints as a JSON object. The default of a list that changes over time is omitted.
fn hints(options: &[(String, &RawValue)], is_list_open: bool) -> Option<String> {
    let kept = HINTS.iter().filter(|name| !is_list_open || **name != "default");
    let kept: BTreeMap<&str, &RawValue> = kept
        .filter_map(|name| Some((*name, member(options, name)?)))
        .filter(|(_, value)| value.get().len() <= HINT_BYTES_MAX)
        .collect();
    if kept.is_empty() { None } else { serde_json::to_string(&kept).ok() }
}

pub(super) fn member<'a>(members: &[(String, &'a RawValue)], name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(key, _)| key == name).map(|&(_, value)| value)
}

/// Returns the members of an object that has at most [`MEMBERS_MAX`].
pub(super) fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    let mut members = Vec::new();
    each_member(raw.get(), |name, value| {
        members.push((name.into_owned(), value));
        if members.len() <= MEMBERS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    (members.len() <= MEMBERS_MAX).then_some(members)
}

/// Returns the elements of a list that has at most [`ELEMENTS_MAX`].
pub(super) fn elements(raw: &RawValue) -> Option<Vec<&RawValue>> {
    let mut elements = Vec::new();
    each_element(raw.get(), |value| {
        elements.push(value);
        if elements.len() <= ELEMENTS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    (elements.len() <= ELEMENTS_MAX).then_some(elements)
}

/// Returns the values of a combo. If one is neither text, number nor boolean, validation is left to the instance.
fn choices(list: &RawValue) -> Kind {
    let Some(values) = elements(list) else { return Kind::Open };
    let Some(mut choices) = values.into_iter().map(raw_value::canonical).collect::<Option<Vec<String>>>() else {
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
mod tests;

//! Assigns values to widgets: a list of values has no names, only the order in which the class declares its inputs.

use super::{
    Fault, dynamic_prompts,
    editor_format::{Node, Values},
    named_list::NamedList,
};
use crate::{
    graph::{
        Budget,
        catalog::{Class, Input, Kind},
    },
    json::raw_value,
    problem::clip,
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashSet};

/// Values of the control that the editor shows beside a seed; it has its own entry in the list.
const CONTROLS: [&str; 5] = ["\"fixed\"", "\"increment\"", "\"decrement\"", "\"randomize\"", "\"increment-wrap\""];
/// Values of that control in early versions of the editor.
const OLD_CONTROLS: [&str; 2] = ["true", "false"];
/// Integer inputs with such a control even if it is not declared.
const SEEDS: [&str; 2] = ["seed", "noise_seed"];
/// Entry of a video node for the editor only.
const PREVIEW: &str = "videopreview";

/// A widget's name and value.
pub(super) type Named<'a> = (String, Cow<'a, RawValue>);

/// Returns the values of a node by name.
pub(super) fn named<'a>(node: &'a Node<'a>, class: &'a Class, budget: &Budget) -> Result<Vec<Named<'a>>, Fault> {
    let declared = class.in_order().ok_or("its declaration was stored by an older version and has no order")?;
    let texts: usize = match &node.values {
        Values::Named(values) => values.values().map(|value| value.get().len()).sum(),
        Values::List(values) => values.iter().map(|value| value.get().len()).sum(),
    };
    budget.spend(declared.len());
    budget.spend_text(texts);
    match &node.values {
        Values::Named(values) => by_name(&declared, values, budget),
        Values::List(values) => by_place(node, &declared, values, budget),
    }
}

fn by_name<'a>(
    declared: &[(&str, &'a Input)],
    values: &NamedList<&'a RawValue>,
    budget: &Budget,
) -> Result<Vec<Named<'a>>, Fault> {
    let mut named = Vec::with_capacity(values.len());
    for (name, input) in declared.iter().filter(|(_, input)| input.is_widget()) {
        named.extend(value_of(name, input, values.find(name).map(|(_, &value)| value), budget)?);
    }
    let known: HashSet<&str> = declared.iter().map(|(name, _)| *name).collect();
    let others = values.iter().filter(|(name, _)| *name != PREVIEW && !known.contains(name));
    named.extend(others.map(|(name, value)| (name.to_owned(), Cow::Borrowed(*value))));
    Ok(named)
}

fn by_place<'a>(
    node: &Node<'_>,
    declared: &[(&str, &'a Input)],
    values: &[&'a RawValue],
    budget: &Budget,
) -> Result<Vec<Named<'a>>, Fault> {
    // Some versions of the editor store a value for inputs that take only links.
    let forced = declared.iter().filter(|(_, input)| input.is_forced).count();
    let places =
        |(name, input): &(&str, &Input)| usize::from(input.is_widget()) + usize::from(has_control(name, input));
    let skips_forced = forced > 0 && values.len() == declared.iter().map(places).sum::<usize>() + forced;
    let (mut left, mut named, mut is_unsure) = (values.iter().copied().peekable(), Vec::new(), false);
    for (name, input) in declared {
        if input.is_forced && skips_forced {
            left.next();
        } else if input.is_widget() {
            named.extend(value_of(name, input, left.next(), budget)?);
            let is_control = |value: &&RawValue| CONTROLS.contains(&value.get()) || OLD_CONTROLS.contains(&value.get());
            if has_control(name, input) && left.next_if(is_control).is_some() && !is_int(input) {
                // A combo has a filter after its control.
                left.next_if(|value| value.get().starts_with('"'));
            }
        } else if !input.is_forced {
            let slot = node.inputs.find(name).map(|(_, slot)| slot.is_widget);
            if slot == Some(true) || (slot.is_none() && input.is_required) {
                return Err(format!(
                    "`{}` is a {}, which only the editor can fill",
                    clip(name),
                    clip(input.type_name())
                ));
            }
            is_unsure |= slot.is_none();
        }
    }
    let takes_files = declared.iter().any(|(_, input)| input.is_upload);
    let is_harmless = |value: &&RawValue| {
        matches!(value.get(), "null" | "\"\"")
            || CONTROLS.contains(&value.get())
            // Its buttons (upload, refresh) have values too.
            || (takes_files && matches!(value.get().as_bytes().first(), Some(b'"' | b't' | b'f')))
    };
    let surplus = left.collect::<Vec<_>>();
    if surplus.iter().all(is_harmless) && (surplus.is_empty() || !is_unsure) {
        return Ok(named);
    }
    Err(format!("it has {} more values than its class has widgets", surplus.len()))
}

fn is_int(input: &Input) -> bool {
    matches!(input.kind, Kind::Int { .. })
}

fn has_control(name: &str, input: &Input) -> bool {
    input.is_widget() && (input.is_seed || (is_int(input) && SEEDS.contains(&name)))
}

/// Returns the value of one widget: the given one, or the declared default if the list is shorter.
fn value_of<'a>(
    name: &str,
    input: &'a Input,
    given: Option<&'a RawValue>,
    budget: &Budget,
) -> Result<Option<Named<'a>>, Fault> {
    let Some(value) = given else {
        return match input.default_value() {
            Some(value) => Ok(Some((name.to_owned(), Cow::Owned(value)))),
            None if !input.is_required => Ok(None),
            None => Err(format!("it has no value for `{}`", clip(name))),
        };
    };
    if !fits(input, value) {
        return Err(format!(
            "its values are not in the order of its class: {} is no value of `{}`",
            clip(value.get()),
            clip(name)
        ));
    }
    let value = if input.is_dynamic {
        dynamic_prompts::processed(value, budget).map_err(|why| format!("`{}` {why}", clip(name)))?
    } else {
        Cow::Borrowed(value)
    };
    Ok(Some((name.to_owned(), value)))
}

/// Whether the value has the input's type; a mismatch means that the values are out of order.
pub(super) fn fits(input: &Input, value: &RawValue) -> bool {
    let json = value.get();
    let first = json.as_bytes().first().copied().unwrap_or_default();
    match &input.kind {
        Kind::Int { .. } | Kind::Float { .. } => matches!(first, b'-' | b'0'..=b'9'),
        Kind::Boolean => matches!(first, b't' | b'f'),
        Kind::Text => matches!(first, b'"' | b'n'),
        // A value that is not offered may be a file on another instance, but never the control of a seed.
        Kind::Choice(choices) => {
            let is_choice = || raw_value::canonical(value).is_some_and(|value| choices.binary_search(&value).is_ok());
            !matches!(first, b'{' | b'[') && (!CONTROLS.contains(&json) || is_choice())
        }
        Kind::Open | Kind::Dynamic(_) | Kind::Growing(_) => true,
    }
}

//! Assigns values to widgets: a list of values has no names, only the order in which the class declares its inputs.

use super::{
    Fault, dynamic_prompts,
    editor_node::{Node, Values},
    extra_widgets,
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
/// Types whose value a browser renders, records or films when it sends the graph.
const BROWSER_TYPES: [&str; 4] = ["LOAD_3D", "AUDIO_RECORD", "WEBCAM", "LOAD_3D_ANIMATION"];

/// A widget's name and value.
pub(super) type Named<'a> = (String, Cow<'a, RawValue>);

/// Facts about a node that are neither in its file nor in its class.
pub(super) trait Links<'a> {
    /// Whether the input has another value than that of its widget, which is not looked at then.
    fn is_replaced(&self, input: &str) -> bool;
    /// The value of a primitive, which becomes that of the widget.
    fn primitive(&self, input: &str) -> Option<&'a RawValue>;
    /// Whether outputs have this type, so that an input of it takes links.
    fn is_linkable(&self, kind: &str) -> bool;
    /// Whether the values are sent, so that the editor processes their texts.
    fn is_sent(&self) -> bool;
}

/// The values of a node.
pub(super) struct Widgets<'a> {
    pub(super) named: Vec<Named<'a>>,
    /// Whether values were left over that mean something.
    pub(super) has_surplus: bool,
}

/// Returns the values of a node by name.
pub(super) fn named<'a>(
    node: &'a Node<'a>,
    class: &'a Class,
    links: &impl Links<'a>,
    budget: &Budget,
) -> Result<Widgets<'a>, Fault> {
    let declared = class.in_order().ok_or("its declaration was stored by an older version and has no order")?;
    let texts: usize = match &node.values {
        Values::Named(values) => values.values().map(|value| value.get().len()).sum(),
        Values::List(values) => values.iter().map(|value| value.get().len()).sum(),
    };
    budget.spend(declared.len());
    budget.spend_text(texts);
    let mut widgets = match &node.values {
        Values::Named(values) => by_name(node, &declared, values, links, budget),
        Values::List(values) => by_place(node, &declared, values, links, budget),
    }?;
    extra_widgets::add(node, &mut widgets);
    Ok(widgets)
}

fn by_name<'a>(
    node: &'a Node<'a>,
    declared: &[(&str, &'a Input)],
    values: &NamedList<&'a RawValue>,
    links: &impl Links<'a>,
    budget: &Budget,
) -> Result<Widgets<'a>, Fault> {
    let mut list = List { node, links, budget, left: Vec::new().into_iter().peekable(), named: Vec::new() };
    for (name, input) in declared.iter().filter(|(_, input)| input.is_widget()) {
        list.widget((*name).to_owned(), input, &|name| values.find(name).map(|(_, &value)| value))?;
    }
    let mut named = list.named;
    let known: HashSet<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    let others = values.iter().filter(|(name, _)| *name != PREVIEW && !known.contains(name));
    let others: Vec<Named<'a>> = others
        .filter(|(name, _)| !links.is_replaced(name))
        .map(|(name, value)| (name.to_owned(), Cow::Borrowed(*value)))
        .collect();
    named.extend(others);
    Ok(Widgets { named, has_surplus: false })
}

fn by_place<'a>(
    node: &'a Node<'a>,
    declared: &[(&str, &'a Input)],
    values: &[&'a RawValue],
    links: &impl Links<'a>,
    budget: &Budget,
) -> Result<Widgets<'a>, Fault> {
    // Some versions of the editor store a value for inputs that take only links.
    let forced = declared.iter().filter(|(_, input)| input.is_forced).count();
    let places =
        |(name, input): &(&str, &Input)| usize::from(input.is_widget()) + usize::from(has_control(name, input));
    let skips_forced = forced > 0 && values.len() == declared.iter().map(places).sum::<usize>() + forced;
    let left = Vec::from(values).into_iter().peekable();
    let mut list = List { node, links, budget, left, named: Vec::new() };
    for (name, input) in declared {
        if input.is_forced && skips_forced {
            list.left.next();
        } else if input.is_widget() {
            list.widget((*name).to_owned(), input, &|_| None)?;
        } else if !input.is_forced {
            list.socket(name, input)?;
        }
    }
    let is_harmless = |value: &RawValue| {
        matches!(value.get(), "null" | "\"\"" | "true" | "false" | "\"image\"") || CONTROLS.contains(&value.get())
    };
    let has_surplus = list.left.any(|value| !is_harmless(value));
    Ok(Widgets { named: list.named, has_surplus })
}

/// The values that are left while the widgets take theirs.
struct List<'a, 'l, L> {
    node: &'a Node<'a>,
    links: &'l L,
    budget: &'l Budget,
    left: std::iter::Peekable<std::vec::IntoIter<&'a RawValue>>,
    named: Vec<Named<'a>>,
}

impl<'a, L: Links<'a>> List<'a, '_, L> {
    /// Takes the value of one widget, its control's, and those of the widgets that its choice brings. `by_name` finds the
    /// values of a node that names them.
    fn widget(
        &mut self,
        name: String,
        input: &'a Input,
        by_name: &dyn Fn(&str) -> Option<&'a RawValue>,
    ) -> Result<(), Fault> {
        if !self.budget.spend(1) {
            return Ok(());
        }
        if BROWSER_TYPES.contains(&input.widget_type()) && !self.links.is_replaced(&name) {
            return Err(format!(
                "`{}` is a {}, which the editor's page makes itself",
                clip(&name),
                input.widget_type()
            ));
        }
        // The two pictures of a comparison are not kept in the file.
        if input.widget_type() == "IMAGECOMPARE" {
            let pair = RawValue::from_string("[\"\",\"\"]".to_owned()).expect("a list of two texts is JSON");
            self.named.push((name, Cow::Owned(pair)));
            return Ok(());
        }
        let given = by_name(&name).or_else(|| self.left.next());
        if has_control(&name, input) && self.left.next_if(|value| is_control(value)).is_some() && !is_int(input) {
            // A combo has a filter after its control.
            self.left.next_if(|value| value.get().starts_with('"'));
        }
        let value = value_of(&name, input, given, self.links, self.budget)?;
        let chosen = value.as_ref().and_then(|value| raw_value::text(value));
        if let Some(value) = value.filter(|_| !self.links.is_replaced(&name)) {
            self.named.push((name.clone(), value));
        }
        if let (Kind::Dynamic(variants), Some(key)) = (&input.kind, chosen) {
            let variant = variants.iter().find(|variant| variant.key == key);
            for (child, input) in variant.map(|variant| &variant.inputs).into_iter().flatten() {
                if input.is_widget() {
                    self.widget(format!("{name}.{child}"), input, by_name)?;
                }
            }
        }
        Ok(())
    }

    /// Checks that an input without a known widget takes links.
    fn socket(&self, name: &str, input: &Input) -> Result<(), Fault> {
        let kind = input.type_name();
        let slot = self.node.inputs.find(name).map(|(_, slot)| slot.is_widget);
        let is_widget = slot.unwrap_or_else(|| {
            let types = kind.split(',').all(|kind| kind != "*" && !self.links.is_linkable(kind));
            input.is_required && matches!(input.kind, Kind::Open) && types
        });
        if is_widget && !self.links.is_replaced(name) {
            return Err(format!(
                "`{}` is a {}, which only an extension of the editor can fill",
                clip(name),
                clip(kind)
            ));
        }
        Ok(())
    }
}

fn is_int(input: &Input) -> bool {
    matches!(input.kind, Kind::Int { .. })
}

/// Whether it is a value of the control beside a seed.
pub(super) fn is_control(value: &RawValue) -> bool {
    CONTROLS.contains(&value.get()) || OLD_CONTROLS.contains(&value.get())
}

pub(super) fn has_control(name: &str, input: &Input) -> bool {
    input.is_widget() && (input.is_seed || (is_int(input) && SEEDS.contains(&name)))
}

/// Returns the value of one widget: a primitive's, the given one, or the one that the editor gives to a new node.
fn value_of<'a>(
    name: &str,
    input: &'a Input,
    given: Option<&'a RawValue>,
    links: &impl Links<'a>,
    budget: &Budget,
) -> Result<Option<Cow<'a, RawValue>>, Fault> {
    let primitive = links.primitive(name);
    let Some(value) = primitive.or(given).filter(|value| value.get() != "null") else {
        return match input.initial_value() {
            Some(value) => Ok(Some(Cow::Owned(value))),
            None if !input.is_required || links.is_replaced(name) => Ok(None),
            None => Err(format!("it has no value for `{}`", clip(name))),
        };
    };
    if links.is_replaced(name) {
        return Ok(Some(Cow::Borrowed(value)));
    }
    let value = match as_declared(input, value) {
        Some(value) => value,
        None if primitive.is_some() => return Err(format!("the value linked to `{}` does not fit it", clip(name))),
        None => {
            return Err(format!(
                "its values are not in the order of its class: {} is no value of `{}`",
                clip(value.get()),
                clip(name)
            ));
        }
    };
    // The editor processes the texts of widgets that a node has from the beginning.
    if !input.is_dynamic || !links.is_sent() || name.contains('.') {
        return Ok(Some(value));
    }
    match value {
        Cow::Borrowed(value) => {
            dynamic_prompts::processed(value, budget).map(Some).map_err(|why| format!("`{}` {why}", clip(name)))
        }
        owned @ Cow::Owned(_) => Ok(Some(owned)),
    }
}

/// Returns the value in the declared type: a number may be written as a text, a boolean as 0 or 1. `None` if it has
/// another type, which means that the values are out of order.
fn as_declared<'a>(input: &Input, value: &'a RawValue) -> Option<Cow<'a, RawValue>> {
    let json = value.get();
    let first = json.as_bytes().first().copied().unwrap_or_default();
    let token = |text: &str| RawValue::from_string(text.to_owned()).ok().map(Cow::Owned);
    let fits = match &input.kind {
        Kind::Int { .. } | Kind::Float { .. } if first == b'"' => {
            let text = raw_value::text(value).filter(|text| text.len() <= crate::json::NUMBER_BYTES_MAX)?;
            return token(text.trim()).filter(|_| serde_json::from_str::<serde_json::Number>(text.trim()).is_ok());
        }
        Kind::Boolean if matches!(json, "0" | "\"false\"" | "1" | "\"true\"") => {
            return token(if matches!(json, "0" | "\"false\"") { "false" } else { "true" });
        }
        Kind::Int { .. } | Kind::Float { .. } => matches!(first, b'-' | b'0'..=b'9'),
        Kind::Boolean => matches!(first, b't' | b'f'),
        Kind::Text if matches!(first, b'-' | b'0'..=b'9') => return Some(Cow::Owned(raw_value::quote(json))),
        Kind::Text => first == b'"',
        // A value that is not offered may be a file on another instance, but never the control of a seed.
        Kind::Choice(choices) => {
            let is_choice = || raw_value::canonical(value).is_some_and(|value| choices.binary_search(&value).is_ok());
            !matches!(first, b'{' | b'[') && (!CONTROLS.contains(&json) || is_choice())
        }
        Kind::Dynamic(_) => first == b'"',
        Kind::Open | Kind::Growing(_) => true,
    };
    fits.then_some(Cow::Borrowed(value))
}

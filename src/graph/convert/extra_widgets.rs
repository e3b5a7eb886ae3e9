//! Values of widgets that the editor adds to nodes of some classes without a declaration.

use super::{
    editor_node::{Node, Values},
    widgets::Widgets,
};
use crate::json::raw_value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Classes with a preview whose file the editor sends as `image`: none before the first run.
const PREVIEWS: [&str; 2] = ["Preview3D", "SaveGLB"];

/// Adds the values of undeclared widgets.
pub(super) fn add<'a>(node: &'a Node<'a>, widgets: &mut Widgets<'a>) {
    match (node.class.as_str(), &node.values) {
        ("CustomCombo", Values::List(values)) => {
            custom_combo(values, widgets);
            widgets.has_surplus = false;
        }
        (class, _) if PREVIEWS.contains(&class) && widgets.named.iter().all(|(name, _)| name != "image") => {
            widgets.named.push(("image".to_owned(), Cow::Owned(raw_value::quote(""))));
        }
        _ => {}
    }
}

/// Adds `index` and `option1`, `option2` … of `[choice, index, option…]`; the options end with an empty one.
fn custom_combo<'a>(values: &[&'a RawValue], widgets: &mut Widgets<'a>) {
    let texts = values.iter().skip(2).map(|value| (raw_value::text(value).unwrap_or_default(), *value));
    let filled: Vec<(String, &RawValue)> = texts.take_while(|(text, _)| !text.is_empty()).collect();
    let choice = values.first().and_then(|choice| raw_value::text(choice)).unwrap_or_default();
    let index = filled.iter().position(|(option, _)| *option == choice);
    let index = index.or_else(|| choice.is_empty().then_some(filled.len()));
    let index = index.map_or_else(|| "-1".to_owned(), |index| index.to_string());
    let number = RawValue::from_string(index).expect("an integer is JSON");
    widgets.named.push(("index".to_owned(), Cow::Owned(number)));
    let count = filled.len();
    let options = filled.into_iter().map(|(_, value)| Cow::Borrowed(value)).chain([Cow::Owned(raw_value::quote(""))]);
    widgets.named.extend((1..=count + 1).map(|at| format!("option{at}")).zip(options));
}

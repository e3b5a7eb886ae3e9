//! Placeholders in texts: `{{name}}`, `{{name:default}}`; `\{{` is an escaped `{{`.

use crate::graph::Budget;
use std::borrow::Cow;

/// Longest name, characters.
const NAME_CHARS_MAX: usize = 64;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    /// Literal text.
    Text(&'t str),
    /// A placeholder.
    Slot { name: &'t str, default: Option<&'t str> },
}

/// Splits a text into pieces. An invalid placeholder (`{{a|b}}`, `{{ }}`) is text.
pub(super) fn pieces<'t>(text: &'t str, budget: &Budget) -> Vec<Piece<'t>> {
    budget.spend_text(text.len());
    let (mut pieces, mut rest, mut from) = (Vec::new(), text, 0);
    // No placeholder begins behind the last `}}`: a search for the end of one never runs to the end of the text.
    let last_end = text.rfind("}}").unwrap_or_default();
    while let Some(at) = rest[from..].find("{{").map(|at| from + at)
        && budget.spend(1)
    {
        let may_end = text.len() - rest.len() + at < last_end;
        if rest[..at].ends_with('\\') {
            pieces.push(Piece::Text(&rest[..at - 1]));
            pieces.push(Piece::Text("{{"));
            (rest, from) = (&rest[at + 2..], 0);
        } else if may_end && let Some((slot, length)) = slot(&rest[at..], budget) {
            pieces.push(Piece::Text(&rest[..at]));
            pieces.push(slot);
            (rest, from) = (&rest[at + length..], 0);
        } else {
            from = at + 1;
        }
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

/// Whether a text may have placeholders; a cheap test on the raw JSON.
pub(super) fn may_have_slots(json: &str) -> bool {
    json.starts_with('"') && (json.contains("{{") || json.contains("\\u007"))
}

/// Returns the placeholder at the start of `text`, and its length.
fn slot<'t>(text: &'t str, budget: &Budget) -> Option<(Piece<'t>, usize)> {
    let inside = text.strip_prefix("{{")?;
    let padded = inside.trim_start_matches(' ');
    let end =
        padded.find(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '-'))).unwrap_or(padded.len());
    let (name, after) = padded.split_at(end);
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return None;
    }
    let after = after.trim_start_matches(' ');
    if let Some(rest) = after.strip_prefix("}}") {
        return Some((Piece::Slot { name, default: None }, text.len() - rest.len()));
    }
    let default = after.strip_prefix(':')?;
    // The last two of consecutive closing braces end the placeholder: a default may be an object.
    let found = default.find("}}");
    budget.spend_text(found.unwrap_or(default.len()));
    let mut end = found?;
    end += default[end + 2..].bytes().take_while(|&byte| byte == b'}').count();
    let length = text.len() - default.len() + end + 2;
    Some((Piece::Slot { name, default: Some(default[..end].trim()) }, length))
}

/// Returns a default as JSON: itself if it is JSON, otherwise a JSON string.
pub(super) fn default_json(default: &str) -> Cow<'_, str> {
    match serde_json::from_str::<&serde_json::value::RawValue>(default) {
        Ok(json) => Cow::Borrowed(json.get()),
        Err(_) => Cow::Owned(crate::json::raw_value::quote(default).get().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, default_json, pieces};

    fn slot<'t>(name: &'t str, default: Option<&'t str>) -> Piece<'t> {
        Piece::Slot { name, default }
    }

    #[test]
    fn names_defaults_and_escapes_are_distinguished() {
        for (text, expected) in [
            ("{{a}}", vec![slot("a", None)]),
            ("x {{ a_1-b }} y", vec![Piece::Text("x "), slot("a_1-b", None), Piece::Text(" y")]),
            ("{{提示词}}", vec![slot("提示词", None)]),
            ("{{a:20}}", vec![slot("a", Some("20"))]),
            ("{{a:}}", vec![slot("a", Some(""))]),
            ("{{a: big cat }}", vec![slot("a", Some("big cat"))]),
            (r#"{{a:{"b":{"c":1}}}}"#, vec![slot("a", Some(r#"{"b":{"c":1}}"#))]),
            ("{{a}}}", vec![slot("a", None), Piece::Text("}")]),
            ("{{{a}}}", vec![Piece::Text("{"), slot("a", None), Piece::Text("}")]),
            ("{{a}}{{b}}", vec![slot("a", None), slot("b", None)]),
            (r"\{{a}} {{b}}", vec![Piece::Text("{{"), Piece::Text("a}} "), slot("b", None)]),
            (r"x\{{", vec![Piece::Text("x"), Piece::Text("{{")]),
        ] {
            assert_eq!(pieces(text, Default::default()), expected, "{text}");
        }
        for text in ["{{a|b}}", "{{}}", "{{ }}", "{{a", "{{a:b}", "{a}", "{{a b}}", "{{a.b}}", "}}{{", "{{{{", "plain"]
        {
            assert_eq!(pieces(text, Default::default()), [Piece::Text(text)], "{text}");
        }
        assert!(pieces("", Default::default()).is_empty());
        assert_eq!(pieces(&format!("{{{{{}}}}}", "x".repeat(65)), Default::default()).len(), 1);
    }

    #[test]
    fn a_default_is_json_if_it_parses() {
        for (default, json) in
            [("20", "20"), ("a cat", r#""a cat""#), ("", r#""""#), (r#""x""#, r#""x""#), ("1e-7", "1e-7")]
        {
            assert_eq!(default_json(default), json);
        }
    }
}

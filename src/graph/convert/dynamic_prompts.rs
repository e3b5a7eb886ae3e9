//! Dynamic prompts, which the editor processes before sending: comments are removed, `{a|b}` is a random choice, and
//! `{a}` loses its braces.

use crate::{graph::Budget, json::raw_value};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Returns the text as the editor would send it. A text with our placeholders, `{{name}}`, is left unchanged.
///
/// # Errors
/// A text with a choice: the editor draws one at each run, so the result cannot be reproduced.
pub(super) fn processed<'v>(value: &'v RawValue, budget: &Budget) -> Result<Cow<'v, RawValue>, &'static str> {
    if !value.get().contains(['/', '\\', '{']) {
        return Ok(Cow::Borrowed(value));
    }
    let Some(text) = raw_value::text(value).filter(|text| !text.contains("{{")) else {
        return Ok(Cow::Borrowed(value));
    };
    let bare = without_comments(&text, budget);
    let mut plain = String::with_capacity(bare.len());
    let (mut letters, mut depth) = (bare.chars().peekable(), 0_usize);
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next_if(|next| matches!(next, '{' | '}' | '|')) {
                Some(escaped) => plain.push(escaped),
                None => {
                    plain.push(letter);
                    plain.extend(letters.next());
                }
            },
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '|' if depth > 0 => return Err("has a choice {…|…} that the editor draws at each run: write one of them"),
            other => plain.push(other),
        }
    }
    Ok(if plain == text { Cow::Borrowed(value) } else { Cow::Owned(raw_value::quote(&plain)) })
}

/// Removes `/* … */`, and `//` up to the end of its line.
fn without_comments(text: &str, budget: &Budget) -> String {
    let (mut bare, mut rest) = (String::with_capacity(text.len()), text);
    // No comment begins behind the last `*/`: a search for the end of one never runs to the end of the text.
    let last_end = text.rfind("*/").unwrap_or_default();
    while let Some(at) = rest.find('/')
        && budget.spend(1)
    {
        let (before, from) = rest.split_at(at);
        bare.push_str(before);
        let end = match from.as_bytes().get(1) {
            Some(b'*') if text.len() - from.len() + 2 <= last_end => {
                let found = from[2..].find("*/");
                budget.spend_text(found.unwrap_or(from.len()));
                found.map(|end| end + 4)
            }
            Some(b'/') => Some(from.find(['\n', '\r', '\u{2028}', '\u{2029}']).unwrap_or(from.len())),
            _ => None,
        };
        if end.is_none() {
            bare.push('/');
        }
        rest = &from[end.unwrap_or(1)..];
    }
    bare.push_str(rest);
    bare
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::processed;
    use serde_json::value::RawValue;

    #[test]
    fn comments_are_removed_and_escapes_lose_their_backslash() {
        for (text, expected) in [
            ("a cat", "a cat"),
            ("a /* big */cat // not this\nat sea", "a cat \nat sea"),
            ("1/2 and /* no end", "1/2 and /* no end"),
            ("https://x", "https:"),
            (r"\{a\|b\}", "{a|b}"),
            (r"a\\{b", r"a\\b"),
            (r#"{"a": 1}"#, r#""a": 1"#),
            ("{a {b} c} | d}", "a b c | d}"),
            ("{open", "open"),
            (r"(a\)", r"(a\)"),
            ("{{animal}} // kept", "{{animal}} // kept"),
        ] {
            let json = serde_json::to_string(text).unwrap();
            let value: &RawValue = serde_json::from_str(&json).unwrap();
            assert_eq!(
                serde_json::from_str::<String>(processed(value, Default::default()).unwrap().get()).unwrap(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_text_with_a_choice_is_refused() {
        for text in [r#""a {red|blue} cat""#, r#""{a {b|c}}""#, r#""{a|""#] {
            let value: &RawValue = serde_json::from_str(text).unwrap();
            assert!(processed(value, Default::default()).is_err(), "{text}");
        }
    }
}

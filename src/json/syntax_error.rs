//! Explains text that is not JSON: the place, what is there, and the cure. Program output and templates that were filled
//! in by hand are the usual sources.

use crate::text;
use std::fmt::Write as _;

/// Letters shown on each side of the place.
const SHOWN_CHARS: usize = 20;

/// Names of members that hold secrets. Of a text that has one, nothing is shown: it may be the secret.
const SECRET_NAMES: [&str; 4] = ["_comfy_org", "password", "\"token\"", "\"headers\""];

/// Tokens of other languages, with the cure.
const TOKENS: [(&str, &str); 17] = [
    ("-Infinity", "Infinity is no JSON: write a number, or null"),
    ("Infinity", "Infinity is no JSON: write a number, or null"),
    ("inf", "inf is no JSON: write a number, or null"),
    ("NaN", "NaN is no JSON: write a number, or null"),
    ("nan", "nan is no JSON: write a number, or null"),
    ("True", "True is Python: in JSON it is true (json.dumps writes it so)"),
    ("False", "False is Python: in JSON it is false (json.dumps writes it so)"),
    ("None", "None is Python: in JSON it is null (json.dumps writes it so)"),
    ("undefined", "undefined is JavaScript: leave the member out, or write null (JSON.stringify does so)"),
    ("{{", "{{ … }} is a template that was not filled in: put a value there"),
    ("${", "${…} is a template that was not filled in: put a value there"),
    ("{%", "{% … %} is a template that was not filled in: put a value there"),
    ("'", "texts and names stand in double quotes, not in single ones"),
    ("\u{201c}", "texts and names stand in straight double quotes (\")"),
    ("\u{201d}", "texts and names stand in straight double quotes (\")"),
    ("//", "JSON has no comments: remove it"),
    ("/*", "JSON has no comments: remove it"),
];

/// Returns `line 3, column 12: NaN is no JSON: …; near …"cfg": NaN, "steps…`.
pub(crate) fn explain(json: &str, error: &serde_json::Error) -> String {
    let at = offset(json, error.line(), error.column());
    let (place, why) = reason(json, at, error);
    let before = &json[..place];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let mut message = format!("line {line}, column {column}: {why}");
    if !json.is_empty() && !SECRET_NAMES.iter().any(|name| json.contains(name)) {
        // Writing to a text never fails.
        let _written = write!(message, "; near {}", around(json, place));
    }
    message
}

/// Returns the byte at which the parser stopped, at the start of a character.
fn offset(json: &str, line: usize, column: usize) -> usize {
    let start: usize = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut at = (start + column.saturating_sub(1)).min(json.len());
    while !json.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Returns the place of the fault, and what is wrong there.
fn reason(json: &str, at: usize, error: &serde_json::Error) -> (usize, String) {
    if json.starts_with('\u{feff}') {
        return (0, "it begins with a byte order mark (BOM): send UTF-8 without one".to_owned());
    }
    let plain = error.to_string();
    let plain = plain.split(" at line ").next().unwrap_or_default().to_owned();
    if plain.contains("control character") {
        // The parser names the letter itself, the one after it, or the start of the text.
        let before = json[..at].char_indices().next_back().filter(|(_, letter)| letter.is_control());
        let place = match before {
            Some((place, _)) if !json[at..].starts_with(char::is_control) => place,
            _ => json[at..].find(char::is_control).map_or(at, |offset| at + offset),
        };
        return (
            place,
            "a text holds a raw line break or control character: inside of a text it is written \\n, \\t …".to_owned(),
        );
    }
    if error.is_eof() {
        return (json.len(), "it ends too early: a bracket or a quote is not closed, or it was cut off".to_owned());
    }
    // The parser stops at the token or up to two letters behind its start.
    let starts = std::iter::once(at).chain(json[..at].char_indices().rev().take(2).map(|(place, _)| place));
    for place in starts {
        if let Some((_, cure)) = TOKENS.iter().find(|(token, _)| is_token(json, place, token)) {
            return (place, (*cure).to_owned());
        }
    }
    let closes = json[at..].starts_with(['}', ']']) && json[..at].trim_end().ends_with(',');
    if closes || plain.contains("trailing comma") {
        return (at, "a comma before a closing bracket: remove it".to_owned());
    }
    if plain.contains("key must be a string") {
        return (at, "the name of a member stands in double quotes".to_owned());
    }
    (at, plain)
}

/// Whether the token stands here by itself.
fn is_token(json: &str, place: usize, token: &str) -> bool {
    let Some(rest) = json.get(place..).and_then(|rest| rest.strip_prefix(token)) else { return false };
    let is_word = token.ends_with(|letter: char| letter.is_alphanumeric());
    let before = json[..place].chars().next_back();
    let continues = |letter: char| letter.is_alphanumeric() || letter == '_';
    !is_word || !(rest.starts_with(continues) || before.is_some_and(continues))
}

/// Returns the letters around a place, on one line.
fn around(json: &str, place: usize) -> String {
    let start = json[..place].char_indices().rev().nth(SHOWN_CHARS - 1).map_or(0, |(at, _)| at);
    let end = json[place..].char_indices().nth(SHOWN_CHARS).map_or(json.len(), |(at, _)| place + at);
    let shown: String = json[start..end].chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let (cut_start, cut_end) = (if start > 0 { "…" } else { "" }, if end < json.len() { "…" } else { "" });
    format!("{cut_start}{}{cut_end}", text::ellipsis(&shown, 8 * SHOWN_CHARS))
}

#[cfg(test)]
mod tests {
    use super::explain;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn explained(json: &str) -> String {
        explain(json, &serde_json::from_str::<&RawValue>(json).unwrap_err())
    }

    /// Bug report 21.
    #[test]
    fn the_place_and_the_cure_are_named() {
        for (json, starts, holds) in [
            (r#"{"cfg": NaN, "steps": 4}"#, "line 1, column 9: NaN is no JSON", r#"near {"cfg": NaN, "steps""#),
            ("{\"a\":1,\n \"b\": [-Infinity]}", "line 2, column 9: Infinity", "-Infinity"),
            (r#"{"w": True}"#, "line 1, column 7: True is Python", "true"),
            (r#"{"w": [1, False]}"#, "line 1, column 11: False", "json.dumps"),
            (r#"{"w": None}"#, "line 1, column 7: None", "null"),
            (r#"{"width": {{ $json.width }}}"#, "line 1, column 11: {{ … }} is a template", "{{ $json"),
            (r#"{"width": {{w}}}"#, "line 1, column 11: {{ … }} is a template", "{{w}}"),
            (r#"{"width": ${W}}"#, "line 1, column 11: ${…} is a template", "${W}"),
            ("{\"text\": \"a\nb\"}", "line 1, column 12: a text holds a raw line break", "\\n"),
            ("{'a': 1}", "line 1, column 2: texts and names stand in double", "'a'"),
            ("{\"a\": 'x'}", "line 1, column 7: texts and names", "'x'"),
            ("{\"a\": 1, // x\n}", "line 1, column 10: JSON has no comments", "//"),
            ("/* x */ {}", "line 1, column 1: JSON has no comments", "/*"),
            ("{\"a\": undefined}", "line 1, column 7: undefined", "null"),
            ("{“a”: 1}", "line 1, column 2: texts and names stand in straight", "“a”"),
            ("{a: 1}", "line 1, column 2: the name of a member", "{a: 1}"),
            ("{\"a\": 1,}", "line 1, column 9: a comma before", "1,}"),
            ("{\"a\": 1", "line 1, column 8: it ends too early", "\"a\": 1"),
            ("\u{feff}{}", "line 1, column 1: it begins with a byte order mark", "BOM"),
            ("{\"é\": \"é\", \"b\": NaN}", "line 1, column 17: NaN", "near"),
        ] {
            let message = explained(json);
            assert!(message.starts_with(starts) && message.contains(holds), "{json}: {message}");
        }
        let long = format!(r#"{{"text": "{}", "cfg": NaN, "x": "{}"}}"#, "a".repeat(10_000), "b".repeat(10_000));
        let message = explained(&long);
        assert!(message.len() < 200 && message.contains(r#"aaa", "cfg": NaN, "x": "b"#), "{message}");
    }

    proptest! {
        #[test]
        fn nothing_panics(json in r#"(\{"a":)?([\[\]{}",:'/*0-9NaTruen.\\ é“$\n-]|True|NaN|\{\{){0,30}"#) {
            if let Err(error) = serde_json::from_str::<&RawValue>(&json) {
                explain(&json, &error);
            }
        }
    }

    #[test]
    fn nothing_is_shown_of_a_text_with_a_secret() {
        for json in [
            r#"{"extraData": {"api_key_comfy_org": "comfyui-0000" "x"}}"#,
            r#"{"password": "comfyui-0000",}"#,
            r#"{"servers": [{"headers": {"Authorization": "comfyui-0000",}}]}"#,
        ] {
            let error = serde_json::from_str::<serde_json::Value>(json).unwrap_err();
            let message = explain(json, &error);
            assert!(!message.contains("0000") && message.contains("column"), "{message}");
        }
    }
}

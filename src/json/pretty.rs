//! White space of JSON text. Numbers, the order of members and the spelling of strings stay as they are.

use super::string_literals::string_end;

/// Returns `json` without white space between its tokens.
pub(crate) fn compact(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for token in (Tokens { json, at: 0 }) {
        text.push_str(token);
    }
    text
}

/// Returns `json` with one member a line, two spaces deeper in each object and array; empty ones stay on their line.
/// Characters of strings for which `is_harmful` holds are written as `\uXXXX`.
pub(crate) fn pretty(json: &str, is_harmful: impl Fn(char) -> bool) -> String {
    let (mut text, mut depth, mut tokens) =
        (String::with_capacity(json.len() * 2), 0_usize, Tokens { json, at: 0 }.peekable());
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    while let Some(token) = tokens.next() {
        match token {
            "{" | "[" => {
                text.push_str(token);
                if let Some(close) = tokens.next_if(|next| matches!(*next, "}" | "]")) {
                    text.push_str(close);
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            "}" | "]" => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push_str(token);
            }
            "," => {
                text.push(',');
                line(&mut text, depth);
            }
            ":" => text.push_str(": "),
            string if string.starts_with('"') => {
                for letter in string.chars() {
                    if is_harmful(letter) {
                        text.push_str(&format!("\\u{:04x}", u32::from(letter)));
                    } else {
                        text.push(letter);
                    }
                }
            }
            other => text.push_str(other),
        }
    }
    text
}

/// The tokens of JSON text: strings, punctuation, and runs of anything else but white space.
struct Tokens<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.json.as_bytes();
        let start = self.at + bytes.get(self.at..)?.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let is_mark = |byte: u8| matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':');
        let end = match bytes[start] {
            b'"' => string_end(bytes, start),
            byte if is_mark(byte) => start + 1,
            _ => {
                let is_end = |byte: &u8| is_mark(*byte) || *byte == b'"' || byte.is_ascii_whitespace();
                bytes[start..].iter().position(is_end).map_or(bytes.len(), |length| start + length)
            }
        };
        self.at = end;
        self.json.get(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::{compact, pretty};

    #[test]
    fn only_space_between_tokens_is_removed() {
        let laid_out = "{ \"a b\" :\n [1.10,\t\"x \\\" y \\\\\" , 1e-7 ] }";
        assert_eq!(compact(laid_out), "{\"a b\":[1.10,\"x \\\" y \\\\\",1e-7]}");
    }

    #[test]
    fn space_changes_and_what_is_harmful() {
        let layout = |json: &str| pretty(json, |letter| letter.is_control() || letter == '\u{202e}');
        let json = r#"{"b":{"x":[1e-7,20.00],"y":"a, \"{b}\" \\"},"a":[ ],"c":{}}"#;
        let laid = layout(json);
        let expected = "{\n  \"b\": {\n    \"x\": [\n      1e-7,\n      20.00\n    ],\n    \"y\": \"a, \\\"{b}\\\" \\\\\"\n  },\n  \
                        \"a\": [],\n  \"c\": {}\n}";
        assert_eq!(laid, expected);
        assert_eq!(layout(&laid), laid, "laid out twice it is the same");
        assert_eq!(compact(&laid), compact(json));
        let harmful = "\"a\u{9b}2J\u{202e}\u{7f}\"";
        assert_eq!(layout(harmful), r#""a\u009b2J\u202e\u007f""#);
        let same = |text: &str| serde_json::from_str::<String>(text).unwrap();
        assert_eq!(same(&layout(harmful)), same(harmful));
    }
}

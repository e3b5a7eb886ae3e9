//! One pass over raw JSON for what `RawValue` lets through (safety.md §3.4): nesting without end, duplicate keys, lone
//! surrogates, numbers that Python cannot hold. Iterative: its memory is the nesting, which is bounded first.

use super::problem::{Problem, Problems, step};
use crate::settings::limits::JSON_DEPTH_MAX;
use std::{borrow::Cow, ops::Range};

/// Characters of one number. Python refuses integers of more than 4,300 digits (a 500 of the instance); nobody means
/// more than these.
const NUMBER_BYTES_MAX: usize = 100;

/// Adds every problem of `json` (valid JSON text) to `problems`, with pointers that start with `base`.
pub(super) fn scan(json: &str, base: &str, problems: &mut Problems) {
    let mut scanner = Scanner { json, base, at: 0, frames: Vec::new(), problems };
    while let Some(&byte) = json.as_bytes().get(scanner.at) {
        if scanner.problems.is_full() || !scanner.token(byte) {
            return;
        }
    }
}

enum Frame<'a> {
    Object { keys: Vec<Cow<'a, str>>, awaits_key: bool },
    Array { index: usize },
}

struct Scanner<'a, 'p> {
    json: &'a str,
    base: &'a str,
    at: usize,
    frames: Vec<Frame<'a>>,
    problems: &'p mut Problems,
}

impl<'a> Scanner<'a, '_> {
    /// Takes the token that starts with `byte`; `false` ends the scan.
    fn token(&mut self, byte: u8) -> bool {
        match byte {
            b'{' => return self.open(Frame::Object { keys: Vec::new(), awaits_key: true }),
            b'[' => return self.open(Frame::Array { index: 0 }),
            b'}' | b']' => self.close(),
            b',' => match self.frames.last_mut() {
                Some(Frame::Object { awaits_key, .. }) => *awaits_key = true,
                Some(Frame::Array { index }) => *index += 1,
                None => {}
            },
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => return self.number(),
            _ => {}
        }
        self.at += 1;
        true
    }

    fn open(&mut self, frame: Frame<'a>) -> bool {
        if self.frames.len() >= JSON_DEPTH_MAX {
            let message = format!("nested deeper than {JSON_DEPTH_MAX} levels");
            self.problems.push(Problem::shape(self.base.to_owned(), "json_too_deep", message));
            return false;
        }
        self.frames.push(frame);
        self.at += 1;
        true
    }

    fn close(&mut self) {
        let Some(Frame::Object { mut keys, .. }) = self.frames.pop() else { return };
        keys.sort_unstable();
        for pair in keys.windows(2) {
            if pair[0] == pair[1] {
                let pointer = step(&self.pointer(), &pair[0]);
                self.problems.push(Problem::shape(pointer, "json_duplicate_key", "this key is there more than once"));
            }
        }
    }

    fn string(&mut self) -> bool {
        let bytes = self.json.as_bytes();
        let start = self.at;
        let mut end = start + 1;
        let mut has_escape = false;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escape = true;
                    end += 2;
                }
                Some(_) => end += 1,
                None => return false,
            }
        }
        end += 1;
        self.at = end;
        let literal = &self.json[start..end];
        if has_escape && has_lone_surrogate(literal) {
            let message = "a \\u escape is half of a surrogate pair and stands for no character";
            self.problems.push(Problem::shape(self.pointer(), "json_lone_surrogate", message));
        }
        if let Some(Frame::Object { keys, awaits_key: awaits_key @ true }) = self.frames.last_mut() {
            *awaits_key = false;
            keys.push(decode(literal, has_escape));
        }
        true
    }

    fn number(&mut self) -> bool {
        let digits = number_range(self.json.as_bytes(), self.at);
        self.at = digits.end;
        let number = &self.json[digits];
        let is_finite = number.parse::<f64>().is_ok_and(f64::is_finite);
        if number.len() > NUMBER_BYTES_MAX || !is_finite {
            let message = format!("a number must be finite and at most {NUMBER_BYTES_MAX} characters long");
            self.problems.push(Problem::shape(self.pointer(), "json_number_out_of_range", message));
        }
        true
    }

    /// Where the scan stands.
    fn pointer(&self) -> String {
        let mut pointer = self.base.to_owned();
        for frame in &self.frames {
            match frame {
                Frame::Object { keys, .. } => pointer = step(&pointer, keys.last().map_or("", Cow::as_ref)),
                Frame::Array { index } => pointer = step(&pointer, &index.to_string()),
            }
        }
        pointer
    }
}

fn number_range(bytes: &[u8], start: usize) -> Range<usize> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let length = bytes[start..].iter().take_while(|&byte| is_part(byte)).count();
    start..start + length.max(1)
}

/// The key behind a string literal with its quotes: two spellings of one key are one key.
fn decode(literal: &str, has_escape: bool) -> Cow<'_, str> {
    let plain = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    if !has_escape {
        return Cow::Borrowed(plain);
    }
    serde_json::from_str::<String>(literal).map_or(Cow::Borrowed(plain), Cow::Owned)
}

fn has_lone_surrogate(literal: &str) -> bool {
    let mut rest = literal.as_bytes();
    let mut high_before = false;
    while let Some((&byte, tail)) = rest.split_first() {
        let unit = if byte == b'\\' && tail.first() == Some(&b'u') { code_unit(tail) } else { None };
        let is_low = matches!(unit, Some(0xDC00..=0xDFFF));
        if high_before != is_low {
            return true;
        }
        high_before = matches!(unit, Some(0xD800..=0xDBFF));
        let length = if unit.is_some() {
            6
        } else if byte == b'\\' {
            2
        } else {
            1
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    high_before
}

/// The four hex digits after `u`.
fn code_unit(after_backslash: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(after_backslash.get(1..5)?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::scan;
    use crate::graph::problem::Problems;

    fn found(json: &str) -> Vec<(String, String)> {
        let mut problems = Problems::default();
        scan(json, "", &mut problems);
        let list = problems.check().err().unwrap_or_default();
        list.into_iter().map(|problem| (problem.pointer, problem.code)).collect()
    }

    fn one(pointer: &str, code: &str) -> Vec<(String, String)> {
        vec![(pointer.to_owned(), code.to_owned())]
    }

    #[test]
    fn what_json_allows_and_python_holds_passes() {
        for json in [
            r#"{"a":[1,-0.0,1e2,1E+2,1e-7,18446744073709551616],"b":{"a":"\ud83d\ude00 \\ud800 \u00e9 \" é"},"c":null}"#,
            "123456789012345678901234567890",
            r#""a,b:{[""#,
            r#"[{"a":1},{"a":1}]"#,
            "[]",
        ] {
            assert_eq!(found(json), [], "{json}");
        }
    }

    #[test]
    fn a_key_twice_is_told_where_it_stands_whatever_its_spelling() {
        assert_eq!(found(r#"{"a":{"x":1,"y":2,"x":3}}"#), one("/a/x", "json_duplicate_key"));
        assert_eq!(found(r#"[0,{"a":1,"\u0061":2}]"#), one("/1/a", "json_duplicate_key"));
        assert_eq!(found(r#"{"a":"b","b":"a"}"#), [], "a value is not a key");
    }

    #[test]
    fn half_a_surrogate_pair_is_refused() {
        for text in
            [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#, r#""\ud83d\\ude00""#, r#""\uDFFFx""#]
        {
            assert_eq!(found(&format!("[{text}]")), one("/0", "json_lone_surrogate"), "{text}");
        }
        assert_eq!(found(r#"{"\ud800":1}"#).len(), 1);
    }

    #[test]
    fn a_number_beyond_any_float_or_any_patience_is_refused() {
        let digits = "9".repeat(100_000);
        for number in ["1e999999", "-1e400", &digits, &format!("0.{digits}")] {
            assert_eq!(found(&format!("{{\"a\":[{number}]}}")), one("/a/0", "json_number_out_of_range"));
        }
    }

    #[test]
    fn nesting_has_an_end() {
        assert_eq!(found(&format!("{}{}", "[".repeat(100), "]".repeat(100))), []);
        for depth in [101, 1_000_000] {
            let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(found(&arrays), one("", "json_too_deep"));
            let objects = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
            assert_eq!(found(&objects), one("", "json_too_deep"));
        }
    }
}

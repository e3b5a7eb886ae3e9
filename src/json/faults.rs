//! Finds in JSON text what the grammar allows and consumers cannot hold: deep nesting, duplicate keys, lone surrogates,
//! numbers that are too long or infinite. `RawValue` accepts all of these.
//!
//! One pass over the text, without recursion: memory is bounded by the nesting and by the keys of open objects. The
//! grammar is left to the parser; on text that is not valid JSON the scan finds something or nothing, and never panics.

use super::{
    pointer::child_pointer,
    string_literals::{lone_surrogates, string_end},
};
use std::{borrow::Cow, ops::ControlFlow};

/// Deepest nesting of objects and arrays.
pub(crate) const DEPTH_MAX: usize = 100;
/// Longest number, bytes. Python refuses integers of more than 4,300 digits, which an instance answers with status 500.
pub(crate) const NUMBER_BYTES_MAX: usize = 1_000;
/// Numbers up to this length, without an exponent, are finite.
const NUMBER_BYTES_FINITE: usize = 300;

/// A finding of [`scan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The kind.
    pub(crate) kind: FaultKind,
    /// JSON pointer to the value, or to the duplicate key.
    pub(crate) pointer: String,
}

/// Kinds of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// Nested deeper than [`DEPTH_MAX`]; ends the scan. Its pointer is the root.
    TooDeep,
    /// An object has the same key twice, however the two are escaped.
    DuplicateKey,
    /// A `\u` escape is half of a surrogate pair.
    LoneSurrogate,
    /// A number is longer than [`NUMBER_BYTES_MAX`].
    NumberTooLong,
    /// A number is larger than any 64-bit float.
    NumberInfinite,
}

/// Reports every fault of `json` until `report` breaks. Pointers start with `base`.
///
/// Duplicate keys are not looked for inside the members `exempt` of the outermost object.
pub(crate) fn scan(
    json: &str,
    base: &str,
    exempt: &[&str],
    report: impl FnMut(Fault) -> ControlFlow<()>,
) -> ControlFlow<()> {
    Scanner { json, base, exempt, only_duplicates: false, at: 0, frames: Vec::new(), keys: Vec::new(), report }.run()
}

/// Returns the first fault of `json`; for `exempt` see [`scan`].
pub(crate) fn first_fault(json: &str, exempt: &[&str]) -> Option<Fault> {
    let mut found = None;
    // Breaks at the first fault, so the flow says nothing that `found` does not.
    let _flow = scan(json, "", exempt, |fault| {
        found = Some(fault);
        ControlFlow::Break(())
    });
    found
}

/// Returns the pointer to the first duplicate key of `json`. Builds no pointer to other faults: a message may have
/// thousands.
pub(crate) fn first_duplicate_key(json: &str) -> Option<String> {
    let mut found = None;
    let report = |fault: Fault| -> ControlFlow<()> {
        if fault.kind == FaultKind::DuplicateKey {
            found = Some(fault.pointer);
        }
        ControlFlow::Break(())
    };
    let keys = Vec::new();
    // As in `first_fault`.
    let _flow =
        Scanner { json, base: "", exempt: &[], only_duplicates: true, at: 0, frames: Vec::new(), keys, report }.run();
    found
}

/// An object or array whose end has not been reached.
struct Frame {
    place: Place,
    is_exempt: bool,
}

enum Place {
    /// In an object, whose keys begin at `first_key` of [`Scanner::keys`].
    Object { first_key: usize, awaits_key: bool },
    /// In an array, at the element `index`.
    Array { index: usize },
}

struct Scanner<'a, 'b, R> {
    json: &'a str,
    base: &'b str,
    exempt: &'b [&'b str],
    /// Whether lone surrogates and numbers are passed over.
    only_duplicates: bool,
    at: usize,
    frames: Vec<Frame>,
    /// The keys of all open objects, those of the outermost first. Of an exempt object only the latest.
    keys: Vec<Cow<'a, str>>,
    report: R,
}

impl<R: FnMut(Fault) -> ControlFlow<()>> Scanner<'_, '_, R> {
    fn run(mut self) -> ControlFlow<()> {
        while let Some(&byte) = self.json.as_bytes().get(self.at) {
            match byte {
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b'{' => self.open(Place::Object { first_key: self.keys.len(), awaits_key: true })?,
                b'[' => self.open(Place::Array { index: 0 })?,
                b'}' | b']' => self.close()?,
                b',' => self.next_member(),
                _ => self.at += 1,
            }
        }
        ControlFlow::Continue(())
    }

    fn open(&mut self, place: Place) -> ControlFlow<()> {
        if self.frames.len() >= DEPTH_MAX {
            let _flow = (self.report)(Fault { kind: FaultKind::TooDeep, pointer: self.base.to_owned() });
            return ControlFlow::Break(());
        }
        let is_exempt = match self.frames.as_slice() {
            [] => false,
            [root] => match root.place {
                Place::Object { .. } => self.keys.last().is_some_and(|key| self.exempt.contains(&key.as_ref())),
                Place::Array { .. } => false,
            },
            [.., parent] => parent.is_exempt,
        };
        self.frames.push(Frame { place, is_exempt });
        self.at += 1;
        ControlFlow::Continue(())
    }

    fn close(&mut self) -> ControlFlow<()> {
        self.at += 1;
        let Some(Frame { place: Place::Object { first_key, .. }, .. }) = self.frames.pop() else {
            return ControlFlow::Continue(());
        };
        self.keys[first_key..].sort_unstable();
        for at in first_key + 1..self.keys.len() {
            if self.keys[at - 1] == self.keys[at] {
                let pointer = child_pointer(&self.pointer(first_key), &self.keys[at]);
                (self.report)(Fault { kind: FaultKind::DuplicateKey, pointer })?;
            }
        }
        self.keys.truncate(first_key);
        ControlFlow::Continue(())
    }

    fn next_member(&mut self) {
        self.at += 1;
        match self.frames.last_mut().map(|frame| &mut frame.place) {
            Some(Place::Object { awaits_key, .. }) => *awaits_key = true,
            Some(Place::Array { index }) => *index += 1,
            None => {}
        }
    }

    fn string(&mut self) -> ControlFlow<()> {
        let end = string_end(self.json.as_bytes(), self.at);
        let literal = self.json.get(self.at..end).unwrap_or_default();
        self.at = end;
        let has_escape = literal.contains('\\');
        if has_escape && !self.only_duplicates && lone_surrogates(literal).next().is_some() {
            let pointer = self.pointer(self.keys.len());
            (self.report)(Fault { kind: FaultKind::LoneSurrogate, pointer })?;
        }
        if let Some(Frame { place: Place::Object { first_key, awaits_key }, is_exempt }) = self.frames.last_mut()
            && std::mem::take(awaits_key)
        {
            if *is_exempt {
                self.keys.truncate(*first_key);
            }
            self.keys.push(decode(literal, has_escape));
        }
        ControlFlow::Continue(())
    }

    fn number(&mut self) -> ControlFlow<()> {
        let rest = &self.json.as_bytes()[self.at..];
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let number = &self.json[self.at..self.at + length];
        self.at += length;
        if self.only_duplicates {
            return ControlFlow::Continue(());
        }
        let may_be_infinite = length > NUMBER_BYTES_FINITE || number.contains(['e', 'E']);
        let kind = if length > NUMBER_BYTES_MAX {
            FaultKind::NumberTooLong
        } else if may_be_infinite && number.parse::<f64>().is_ok_and(f64::is_infinite) {
            FaultKind::NumberInfinite
        } else {
            return ControlFlow::Continue(());
        };
        let pointer = self.pointer(self.keys.len());
        (self.report)(Fault { kind, pointer })
    }

    /// The pointer to the current value. The keys of the open objects end at `keys_end`.
    fn pointer(&self, mut keys_end: usize) -> String {
        let mut pointer = self.base.to_owned();
        // The current key of an object is the one before the first key of the next object inside it.
        let mut segments: Vec<Cow<'_, str>> = Vec::with_capacity(self.frames.len());
        for frame in self.frames.iter().rev() {
            match frame.place {
                Place::Object { first_key, .. } => {
                    let key = self.keys.get(first_key..keys_end).and_then(|keys| keys.last());
                    segments.push(Cow::Borrowed(key.map_or("", Cow::as_ref)));
                    keys_end = first_key;
                }
                Place::Array { index } => segments.push(Cow::Owned(index.to_string())),
            }
        }
        for segment in segments.iter().rev() {
            pointer = child_pointer(&pointer, segment);
        }
        pointer
    }
}

/// The key behind a string literal with its quotes. A literal that cannot be decoded stands for itself.
fn decode(literal: &str, has_escape: bool) -> Cow<'_, str> {
    let plain = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    if !has_escape {
        return Cow::Borrowed(plain);
    }
    serde_json::from_str::<String>(literal).map_or(Cow::Borrowed(plain), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultKind, first_duplicate_key, first_fault, scan};
    use proptest::prelude::*;
    use std::ops::ControlFlow;

    fn found(json: &str) -> Vec<(String, FaultKind)> {
        let mut faults = Vec::new();
        let _flow = scan(json, "", &[], |Fault { kind, pointer }| {
            faults.push((pointer, kind));
            ControlFlow::Continue(())
        });
        faults
    }

    #[test]
    fn a_duplicate_key_is_found_behind_other_faults() {
        assert_eq!(first_duplicate_key(r#"{"a":["\ud800",1e999],"b":{"x":1,"x":2}}"#).as_deref(), Some("/b/x"));
        assert_eq!(first_duplicate_key(r#"{"a":["\ud800",1e999]}"#), None);
    }

    fn one(pointer: &str, kind: FaultKind) -> Vec<(String, FaultKind)> {
        vec![(pointer.to_owned(), kind)]
    }

    #[test]
    fn json_that_python_can_hold_passes() {
        for json in [
            r#"{"a":[1,-0.0,1e2,1E+2,1e-7,18446744073709551616],"b":{"a":"\ud83d\ude00 \\ud800 \u00e9 \" é"},"c":null}"#,
            "123456789012345678901234567890",
            "1e-999999",
            r#""a,b:{[""#,
            r#"[{"a":1},{"a":1}]"#,
            r#"{"a":{"a":{"a":1}}}"#,
            "[]",
        ] {
            assert_eq!(found(json), [], "{json}");
        }
    }

    #[test]
    fn a_duplicate_key_is_reported_in_any_escaping() {
        let kind = FaultKind::DuplicateKey;
        assert_eq!(found(r#"{"a":{"x":1,"y":2,"x":3}}"#), one("/a/x", kind));
        assert_eq!(found(r#"[0,{"a":1,"\u0061":2}]"#), one("/1/a", kind));
        assert_eq!(found(r#"{"a":1,"b":[{},{"c":[2,{"d":0,"d":0}]}],"e":{"f":0}}"#), one("/b/1/c/1/d", kind));
        assert_eq!(found(r#"{"a":{"b":0},"a":{"b":0}}"#), one("/a", kind));
        assert_eq!(found(r#"{"a":1,"a":2,"a":3}"#).len(), 2);
        assert_eq!(found(r#"{"a":"b","b":"a"}"#), [], "a value is not a key");
    }

    #[test]
    fn duplicate_keys_of_exempt_members_are_left_to_others() {
        let json = r#"{"free":{"a":1,"a":{"b":1,"b":2}},"held":{"free":{"a":1,"a":2}}}"#;
        let fault = first_fault(json, &["free"]);
        assert_eq!(fault, Some(Fault { kind: FaultKind::DuplicateKey, pointer: "/held/free/a".to_owned() }));
        assert_eq!(first_fault(json, &["free", "held"]), None);
        let number = first_fault(r#"{"free":{"a":{"b":[0,1e999]},"c":1}}"#, &["free"]);
        assert_eq!(number, Some(Fault { kind: FaultKind::NumberInfinite, pointer: "/free/a/b/1".to_owned() }));
        assert_eq!(
            first_fault(r#"{"free":1,"free":2}"#, &["free"]).map(|fault| fault.pointer),
            Some("/free".to_owned())
        );
    }

    #[test]
    fn half_a_surrogate_pair_is_refused() {
        for text in
            [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#, r#""\ud83d\\ude00""#, r#""\uDFFFx""#]
        {
            assert_eq!(found(&format!("[{text}]")), one("/0", FaultKind::LoneSurrogate), "{text}");
        }
        assert_eq!(found(r#"{"\ud800":1}"#).len(), 1);
    }

    #[test]
    fn a_number_that_is_infinite_or_too_long_is_refused() {
        let digits = "9".repeat(100_000);
        for (number, kind) in [
            ("1e999999", FaultKind::NumberInfinite),
            ("-1e400", FaultKind::NumberInfinite),
            (&digits[..400], FaultKind::NumberInfinite),
            (&digits, FaultKind::NumberTooLong),
            (&format!("0.{digits}"), FaultKind::NumberTooLong),
        ] {
            assert_eq!(found(&format!("{{\"a\":[{number}]}}")), one("/a/0", kind));
        }
    }

    #[test]
    fn nesting_is_limited() {
        assert_eq!(found(&format!("{}{}", "[".repeat(100), "]".repeat(100))), []);
        for depth in [101, 1_000_000] {
            let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(found(&arrays), one("", FaultKind::TooDeep));
            let objects = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
            assert_eq!(found(&objects), one("", FaultKind::TooDeep));
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r#"(\{"a":)?([\[\]{}",:0-9eE+.\\u dD8cC-]|"a"|é|true|null){0,24}\}?"#) {
            found(&text);
        }
    }
}

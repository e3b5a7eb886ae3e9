//! Texts that a program left in place of a value: an unfilled placeholder, `undefined`, nothing. They are named in the
//! problem of an input that takes no such text.

use crate::json::raw_value;
use serde_json::value::RawValue;

/// Longest JSON text that is looked at, bytes.
const BYTES_MAX: usize = 500;
/// Texts that languages write for a value that is not there, in lower case.
const NOTHING: [&str; 8] = ["undefined", "null", "none", "nil", "nan", "n/a", "[object object]", "<nil>"];
/// Words for a seed that is drawn, in lower case.
const RANDOM: [&str; 8] = ["random", "randomize", "randomise", "rand", "auto", "increment", "decrement", "fixed"];
/// Starts and ends of placeholders.
const AROUND: [(&str, &str); 12] = [
    ("{{", "}}"),
    ("${", "}"),
    ("#{", "}"),
    ("@{", "}"),
    ("<%", "%>"),
    ("[[", "]]"),
    ("%", "%"),
    ("<", ">"),
    ("{", "}"),
    ("[", "]"),
    ("__", "__"),
    ("$", ""),
];

/// Returns what to do about a value that a program should have replaced, beginning with `; `; empty for other values.
pub(in crate::graph) fn cure(value: &RawValue, is_seed: bool) -> &'static str {
    let json = value.get();
    if json.len() > BYTES_MAX || !json.starts_with(['"', 'n']) {
        return "";
    }
    let text = raw_value::text(value).unwrap_or_else(|| json.to_owned());
    let text = text.trim();
    let word = text.to_ascii_lowercase();
    if is_seed && (text.is_empty() || RANDOM.contains(&word.as_str())) {
        return "; for a random seed write -1 or \"random\"";
    }
    if text.is_empty() {
        return "; it is empty: write a value, or leave the input out";
    }
    if NOTHING.contains(&word.as_str()) {
        return "; the program that made the graph had no value here: give one, or leave the input out";
    }
    let is_around = |(start, end): &(&str, &str)| {
        text.len() > start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
    };
    if AROUND.iter().any(is_around) || AROUND[..5].iter().any(|(start, _)| text.contains(start)) {
        return "; it is a placeholder that was not filled in: put the value in its place, or write {{name}} and give \
                `name` in `params`";
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::cure;
    use serde_json::value::RawValue;

    fn found(json: &str, is_seed: bool) -> &'static str {
        cure(serde_json::from_str::<&RawValue>(json).unwrap_or(RawValue::NULL), is_seed)
    }

    #[test]
    fn what_a_program_left_is_named_with_its_cure() {
        let placeholders = [
            r#""%seed%""#,
            r#""{{ $json.width }}""#,
            r#""${width}""#,
            r#""<width>""#,
            r#""__WIDTH__""#,
            r#""{width}""#,
            r#""w=${w}""#,
            r#""$width""#,
        ];
        for json in placeholders {
            assert!(found(json, false).contains("placeholder"), "{json}");
        }
        for json in [r#""undefined""#, r#""None""#, "null", r#""[object Object]""#] {
            assert!(found(json, false).contains("had no value"), "{json}");
        }
        for json in [r#""random""#, r#""randomize""#, r#""""#, r#"" ""#] {
            assert!(found(json, true).contains("-1"), "{json}");
        }
        assert!(found(r#""""#, false).contains("empty"));
        for json in [r#""a cat""#, r#""12px""#, r#""%""#, "5", "{}", r#""euler""#, r#""50%""#] {
            assert_eq!(found(json, false), "", "{json}");
        }
    }
}

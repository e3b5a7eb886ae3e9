//! Python's `json`, `str`, `int` and `float`: bodies and messages must be formatted as by the real server.
//!
//! Invariant: pure, and never panics.

use serde_json::{Number, Value};
use std::fmt::Write;

/// Text that stands for Python's `nan` in a `ui` value. [`dumps`] writes it unquoted, as Python's `json` does.
pub(super) const NAN: &str = "\u{0}NaN";
/// Like [`NAN`], for `inf`.
pub(super) const INFINITY: &str = "\u{0}Infinity";

/// Python's `json.dumps(value)`: `", "` and `": "`, ASCII only, floats formatted as in Python.
pub(super) fn dumps(value: &Value) -> String {
    let mut out = String::new();
    write_json(value, &mut out);
    out
}

fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::String(text) if text == NAN || text == INFINITY => out.push_str(&text[1..]),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (at, (key, item)) in map.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_text(key, out);
                out.push_str(": ");
                write_json(item, out);
            }
            out.push('}');
        }
    }
}

/// Writes a JSON string literal, ASCII only.
pub(super) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a String takes every write");
                }
            }
        }
    }
    out.push('"');
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float_repr(float),
        _ => number.to_string(),
    }
}

/// Python's `repr(float)`.
pub(super) fn float_repr(float: f64) -> String {
    if float.is_nan() {
        return "nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if float != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{float:?}")
}

/// Python's `str(value)`.
pub(super) fn str_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        _ => repr(value),
    }
}

/// Python's `repr(value)`.
pub(super) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number_text(number),
        Value::String(text) => repr_text(text),
        Value::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, item)| format!("{}: {}", repr_text(key), repr(item))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

/// Python's `repr(text)`.
pub(super) fn repr_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if letter == quote => {
                out.push('\\');
                out.push(quote);
            }
            _ => out.push(letter),
        }
    }
    out.push(quote);
    out
}

/// Python's `int(value)`, or the text of the exception.
pub(super) fn int_of(value: &Value) -> Result<i128, String> {
    match value {
        Value::Bool(flag) => Ok(i128::from(*flag)),
        Value::Number(number) => Ok(number_int(number)),
        Value::String(text) => {
            let digits = text.trim().replace('_', "");
            digits.parse().map_err(|_| format!("invalid literal for int() with base 10: {}", repr_text(text)))
        }
        _ => Err(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            type_name(value)
        )),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "int() truncates; beyond i128 it saturates, which still fails a max"
)]
fn number_int(number: &Number) -> i128 {
    number.as_i128().unwrap_or_else(|| number.as_f64().unwrap_or(0.0) as i128)
}

/// Python's `float(value)`, or the text of the exception.
pub(super) fn float_of(value: &Value) -> Result<f64, String> {
    match value {
        Value::Bool(flag) => Ok(f64::from(u8::from(*flag))),
        Value::Number(number) => Ok(number.as_f64().unwrap_or(0.0)),
        Value::String(text) => text
            .trim()
            .replace('_', "")
            .parse()
            .map_err(|_| format!("could not convert string to float: {}", repr_text(text))),
        _ => Err(format!("float() argument must be a string or a real number, not '{}'", type_name(value))),
    }
}

/// Python's `bool(value)`.
pub(super) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Python's `type(value).__name__`.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// Returns a JSON number of any integer; a float if it does not fit.
pub(super) fn int_value(int: i128) -> Value {
    #[allow(clippy::cast_precision_loss, reason = "only what fits no integer becomes a float")]
    Number::from_i128(int).map_or_else(|| Value::from(int as f64), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::{NAN, dumps, float_repr, int_of, repr, str_of};
    use serde_json::{Value, json};

    #[test]
    fn json_reads_as_pythons() {
        let value = json!({"a": [1, 2.0, "é\n"], "b": {"c": null, "d": NAN}});
        assert_eq!(dumps(&value), r#"{"a": [1, 2.0, "\u00e9\n"], "b": {"c": null, "d": NaN}}"#);
    }

    #[test]
    fn floats_read_as_pythons() {
        for (float, text) in [(1e-7, "1e-07"), (1e16, "1e+16"), (0.0001, "0.0001"), (6.0, "6.0"), (1.5e300, "1.5e+300")]
        {
            assert_eq!(float_repr(float), text);
        }
    }

    #[test]
    fn ids_are_str_of_anything() {
        assert_eq!(str_of(&json!(7)), "7");
        assert_eq!(str_of(&Value::Null), "None");
        assert_eq!(str_of(&json!({"a": 1})), "{'a': 1}");
        assert_eq!(repr(&json!(["it's", true])), "[\"it's\", True]");
    }

    #[test]
    fn the_largest_seed_is_exact_and_one_more_is_larger() {
        let max: Value = serde_json::from_str("18446744073709551615").unwrap();
        let more: Value = serde_json::from_str("18446744073709551616").unwrap();
        assert_eq!(int_of(&max), Ok(i128::from(u64::MAX)));
        assert_eq!(int_of(&more), Ok(i128::from(u64::MAX) + 1));
        assert!(int_of(&json!("wide")).unwrap_err().contains("'wide'"));
    }
}

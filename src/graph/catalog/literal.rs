//! Literals of a graph as ComfyUI reads them (`execution.py`, `validate_inputs`): values are converted by Python before
//! their bounds are checked, so more is taken than from params. Refuses only what an instance surely refuses.

use super::{Input, Kind, Mismatch, other_type};
use crate::json::{NUMBER_BYTES_MAX, raw_value};
use serde_json::value::RawValue;

/// A number after Python's conversion.
enum Converted<T> {
    Number(T),
    /// A text that Python may read as a number and this program does not.
    Unsure,
    /// No number.
    Fails,
}

impl Input {
    /// Checks a literal of the graph. Returns the reason if every instance with this declaration refuses it, or takes it
    /// for something else than was meant: `bool("false")` is true, `str(None)` is `None`.
    pub(in crate::graph) fn refuses(&self, value: &RawValue) -> Option<Mismatch> {
        let wrapped = if raw_value::is_object(value) { wrapped(value) } else { None };
        let value = wrapped.unwrap_or(value);
        let is_outside = match &self.kind {
            Kind::Int { min, max } => int(value).is_outside(min.as_ref(), max.as_ref()),
            Kind::Float { min, max } => float(value).is_outside(min.as_ref(), max.as_ref()),
            Kind::Choice(choices) => return self.refuses_choice(choices, value),
            // An object is reported as a whole, with the names of the inputs that it should be.
            Kind::Dynamic(_) if raw_value::is_object(value) && wrapped.is_none() => return None,
            Kind::Dynamic(variants) => {
                let key = raw_value::text(value);
                let is_offered = variants.iter().any(|variant| Some(&variant.key) == key.as_ref());
                return (!is_offered).then(|| self.not_offered());
            }
            // Python turns anything into a text or a boolean: only numbers come out as they are meant.
            Kind::Boolean | Kind::Text => {
                let is_meant = match value.get().as_bytes().first() {
                    Some(b't' | b'f') => matches!(self.kind, Kind::Boolean),
                    Some(b'"') => matches!(self.kind, Kind::Text),
                    first => matches!(first, Some(b'-' | b'0'..=b'9')),
                };
                return (!is_meant).then(|| self.mismatch("value_wrong_type"));
            }
            // `LoadImage` would search for a file of that name.
            Kind::Open if self.is_upload && value.get() == "null" => return Some(self.mismatch("value_wrong_type")),
            Kind::Growing(_) | Kind::Open => return None,
        };
        match is_outside {
            None => Some(self.mismatch("value_wrong_type")),
            Some(true) => Some(self.mismatch("value_out_of_range")),
            Some(false) => None,
        }
    }

    fn refuses_choice(&self, choices: &[String], value: &RawValue) -> Option<Mismatch> {
        let is_known = |text: &str| choices.binary_search_by(|choice| choice.as_str().cmp(text)).is_ok();
        let is_offered = is_known(value.get())
            || raw_value::canonical(value).is_some_and(|text| is_known(&text))
            || self.spelling_of(value).is_some()
            // In Python `True == 1`.
            || matches!(value.get(), "true" if is_known("1"))
            || matches!(value.get(), "false" if is_known("0"));
        (!is_offered).then(|| self.not_offered())
    }

    fn not_offered(&self) -> Mismatch {
        Mismatch { is_choice: true, ..self.mismatch("value_not_offered") }
    }

    /// Returns the value of the list that names the same file with other separators (`\` for `/`), as JSON.
    pub(in crate::graph) fn spelling_of(&self, value: &RawValue) -> Option<&str> {
        let Kind::Choice(choices) = &self.kind else { return None };
        let wanted = value.get();
        if !wanted.starts_with('"') || !wanted.contains(['/', '\\']) {
            return None;
        }
        let wanted = same_separators(&raw_value::canonical(value)?);
        let is_same = |choice: &&String| choice.contains(['/', '\\']) && same_separators(choice) == wanted;
        choices.iter().find(is_same).map(String::as_str)
    }
}

impl<T: PartialOrd> Converted<T> {
    /// Whether it is out of bounds; `None` if it is no number.
    fn is_outside(&self, min: Option<&T>, max: Option<&T>) -> Option<bool> {
        match self {
            Self::Number(number) => Some(min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max)),
            Self::Unsure => Some(false),
            Self::Fails => None,
        }
    }
}

/// Returns a JSON text in which every separator of folders is `/`.
pub(in crate::graph) fn same_separators(json: &str) -> String {
    json.replace("\\\\", "/")
}

/// Returns the value inside `{"__value__": …}`, which ComfyUI unwraps.
fn wrapped(value: &RawValue) -> Option<&RawValue> {
    crate::json::member(value.get(), "__value__")
}

/// Converts as Python's `int(value)` does.
#[allow(clippy::cast_possible_truncation, reason = "`as` saturates, and every bound lies within")]
fn int(value: &RawValue) -> Converted<i128> {
    let json = value.get();
    match json.as_bytes().first() {
        // Python cuts a fraction off.
        Some(b'-' | b'0'..=b'9') if json.contains('.') && other_type::without_fraction(value).is_some() => {
            Converted::Fails
        }
        Some(b'-' | b'0'..=b'9') => match json.parse() {
            Ok(number) => Converted::Number(number),
            Err(_) => json.parse::<f64>().map_or(Converted::Unsure, |number| Converted::Number(number.trunc() as i128)),
        },
        Some(b'"') => match plain_text(value) {
            None => Converted::Unsure,
            Some(text) => text.parse().map_or_else(|_| unsure_if(is_digits(&text)), Converted::Number),
        },
        _ => Converted::Fails,
    }
}

/// Converts as Python's `float(value)` does.
fn float(value: &RawValue) -> Converted<f64> {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => json.parse().map_or(Converted::Unsure, Converted::Number),
        Some(b'"') => match plain_text(value) {
            None => Converted::Unsure,
            Some(text) => text.parse().map_or(Converted::Fails, Converted::Number),
        },
        _ => Converted::Fails,
    }
}

/// Returns a text as Python reads numbers: trimmed, `_` between digits left out. `None` if it is too long or has other
/// letters than ASCII: Python reads digits of every script.
fn plain_text(value: &RawValue) -> Option<String> {
    if value.get().len() > NUMBER_BYTES_MAX {
        return None;
    }
    let text = raw_value::text(value)?;
    text.is_ascii().then(|| text.trim().replace('_', ""))
}

/// Whether a text is a whole number, however long.
fn is_digits(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

const fn unsure_if<T>(is_unsure: bool) -> Converted<T> {
    if is_unsure { Converted::Unsure } else { Converted::Fails }
}

#[cfg(test)]
mod tests {
    use crate::graph::catalog::{Input, Kind};
    use serde_json::value::RawValue;

    fn refusal(kind: &Kind, value: &str) -> Option<&'static str> {
        let input = Input { kind: kind.clone(), ..Input::default() };
        input.refuses(serde_json::from_str::<&RawValue>(value).unwrap()).map(|mismatch| mismatch.code)
    }

    #[test]
    fn a_number_is_refused_if_python_cannot_convert_it_or_it_is_out_of_bounds() {
        let int = Kind::Int { min: Some(0), max: Some(100) };
        for taken in ["5", "5.0", "2e1", "\"20\"", "\" 1_0 \"", "\"+7\"", "{\"__value__\":5}", "\"٥\""] {
            assert_eq!(refusal(&int, taken), None, "{taken}");
        }
        for wrong in
            ["null", "\"x\"", "\"\"", "\"20.5\"", "{}", "{\"a\":1}", "{\"__value__\":[1]}", "5.9", "-0.5", "true"]
        {
            assert_eq!(refusal(&int, wrong), Some("value_wrong_type"), "{wrong}");
        }
        for outside in ["-1", "101", "1e30", "\"101\"", "{\"__value__\":101}"] {
            assert_eq!(refusal(&int, outside), Some("value_out_of_range"), "{outside}");
        }
        let float = Kind::Float { min: Some(0.0), max: Some(1.0) };
        for taken in ["1", "0.5", "\"5e-1\"", "\"nan\""] {
            assert_eq!(refusal(&float, taken), None, "{taken}");
        }
        for wrong in ["\"x\"", "true"] {
            assert_eq!(refusal(&float, wrong), Some("value_wrong_type"));
        }
        assert_eq!(refusal(&float, "\"inf\""), Some("value_out_of_range"));
    }

    /// Python makes `True` of "false", and `None` of null.
    #[test]
    fn what_python_takes_for_another_text_or_boolean_is_refused() {
        for taken in ["\"\"", "\"x\"", "5", "1e5", "{\"__value__\":\"x\"}"] {
            assert_eq!(refusal(&Kind::Text, taken), None, "{taken}");
        }
        for taken in ["true", "false", "0", "1", "{\"__value__\":true}"] {
            assert_eq!(refusal(&Kind::Boolean, taken), None, "{taken}");
        }
        for wrong in ["null", "{}", "{\"a\":1}", "{\"__value__\":[1]}"] {
            assert_eq!(refusal(&Kind::Text, wrong), Some("value_wrong_type"), "{wrong}");
            assert_eq!(refusal(&Kind::Boolean, wrong), Some("value_wrong_type"), "{wrong}");
        }
        for wrong in ["\"false\"", "\"\"", "\"x\""] {
            assert_eq!(refusal(&Kind::Boolean, wrong), Some("value_wrong_type"), "{wrong}");
        }
        assert_eq!(refusal(&Kind::Text, "true"), Some("value_wrong_type"));
    }

    /// Bug report 13.
    #[test]
    fn a_choice_is_the_same_file_with_either_separator() {
        let kind = Kind::Choice(vec!["\"SDXL\\\\a/b.safetensors\"".to_owned(), "\"plain\"".to_owned(), "1".to_owned()]);
        for taken in ["\"SDXL/a\\\\b.safetensors\"", "\"SDXL\\\\a/b.safetensors\"", "\"plain\"", "1.0", "true"] {
            assert_eq!(refusal(&kind, taken), None, "{taken}");
        }
        for other in ["\"SDXL/a.safetensors\"", "\"a/b\"", "null", "{}", "2", "false"] {
            assert_eq!(refusal(&kind, other), Some("value_not_offered"), "{other}");
        }
        let input = Input { kind, ..Input::default() };
        let given: &RawValue = serde_json::from_str("\"SDXL/a/b.safetensors\"").unwrap();
        assert_eq!(input.spelling_of(given), Some("\"SDXL\\\\a/b.safetensors\""));
    }
}

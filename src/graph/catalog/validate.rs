//! Validation of a value against an input's declaration (params.md, Types). A value out of bounds is an error, never
//! clamped.

use super::{Input, Kind, other_type};
use crate::{
    json::{NUMBER_BYTES_MAX, raw_value},
    problem::{clip, suggest},
};
use serde_json::value::RawValue;
use std::cell::OnceCell;

/// Number of choices of the same file name that a problem lists.
const CANDIDATES_MAX: usize = 5;
/// Number of choices that are searched.
const CHOICES_MAX: usize = 10_000;

/// A value to validate against several declarations, read at most once.
pub(in crate::graph) struct Given<'v> {
    raw: &'v RawValue,
    canonical: OnceCell<Option<String>>,
}

impl<'v> Given<'v> {
    pub(in crate::graph) fn new(raw: &'v RawValue) -> Self {
        Self { raw, canonical: OnceCell::new() }
    }

    fn canonical(&self) -> Option<&String> {
        self.canonical.get_or_init(|| raw_value::canonical(self.raw)).as_ref()
    }
}

/// The reason a value does not fit an input.
#[derive(Debug)]
pub(in crate::graph) struct Mismatch {
    pub(in crate::graph) code: &'static str,
    /// Description of valid values: `a whole number from 1 to 100`.
    pub(in crate::graph) expected: String,
    /// Whether it is none of a list, which another instance may offer.
    pub(in crate::graph) is_choice: bool,
}

impl Input {
    /// Validates a literal. Returns its replacement if it must be written differently: a number or boolean given as a
    /// text.
    pub(in crate::graph) fn validate(&self, given: &Given<'_>) -> Result<Option<Box<RawValue>>, Mismatch> {
        let value = given.raw;
        match &self.kind {
            Kind::Int { min, max } => {
                let Some(number) = integer(value) else { return Err(self.mismatch("param_type")) };
                if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
                    return Err(self.mismatch("param_out_of_range"));
                }
                Ok(is_text(value).then(|| token(number.to_string())))
            }
            Kind::Float { min, max } => {
                let Some(number) = float(value) else { return Err(self.mismatch("param_type")) };
                if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
                    return Err(self.mismatch("param_out_of_range"));
                }
                Ok(raw_value::text(value).map(|text| float_token(text.trim(), number)))
            }
            Kind::Boolean => match value.get() {
                "true" | "false" => Ok(None),
                _ => self.meant(value).map(Some).ok_or_else(|| self.mismatch("param_type")),
            },
            Kind::Text if is_text(value) => Ok(None),
            Kind::Text => Err(self.mismatch("param_type")),
            // The usual spelling needs no copy of the text.
            Kind::Choice(choices) if choices.binary_search_by(|choice| choice.as_str().cmp(value.get())).is_ok() => {
                Ok(None)
            }
            Kind::Choice(choices) => match given.canonical() {
                Some(value) if choices.binary_search(value).is_ok() => Ok(None),
                // The dispatcher writes it as the chosen instance spells it.
                Some(_) if self.spelling_of(value).is_some() => Ok(None),
                _ => self.equal_choice(value),
            },
            Kind::Dynamic(variants) => match raw_value::text(value) {
                Some(key) if variants.iter().any(|variant| variant.key == key) => Ok(None),
                None if raw_value::is_object(value) => Err(self.mismatch("param_type")),
                _ => self.equal_choice(value),
            },
            Kind::Growing(_) => Err(self.mismatch("param_type")),
            Kind::Open => Ok(None),
        }
    }

    /// Returns the choice that is equal but for its type: 15 for `"15"`.
    fn equal_choice(&self, value: &RawValue) -> Result<Option<Box<RawValue>>, Mismatch> {
        let refused = || Mismatch { is_choice: true, ..self.mismatch("param_not_an_option") };
        self.meant(value).map(Some).ok_or_else(refused)
    }

    pub(super) fn mismatch(&self, code: &'static str) -> Mismatch {
        let expected = match &self.kind {
            Kind::Int { min, max } => format!("a whole number{}", bounds(min.as_ref(), max.as_ref())),
            Kind::Float { min, max } => format!("a number{}", bounds(min.as_ref(), max.as_ref())),
            Kind::Boolean => "true or false".to_owned(),
            Kind::Text => "a text".to_owned(),
            Kind::Choice(choices) => format!("one of {} values", choices.len()),
            Kind::Dynamic(variants) => {
                let brought = variants.iter().flat_map(|variant| &variant.inputs).next();
                let brought = brought.map_or(String::new(), |(name, _)| {
                    format!(", as a text; what it brings are inputs of their own (`….{name}`)")
                });
                format!("one of {} values{brought}", variants.len())
            }
            Kind::Growing(growing) => match growing.names.first() {
                Some(name) => format!("links to its sockets, each under its own name (`….{name}`)"),
                None => "links to its sockets".to_owned(),
            },
            Kind::Open if self.is_upload => "a file: the name or the id of an upload".to_owned(),
            Kind::Open => "what the instance takes".to_owned(),
        };
        Mismatch { code, expected, is_choice: false }
    }

    /// Returns the most similar values of a combo. Each search compares thousands of names.
    pub(super) fn near_choices(&self, value: &RawValue) -> Vec<String> {
        match &self.kind {
            Kind::Choice(choices) => near_choices(raw_value::canonical(value).as_deref(), choices),
            Kind::Dynamic(variants) => {
                let keys: Vec<String> = variants.iter().map(|variant| variant.key.clone()).collect();
                near_choices(raw_value::canonical(value).as_deref(), &keys)
            }
            Kind::Int { .. } | Kind::Float { .. } | Kind::Boolean | Kind::Text | Kind::Growing(_) | Kind::Open => {
                Vec::new()
            }
        }
    }
}

fn bounds<T: ToString>(min: Option<&T>, max: Option<&T>) -> String {
    match (min.map(T::to_string), max.map(T::to_string)) {
        (Some(min), Some(max)) => format!(" from {min} to {max}"),
        (Some(min), None) => format!(" of at least {min}"),
        (None, Some(max)) => format!(" of at most {max}"),
        (None, None) => String::new(),
    }
}

/// Reads an integer, an integral float, or a decimal text (RunningHub's style).
#[allow(clippy::cast_possible_truncation, reason = "`as` saturates, and the bounds lie within")]
fn integer(value: &RawValue) -> Option<i128> {
    if is_text(value) {
        let text = number_text(value)?;
        return text.trim().parse().ok().or_else(|| other_type::without_fraction(value)?.parse().ok());
    }
    let token = value.get();
    token.parse().ok().or_else(|| {
        let number = float(value).filter(|number| number.fract() == 0.0)?;
        Some(number as i128)
    })
}

/// Reads a finite number, or the text of one.
fn float(value: &RawValue) -> Option<f64> {
    let text = number_text(value);
    let token = text.as_deref().map_or(value.get(), str::trim);
    token.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Reads a text that is short enough to be a number.
fn number_text(value: &RawValue) -> Option<String> {
    if value.get().len() <= NUMBER_BYTES_MAX { raw_value::text(value) } else { None }
}

/// Returns the text itself if it is a JSON number, otherwise the number re-encoded.
fn float_token(text: &str, number: f64) -> Box<RawValue> {
    let is_json = serde_json::from_str::<serde_json::Number>(text).is_ok();
    token(if is_json { text.to_owned() } else { number.to_string() })
}

fn token(number: String) -> Box<RawValue> {
    RawValue::from_string(number).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn is_text(value: &RawValue) -> bool {
    value.get().starts_with('"')
}

/// Returns similar choices: those of the same file name in another folder, else those that are spelt alike. Choices are
/// JSON texts; users type them without quotes.
fn near_choices(wanted: Option<&str>, choices: &[String]) -> Vec<String> {
    let plain =
        |json: &String| serde_json::from_str::<String>(json).unwrap_or_else(|_| json.trim_matches('"').to_owned());
    let Some(wanted) = wanted.map(|wanted| plain(&wanted.to_owned())) else { return Vec::new() };
    let choices: Vec<String> = choices.iter().take(CHOICES_MAX).map(plain).collect();
    let name = file_name(&wanted).to_lowercase();
    let is_same = |choice: &&String| !name.is_empty() && file_name(choice).to_lowercase() == name;
    let mut found: Vec<String> = choices.iter().filter(is_same).take(CANDIDATES_MAX).cloned().collect();
    if found.is_empty() {
        found = suggest(&wanted, &choices);
    }
    found.iter().map(|choice| clip(choice)).collect()
}

/// Returns what is behind the last separator of folders.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use crate::graph::catalog::{Given, Input, Kind};
    use serde_json::value::RawValue;

    fn validated(kind: &Kind, value: &str) -> Result<Option<String>, (&'static str, String, Vec<String>)> {
        let input = Input { kind: kind.clone(), ..Input::default() };
        let value: &RawValue = serde_json::from_str(value).unwrap();
        let validated =
            input.validate(&Given::new(value)).map(|written| written.map(|written| written.get().to_owned()));
        validated.map_err(|mismatch| (mismatch.code, mismatch.expected, input.near_choices(value)))
    }

    #[track_caller]
    fn assert_takes(kind: &Kind, values: &[(&str, Option<&str>)]) {
        for (value, written) in values {
            assert_eq!(validated(kind, value), Ok(written.map(str::to_owned)), "{value}");
        }
    }

    #[track_caller]
    fn assert_refuses(kind: &Kind, code: &str, values: &[&str]) {
        for value in values {
            assert_eq!(validated(kind, value).unwrap_err().0, code, "{value}");
        }
    }

    #[test]
    fn an_int_takes_whole_numbers_and_their_texts() {
        let kind = Kind::Int { min: Some(0), max: Some(u64::MAX.into()) };
        assert_takes(
            &kind,
            &[("20", None), ("20.0", None), ("2e1", None), ("-0.0", None), ("18446744073709551615", None)],
        );
        assert_takes(&kind, &[(r#""20""#, Some("20")), (r#"" 007 ""#, Some("7")), (r#""20.0""#, Some("20"))]);
        assert_takes(&kind, &[(r#""18446744073709551615""#, Some("18446744073709551615"))]);
        assert_refuses(
            &kind,
            "param_type",
            &["20.5", r#""20.5""#, r#""x""#, r#""""#, "true", "null", "{}", r#""0x10""#],
        );
        assert_refuses(&kind, "param_out_of_range", &["-1", "18446744073709551616", r#""-1""#, "1e30"]);
        assert_eq!(validated(&kind, "-1").unwrap_err().1, "a whole number from 0 to 18446744073709551615");
        assert_takes(&Kind::Int { min: None, max: None }, &[("-99999999999999999999", None)]);
    }

    #[test]
    fn a_float_takes_numbers_and_their_texts_but_nothing_infinite() {
        let kind = Kind::Float { min: Some(0.0), max: Some(100.0) };
        assert_takes(
            &kind,
            &[("1", None), ("1e-7", None), ("100", None), (r#""0.50""#, Some("0.50")), (r#"" 3 ""#, Some("3"))],
        );
        assert_takes(&kind, &[(r#"".5""#, Some("0.5"))]);
        assert_refuses(&kind, "param_type", &[r#""nan""#, r#""inf""#, r#""x""#, "true", "null", "[1]"]);
        assert_refuses(&kind, "param_out_of_range", &["-0.1", "100.01", r#""101""#]);
    }

    #[test]
    fn a_boolean_takes_its_two_words() {
        assert_takes(
            &Kind::Boolean,
            &[("true", None), ("false", None), (r#""true""#, Some("true")), (r#""false""#, Some("false"))],
        );
        assert_takes(&Kind::Boolean, &[(r#""False""#, Some("false")), (r#""yes""#, Some("true"))]);
        assert_refuses(&Kind::Boolean, "param_type", &["0", "1", r#""maybe""#, r#""""#, "null"]);
    }

    #[test]
    fn a_text_takes_texts_only() {
        assert_takes(&Kind::Text, &[(r#""""#, None), (r#""20""#, None)]);
        assert_refuses(&Kind::Text, "param_type", &["20", "true", "null", "{}", "[]"]);
    }

    #[test]
    fn a_combo_takes_its_members_with_their_types() {
        let kind = Kind::Choice(vec![r#""dpmpp_2m""#.to_owned(), r#""euler""#.to_owned(), "512".to_owned()]);
        assert_takes(&kind, &[(r#""euler""#, None), (r#""\u0065uler""#, None), ("512", None), ("512.0", None)]);
        assert_takes(&kind, &[(r#""512""#, Some("512")), (r#""512.0""#, Some("512"))]);
        assert_refuses(&kind, "param_not_an_option", &[r#""513""#, r#""Euler""#, "513", "true", "null", "{}"]);
        assert_eq!(validated(&kind, r#""eular""#).unwrap_err().2, ["euler"]);
        assert_refuses(&Kind::Choice(Vec::new()), "param_not_an_option", &[r#""x""#]);
    }

    /// Bug report 13.
    #[test]
    fn a_file_in_another_folder_is_near() {
        let kind =
            Kind::Choice(vec![r#""SDXL\\base.safetensors""#.to_owned(), r#""sd15/other.safetensors""#.to_owned()]);
        for (wanted, near) in [
            (r#""base.safetensors""#, r"SDXL\base.safetensors"),
            (r#""old/Base.safetensors""#, r"SDXL\base.safetensors"),
            (r#""other.safetensors""#, "sd15/other.safetensors"),
            (r#""sd15/othar.safetensors""#, "sd15/other.safetensors"),
        ] {
            assert_eq!(validated(&kind, wanted).unwrap_err().2, [near], "{wanted}");
        }
    }

    #[test]
    fn an_open_input_takes_any_value() {
        assert_takes(&Kind::Open, &[("null", None), ("20.5", None), (r#"{"a":1}"#, None)]);
    }
}

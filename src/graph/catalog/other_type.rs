//! Literals of another type than the declared one: `"false"` for a boolean, `"15"` where a list offers 15. ComfyUI takes
//! some of them for something else than was meant (`bool("false")` is true, `str(None)` is `None`), and refuses others.

use super::{Input, Kind};
use crate::json::{NUMBER_BYTES_MAX, raw_value};
use serde_json::value::RawValue;

/// Texts that mean true or false, in lower case.
const WORDS: [(&str, bool); 10] = [
    ("true", true),
    ("false", false),
    ("1", true),
    ("0", false),
    ("yes", true),
    ("no", false),
    ("on", true),
    ("off", false),
    ("y", true),
    ("n", false),
];

impl Input {
    /// Returns the value that a literal of another type means, as the catalog writes it. `None` if it is of the declared
    /// type, or means no value of it. Bounds are not checked.
    pub(in crate::graph) fn meant(&self, value: &RawValue) -> Option<Box<RawValue>> {
        match &self.kind {
            Kind::Int { .. } => match value.get() {
                "true" => json("1"),
                "false" => json("0"),
                _ => json(&without_fraction(value)?),
            },
            Kind::Float { .. } => match value.get() {
                "true" => json("1"),
                "false" => json("0"),
                _ => None,
            },
            Kind::Boolean => json(if boolean(value)? { "true" } else { "false" }),
            Kind::Text => matches!(value.get(), "true" | "false").then(|| raw_value::quote(value.get())),
            Kind::Choice(choices) => json(self.spelled(equal(choices, value)?)),
            Kind::Dynamic(variants) => {
                let keys: Vec<String> =
                    variants.iter().map(|variant| raw_value::quote(&variant.key).get().to_owned()).collect();
                json(equal(&keys, value)?)
            }
            Kind::Growing(_) | Kind::Open => None,
        }
    }

    /// Returns a choice as the instance writes it: `1.0` for `1`.
    fn spelled<'a>(&'a self, choice: &'a str) -> &'a str {
        let is_same = |spelled: &&String| canonical(spelled).as_deref() == Some(choice);
        self.spelled.iter().find(is_same).map_or(choice, String::as_str)
    }
}

/// Returns the boolean that a text means.
fn boolean(value: &RawValue) -> Option<bool> {
    if !value.get().starts_with('"') {
        return None;
    }
    let word = inner(value)?.to_ascii_lowercase();
    WORDS.iter().find(|(text, _)| *text == word).map(|(_, meant)| *meant)
}

/// Returns the whole number of a number with a fraction, as Python cuts it off, or of a text that ends in `.0`.
pub(super) fn without_fraction(value: &RawValue) -> Option<String> {
    let text = inner(value)?;
    let (whole, fraction) = text.split_once('.')?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_cut = is_digits(digits) && is_digits(fraction) && !digits.is_empty();
    let is_zero = fraction.bytes().all(|byte| byte == b'0');
    // A text with a fraction is refused by Python, and says nothing about which number is meant.
    let is_meant = is_zero == value.get().starts_with('"');
    (is_cut && is_meant).then(|| whole.parse::<i128>().ok())?.map(|number| number.to_string())
}

/// Returns the choice that is equal if texts count as what they spell: `1` for `"1"`, `"15"` for 15, true for `"True"`.
fn equal<'a>(choices: &'a [String], value: &RawValue) -> Option<&'a str> {
    let wanted = meaning(&inner(value)?)?;
    let mut found = choices.iter().filter(|choice| {
        let first = choice.trim_start_matches('"').as_bytes().first().copied().unwrap_or_default();
        // Cheap, for lists of thousands of file names.
        (first.is_ascii_digit() || b"-+.tTfF ".contains(&first))
            && unquoted(choice).and_then(|text| meaning(&text)).as_ref() == Some(&wanted)
    });
    found.next().map(String::as_str)
}

/// Returns one text for equal numbers and booleans; `None` for other texts.
fn meaning(text: &str) -> Option<String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Some(text.to_ascii_lowercase());
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && text.bytes().any(|byte| byte.is_ascii_digit());
    if !is_number || text.len() > NUMBER_BYTES_MAX {
        return None;
    }
    match text.parse::<i128>() {
        Ok(number) => Some(number.to_string()),
        Err(_) => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number.to_string()),
    }
}

fn canonical(json: &str) -> Option<String> {
    serde_json::from_str::<&RawValue>(json).ok().and_then(raw_value::canonical)
}

/// Returns the content of a short text, trimmed, or the JSON of a number or a boolean.
fn inner(value: &RawValue) -> Option<String> {
    let is_plain = !matches!(value.get().as_bytes().first(), Some(b'{' | b'[' | b'n') | None);
    if is_plain && value.get().len() <= NUMBER_BYTES_MAX { unquoted(value.get()) } else { None }
}

fn unquoted(json: &str) -> Option<String> {
    if !json.starts_with('"') {
        return Some(json.to_owned());
    }
    serde_json::from_str::<String>(json).ok().map(|text| text.trim().to_owned())
}

fn json(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use crate::graph::catalog::{Catalog, Kind};
    use serde_json::value::RawValue;

    fn meant(spec: &str, value: &str) -> Option<String> {
        let info = format!(r#"{{"A":{{"input":{{"required":{{"x":{spec}}}}}}}}}"#);
        let catalog = Catalog::parse(&info).unwrap();
        let stored = Catalog::from_json(&catalog.to_json()).unwrap();
        let input = stored.class("A").unwrap().input("x").unwrap();
        assert!(!matches!(input.kind, Kind::Open), "{spec}");
        input.meant(serde_json::from_str::<&RawValue>(value).unwrap()).map(|value| value.get().to_owned())
    }

    #[test]
    fn a_text_is_the_boolean_or_the_choice_that_it_spells() {
        let dynamic = r#"["COMFY_DYNAMICCOMBO_V3",{"options":[{"key":"2","inputs":{}},{"key":"x","inputs":{}}]}]"#;
        for (spec, value, expected) in [
            (r#"["BOOLEAN"]"#, r#""false""#, "false"),
            (r#"["BOOLEAN"]"#, r#"" False ""#, "false"),
            (r#"["BOOLEAN"]"#, r#""TRUE""#, "true"),
            (r#"["BOOLEAN"]"#, r#""0""#, "false"),
            (r#"["BOOLEAN"]"#, r#""no""#, "false"),
            (r#"["INT"]"#, "true", "1"),
            (r#"["INT"]"#, "5.9", "5"),
            (r#"["INT"]"#, "-0.5", "0"),
            (r#"["INT"]"#, r#""512.0""#, "512"),
            (r#"["FLOAT"]"#, "false", "0"),
            (r#"["STRING"]"#, "true", r#""true""#),
            (r#"[[0.25,0.5,1.0,2]]"#, r#""1""#, "1.0"),
            (r#"[[0.25,0.5,1.0,2]]"#, r#""0.50""#, "0.5"),
            (r#"["COMBO",{"options":[5,10,15]}]"#, r#""15""#, "15"),
            (r#"["COMBO",{"options":["5","10","auto"]}]"#, "10", r#""10""#),
            (r#"["COMBO",{"options":["1.0","2.0"]}]"#, "1", r#""1.0""#),
            (r#"[[true,false]]"#, r#""True""#, "true"),
            (r#"[["true","false"]]"#, "true", r#""true""#),
            (dynamic, "2", r#""2""#),
        ] {
            assert_eq!(meant(spec, value).as_deref(), Some(expected), "{spec} {value}");
        }
    }

    #[test]
    fn what_spells_no_value_means_none() {
        for (spec, value) in [
            (r#"["BOOLEAN"]"#, r#""maybe""#),
            (r#"["BOOLEAN"]"#, r#""""#),
            (r#"["BOOLEAN"]"#, "null"),
            (r#"["BOOLEAN"]"#, "1"),
            (r#"["INT"]"#, r#""5.9""#),
            (r#"["INT"]"#, r#""x.0""#),
            (r#"["INT"]"#, "null"),
            (r#"["STRING"]"#, "null"),
            (r#"["COMBO",{"options":["720p","1x"]}]"#, "720"),
            (r#"["COMBO",{"options":["720p","1x"]}]"#, r#""1""#),
            (r#"[[1,2]]"#, r#""3""#),
            (r#"[[1,2]]"#, "null"),
            (r#"[[1,2]]"#, r#""""#),
            (r#"[["e","-"]]"#, r#""E""#),
        ] {
            assert_eq!(meant(spec, value), None, "{spec} {value}");
        }
    }
}

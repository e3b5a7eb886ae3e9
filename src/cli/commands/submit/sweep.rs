//! `--sweep KEY=V1,V2,…`: the values of one param, each parsed like that of `-p`.

use super::params::{ParamValue, parse_value};
use crate::cli::error::Error;
use serde_json::value::RawValue;

/// A `--sweep` argument.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// Address or declared name, as in `-p`.
    pub(crate) key: String,
    pub(crate) values: Vec<ParamValue>,
}

/// Parses all `--sweep` arguments, in their order: the values of the last change fastest.
pub(crate) fn parse_all(texts: &[String]) -> Result<Vec<Sweep>, Error> {
    let mut sweeps: Vec<Sweep> = Vec::new();
    for text in texts {
        let Some((key, values)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Error::Usage(format!("--sweep `{text}`: write it like 3.steps=10,20,30")));
        };
        if sweeps.iter().any(|other| other.key == key) {
            return Err(Error::Usage(format!("duplicate --sweep {key}: put its values into one list")));
        }
        let values = values_of(values).map_err(|why| Error::Usage(format!("--sweep {key}: {why}")))?;
        sweeps.push(Sweep { key: key.to_owned(), values });
    }
    Ok(sweeps)
}

/// Parses a JSON list, or values separated by commas. If these are all JSON they are parsed together, so that `"a,
/// b","c"` are two values.
fn values_of(text: &str) -> Result<Vec<ParamValue>, String> {
    let list = |text: &str| serde_json::from_str::<Vec<Box<RawValue>>>(text);
    if let Ok(values) = list(text).or_else(|_| list(&format!("[{text}]"))) {
        return match values.is_empty() {
            true => Err("it has no values".to_owned()),
            false => Ok(values.into_iter().map(ParamValue::Json).collect()),
        };
    }
    text.split(',').map(|part| value_of(part.trim())).collect()
}

fn value_of(part: &str) -> Result<ParamValue, String> {
    if part.is_empty() {
        return Err("empty value next to a comma; write an empty string as \"\"".to_owned());
    }
    match parse_value(part)? {
        // Part of a JSON value that contains a comma.
        ParamValue::Json(_) if part.starts_with(['"', '[', '{']) && is_no_json(part) => {
            Err(format!("`{part}` is cut off at a comma: write a JSON list, like '[\"a cat, asleep\", \"a dog\"]'"))
        }
        value => Ok(value),
    }
}

fn is_no_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()
}

#[cfg(test)]
mod tests {
    use super::{ParamValue, parse_all};

    fn values(text: &str) -> Vec<String> {
        let sweeps = parse_all(&[text.to_owned()]).unwrap_or_else(|error| panic!("{text}: {error}"));
        let shown = |value: &ParamValue| match value {
            ParamValue::Json(value) => value.get().to_owned(),
            ParamValue::File(path) => format!("file {}", path.display()),
        };
        sweeps[0].values.iter().map(shown).collect()
    }

    #[test]
    fn values_stay_as_typed_in_every_form_of_list() {
        for (text, expected) in [
            ("3.steps=10,20", &["10", "20"][..]),
            ("3.cfg=1e-7, 20.00", &["1e-7", "20.00"]),
            ("3.seed=18446744073709551615", &["18446744073709551615"]),
            ("name=euler, ddim", &["\"euler\"", "\"ddim\""]),
            ("name=euler,3", &["\"euler\"", "3"]),
            ("6.text=\"a cat, asleep\",\"a=b\"", &["\"a cat, asleep\"", "\"a=b\""]),
            ("6.text=[\"a, b\", 1]", &["\"a, b\"", "1"]),
            ("x=[[1,2],[3]]", &["[1,2]", "[3]"]),
            ("3.seed={\"$random\":{\"min\":1,\"max\":2}},7", &["{\"$random\":{\"min\":1,\"max\":2}}", "7"]),
            ("image=@a b.png,@b.png", &["file a b.png", "file b.png"]),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn ambiguous_values_are_refused() {
        for (text, why) in [
            ("x", "write it like"),
            ("=1,2", "write it like"),
            ("x=", "no values"),
            ("x=[]", "no values"),
            ("x=1,,b", "next to a comma"),
            ("x=a,", "next to a comma"),
            ("x=\"a, b\",c", "cut off at a comma"),
            ("x=@", "a file name is missing"),
        ] {
            let error = parse_all(&[text.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(parse_all(&["a=1".to_owned(), "a=2".to_owned()]).unwrap_err().to_string().contains("duplicate"));
    }
}

//! `-p KEY=VALUE`: a JSON value is sent exactly as typed, `@file` is uploaded, anything else is a string.

use crate::cli::error::Error;
use serde_json::value::RawValue;
use std::path::PathBuf;

/// A `-p` argument.
#[derive(Debug)]
pub(crate) struct Param {
    /// Address or declared name: `6.text`, `3:KSampler.seed`, `@Title.text`, `prompt`.
    pub(crate) key: String,
    pub(crate) value: ParamValue,
}

/// Value of a param.
#[derive(Debug)]
pub(crate) enum ParamValue {
    /// JSON as typed: a number such as 18446744073709551615 or 1e-7 stays exact.
    Json(Box<RawValue>),
    /// File to upload.
    File(PathBuf),
}

/// Parses all `-p` arguments, in their order.
pub(crate) fn parse_all(texts: &[String]) -> Result<Vec<Param>, Error> {
    let mut params: Vec<Param> = Vec::new();
    for text in texts {
        let param = parse(text)?;
        if params.iter().any(|other| other.key == param.key) {
            return Err(Error::Usage(format!("duplicate -p {}", param.key)));
        }
        params.push(param);
    }
    Ok(params)
}

fn parse(text: &str) -> Result<Param, Error> {
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        return Err(Error::Usage(format!("-p `{text}`: write it like 6.text=hello or image=@photo.png")));
    };
    let value = parse_value(value).map_err(|why| Error::Usage(format!("-p {key}={value}: {why}")))?;
    Ok(Param { key: key.to_owned(), value })
}

/// Parses the value of a param.
pub(crate) fn parse_value(value: &str) -> Result<ParamValue, String> {
    match value.strip_prefix('@') {
        Some("") => Err("a file name is missing".to_owned()),
        Some(path) => Ok(ParamValue::File(PathBuf::from(path))),
        None => Ok(ParamValue::Json(json_or_text(value))),
    }
}

fn json_or_text(text: &str) -> Box<RawValue> {
    serde_json::from_str(text)
        .unwrap_or_else(|_| serde_json::value::to_raw_value(text).expect("a text can be written as JSON"))
}

#[cfg(test)]
mod tests {
    use super::{ParamValue, parse, parse_all};

    #[test]
    fn json_stays_as_typed_and_the_rest_is_a_string() {
        for (text, key, json) in [
            ("6.text=a lighthouse", "6.text", "\"a lighthouse\""),
            ("6.text=a=b", "6.text", "\"a=b\""),
            ("6.text=", "6.text", "\"\""),
            ("3.seed=18446744073709551615", "3.seed", "18446744073709551615"),
            ("3.cfg=1e-7", "3.cfg", "1e-7"),
            ("3.seed={\"$random\":{}}", "3.seed", "{\"$random\":{}}"),
            ("6.text=\"@home\"", "6.text", "\"@home\""),
            ("a=tru", "a", "\"tru\""),
            ("@Save[*].filename_prefix=x", "@Save[*].filename_prefix", "\"x\""),
        ] {
            let param = parse(text).unwrap();
            let ParamValue::Json(value) = &param.value else { panic!("{text}") };
            assert_eq!((param.key.as_str(), value.get()), (key, json), "{text}");
        }
        assert!(matches!(parse("image=@a b.png").unwrap().value, ParamValue::File(path) if path.ends_with("a b.png")));
        for bad in ["", "x", "=1", "image=@"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse_all(&["a=1".to_owned(), "a=2".to_owned()]).is_err());
    }
}

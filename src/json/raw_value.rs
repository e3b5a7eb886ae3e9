//! Single values of raw JSON: their kind, their members, their content.

use super::members::{Member, Members};
use serde_json::value::RawValue;

/// Returns the members of an object in their order; `None` for any other value.
pub(crate) fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    let members = borrowed_members(raw)?;
    Some(members.into_iter().map(|(name, value)| (name.into_owned(), value)).collect())
}

/// Like [`members`], without a copy of each key: for reading whole graphs.
pub(crate) fn borrowed_members(raw: &RawValue) -> Option<Vec<Member<'_>>> {
    if !is_object(raw) {
        return None;
    }
    serde_json::from_str::<Members<'_>>(raw.get()).ok().map(|members| members.0)
}

/// Returns the elements of an array; `None` for any other value.
pub(crate) fn elements(raw: &RawValue) -> Option<Vec<&RawValue>> {
    if !is_array(raw) {
        return None;
    }
    serde_json::from_str(raw.get()).ok()
}

/// Returns the text of a string; `None` for any other value.
pub(crate) fn text(raw: &RawValue) -> Option<String> {
    if !raw.get().starts_with('"') {
        return None;
    }
    serde_json::from_str(raw.get()).ok()
}

/// Returns a boolean; `None` for any other value.
pub(crate) fn boolean(raw: &RawValue) -> Option<bool> {
    match raw.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Returns a whole number that is written without fraction and exponent; `None` for any other value.
pub(crate) fn integer(raw: &RawValue) -> Option<i128> {
    raw.get().parse().ok()
}

/// Whether the value is an object.
pub(crate) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// Whether the value is an array.
pub(crate) fn is_array(raw: &RawValue) -> bool {
    raw.get().starts_with('[')
}

/// Returns one text for equal values: `"a"` however it is escaped, `20` for `20.0` and `2e1`. `None` for arrays, objects
/// and null.
pub(crate) fn canonical(raw: &RawValue) -> Option<String> {
    let json = raw.get();
    match json.as_bytes().first()? {
        b'"' => text(raw).map(|text| quote(&text).get().to_owned()),
        b't' | b'f' => Some(json.to_owned()),
        b'-' | b'0'..=b'9' => Some(match json.parse::<i128>() {
            Ok(number) => number.to_string(),
            // Rust writes the shortest text that reads back as the same number, without a fraction where there is none.
            Err(_) => json.parse::<f64>().ok().filter(|number| number.is_finite())?.to_string(),
        }),
        _ => None,
    }
}

/// Returns a string as JSON.
pub(crate) fn quote(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).expect("a string is always JSON")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{borrowed_members, canonical, members};
    use serde_json::value::RawValue;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn equal_values_have_one_canonical_text() {
        for (json, expected) in [
            (r#""\u0061\/b""#, Some(r#""a/b""#)),
            ("20", Some("20")),
            ("20.0", Some("20")),
            ("2e1", Some("20")),
            ("0.50", Some("0.5")),
            ("-0", Some("0")),
            ("true", Some("true")),
            ("null", None),
            ("[]", None),
            ("{}", None),
        ] {
            assert_eq!(canonical(raw(json)).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn a_key_is_copied_only_for_an_escape() {
        let found = borrowed_members(raw(r#"{"plain":1,"\u0061":2}"#)).unwrap();
        assert!(matches!(&found[0].0, std::borrow::Cow::Borrowed("plain")));
        assert!(matches!(&found[1].0, std::borrow::Cow::Owned(name) if name == "a"));
    }

    #[test]
    fn members_keep_order_and_bytes() {
        let found = members(raw(r#" {"z":1.10, "a" : [1, 2] } "#)).unwrap();
        let texts: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.get())).collect();
        assert_eq!(texts, [("z", "1.10"), ("a", "[1, 2]")]);
        assert!(members(raw("[]")).is_none());
    }
}

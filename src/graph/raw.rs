//! Looking into raw JSON without taking it apart: what kind of value it is, its members, a link's target.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// A member of an object: its name, decoded, and its value.
pub(super) type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// The members of an object in the order they came; `None` for anything else.
pub(super) fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    let members = borrowed_members(raw)?;
    Some(members.into_iter().map(|(name, value)| (name.into_owned(), value)).collect())
}

/// As [`members`], without a copy of each name: for reading whole graphs.
pub(super) fn borrowed_members(raw: &RawValue) -> Option<Vec<Member<'_>>> {
    if !is_object(raw) {
        return None;
    }
    serde_json::from_str::<Members<'_>>(raw.get()).ok().map(|members| members.0)
}

/// The elements of an array; `None` for anything else.
pub(super) fn elements(raw: &RawValue) -> Option<Vec<&RawValue>> {
    if !is_array(raw) {
        return None;
    }
    serde_json::from_str(raw.get()).ok()
}

/// The text of a string; `None` for anything else.
pub(super) fn text(raw: &RawValue) -> Option<String> {
    if !raw.get().starts_with('"') {
        return None;
    }
    serde_json::from_str(raw.get()).ok()
}

/// Whether it is an object.
pub(super) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// Whether it is an array.
pub(super) fn is_array(raw: &RawValue) -> bool {
    raw.get().starts_with('[')
}

/// Whether a text begins as a URL of the web does.
pub(super) fn is_url(text: &str) -> bool {
    let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    begins("http://") || begins("https://")
}

/// The node that a link leads to, as text of its own.
pub(super) fn link_target(raw: &RawValue) -> Option<String> {
    borrowed_link_target(raw).map(Cow::into_owned)
}

/// The node that a link leads to. ComfyUI takes for a link what is a list of a string and an int, float or bool
/// (`comfy_execution/graph_utils.py`, `is_link`).
pub(super) fn borrowed_link_target(raw: &RawValue) -> Option<Cow<'_, str>> {
    if !is_array(raw) {
        return None;
    }
    if let Some(target) = plain_link_target(raw.get()) {
        return Some(Cow::Borrowed(target));
    }
    let elements = elements(raw)?;
    let [target, slot] = elements.as_slice() else { return None };
    let is_slot = matches!(slot.get().as_bytes().first(), Some(b'0'..=b'9' | b'-' | b't' | b'f'));
    if is_slot { text(target).map(Cow::Owned) } else { None }
}

/// The target of a link as everybody writes it: `["4",0]`.
fn plain_link_target(json: &str) -> Option<&str> {
    let (target, slot) = json.strip_prefix("[\"")?.strip_suffix(']')?.split_once('"')?;
    let slot = slot.strip_prefix(',')?.trim_ascii();
    let is_plain = !target.contains('\\') && !slot.is_empty() && slot.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then_some(target)
}

/// The same text for equal values: `"a"` however it is escaped, `20` for `20.0` and `2e1`. `None` for lists, objects and null.
pub(super) fn canonical(raw: &RawValue) -> Option<String> {
    let json = raw.get();
    match json.as_bytes().first()? {
        b'"' => text(raw).map(|text| quote(&text).get().to_owned()),
        b't' | b'f' => Some(json.to_owned()),
        b'-' | b'0'..=b'9' => Some(match json.parse::<i128>() {
            Ok(number) => number.to_string(),
            // Rust writes the shortest text that leads back to the same number, without a fraction where there is none.
            Err(_) => json.parse::<f64>().ok().filter(|number| number.is_finite())?.to_string(),
        }),
        _ => None,
    }
}

/// A string as JSON.
pub(super) fn quote(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).expect("a string is always JSON")
}

struct Members<'a>(Vec<Member<'a>>);

/// A name that is copied only when it holds an escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{borrowed_members, canonical, link_target, members};
    use serde_json::value::RawValue;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_link_is_what_comfyui_takes_for_one() {
        for link in [r#"["4",0]"#, r#"[ "4" , 1.5 ]"#, r#"["4",true]"#, r#"["\u0034",-1]"#] {
            assert_eq!(link_target(raw(link)).as_deref(), Some("4"), "{link}");
        }
        for other in [r#"["4"]"#, r#"["4",0,1]"#, r#"[4,0]"#, r#"["4","0"]"#, r#"["4",null]"#, "[]", "4", r#"{"4":0}"#]
        {
            assert_eq!(link_target(raw(other)), None, "{other}");
        }
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
    fn a_name_is_copied_only_for_an_escape() {
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

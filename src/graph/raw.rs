//! Looking into raw JSON without taking it apart: what kind of value it is, its members, a link's target.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;

/// The members of an object in the order they came; `None` for anything else.
pub(super) fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
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

/// The node that a link leads to. ComfyUI takes for a link what is a list of a string and an int, float or bool
/// (`comfy_execution/graph_utils.py`, `is_link`).
pub(super) fn link_target(raw: &RawValue) -> Option<String> {
    let elements = elements(raw)?;
    let [target, slot] = elements.as_slice() else { return None };
    let is_slot = matches!(slot.get().as_bytes().first(), Some(b'0'..=b'9' | b'-' | b't' | b'f'));
    if is_slot { text(target) } else { None }
}

/// A string as JSON.
pub(super) fn quote(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).expect("a string is always JSON")
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::{link_target, members};
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
    fn members_keep_order_and_bytes() {
        let found = members(raw(r#" {"z":1.10, "a" : [1, 2] } "#)).unwrap();
        let texts: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.get())).collect();
        assert_eq!(texts, [("z", "1.10"), ("a", "[1, 2]")]);
        assert!(members(raw("[]")).is_none());
    }
}

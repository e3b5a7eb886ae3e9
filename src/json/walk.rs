//! Reads lists and objects item by item, so that memory does not grow with the number of items.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, ops::ControlFlow};

/// Passes each member of an object to `each` until that breaks. `None` for another value, and for text that is not JSON.
pub(crate) fn each_member<'a>(
    json: &'a str,
    each: impl FnMut(Cow<'a, str>, &'a RawValue) -> ControlFlow<()>,
) -> Option<()> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(Members(each)).ok()?;
    deserializer.end().ok()
}

/// Passes each element of a list to `each` until that breaks. `None` for another value, and for text that is not JSON.
pub(crate) fn each_element<'a>(json: &'a str, each: impl FnMut(&'a RawValue) -> ControlFlow<()>) -> Option<()> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_seq(Elements(each)).ok()?;
    deserializer.end().ok()
}

/// Returns the first value of this name.
pub(crate) fn member<'a>(json: &'a str, name: &str) -> Option<&'a RawValue> {
    let mut found = None;
    each_member(json, |key, value| {
        if key == name {
            found = Some(value);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    found
}

/// Returns the first `N` elements of a list that has them.
pub(crate) fn first_elements<const N: usize>(json: &str) -> Option<[&RawValue; N]> {
    let mut found = Vec::with_capacity(N);
    each_element(json, |value| {
        found.push(value);
        if found.len() < N { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    found.try_into().ok()
}

/// A key that borrows from the text where it can.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue) -> ControlFlow<()>> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            if (self.0)(key, value).is_break() {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(())
    }
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de RawValue) -> ControlFlow<()>> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element::<&'de RawValue>()? {
            if (self.0)(value).is_break() {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{each_element, each_member, first_elements, member};
    use std::ops::ControlFlow;

    #[test]
    fn members_and_elements_come_in_order_until_the_reader_stops() {
        let mut seen = Vec::new();
        let read = each_member(r#" {"a":1,"\u0062":[2],"a":3} "#, |key, value| {
            seen.push(format!("{key}={}", value.get()));
            ControlFlow::Continue(())
        });
        assert_eq!((read, seen.join(" ")), (Some(()), "a=1 b=[2] a=3".to_owned()));
        let mut count = 0;
        let read = each_element("[1,2,3]", |_| {
            count += 1;
            ControlFlow::Break(())
        });
        assert_eq!((read, count), (Some(()), 1));
    }

    #[test]
    fn what_is_cut_off_or_of_another_kind_is_nothing() {
        for json in ["", "7", "[1]", "{\"a\":1", "{\"a\":1}x", "{\"a\" 1}"] {
            assert_eq!(each_member(json, |_, _| ControlFlow::Continue(())), None, "{json}");
            assert_eq!(each_member(json, |_, _| ControlFlow::Break(())), None, "{json}");
        }
        for json in ["", "7", "{}", "[1", "[1]]", "[1 2]"] {
            assert_eq!(each_element(json, |_| ControlFlow::Continue(())), None, "{json}");
            assert_eq!(each_element(json, |_| ControlFlow::Break(())), None, "{json}");
        }
    }

    #[test]
    fn one_member_and_the_first_elements_are_found() {
        assert_eq!(member(r#"{"a":1,"b":{"c":2}}"#, "b").unwrap().get(), r#"{"c":2}"#);
        assert!(member(r#"{"a":1}"#, "b").is_none() && member("[]", "b").is_none());
        let [first, second] = first_elements(r#"[7,"id",{},[]]"#).unwrap();
        assert_eq!((first.get(), second.get()), ("7", "\"id\""));
        assert!(first_elements::<2>("[7]").is_none());
    }
}

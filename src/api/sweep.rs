//! `count` and `sweep` of a submit: which tasks one request asks for, and the params of each.

use super::{
    error::Flaw,
    http::json::{self, Members},
};
use crate::settings::limits::BATCH_TASKS_MAX;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Many tasks in one request.
#[derive(Debug)]
pub(super) struct BatchWish<'a> {
    /// How often each combination, 1 when not asked.
    pub(super) count: u16,
    /// `sweep` as it came; `{}` when not there.
    pub(super) raw: &'a RawValue,
    sweep: Sweep<'a>,
}

/// Lists of values: every combination is a task, the last list's values change fastest.
#[derive(Debug, Default)]
pub(super) struct Sweep<'a> {
    axes: Vec<Axis<'a>>,
}

#[derive(Debug)]
struct Axis<'a> {
    key: String,
    values: Vec<&'a RawValue>,
}

/// Reads both; `None` when neither is there.
pub(super) fn read<'a>(members: &Members<'a>, flaws: &mut Vec<Flaw>) -> Option<BatchWish<'a>> {
    let (count, sweep) = (members.get("count"), members.get("sweep"));
    if count.is_none() && sweep.is_none() {
        return None;
    }
    let count = count.map_or(Some(1), |count| read_count(count, flaws))?;
    let axes = sweep.map_or(Some(Sweep::default()), |sweep| read_sweep(sweep, members.get("params"), flaws))?;
    let wish = BatchWish { count, raw: sweep.unwrap_or(EMPTY), sweep: axes };
    if wish.size().is_none() {
        let message = format!("one request makes at most {BATCH_TASKS_MAX} tasks");
        flaws.push(Flaw::unfit(wish.pointer(), "too_many_tasks", &message));
        return None;
    }
    Some(wish)
}

/// Stands for a `sweep` that is not there.
const EMPTY: &RawValue = RawValue::NULL;

fn read_count(value: &RawValue, flaws: &mut Vec<Flaw>) -> Option<u16> {
    let Some(count) = json::integer(value) else {
        flaws.push(Flaw::shape("/count", "not_an_integer", "`count` must be a whole number"));
        return None;
    };
    let fits = u16::try_from(count).ok().filter(|count| (1..=BATCH_TASKS_MAX).contains(count));
    if fits.is_none() {
        flaws.push(Flaw::unfit("/count", "out_of_range", &format!("`count` must be from 1 to {BATCH_TASKS_MAX}")));
    }
    fits
}

fn read_sweep<'a>(sweep: &'a RawValue, params: Option<&RawValue>, flaws: &mut Vec<Flaw>) -> Option<Sweep<'a>> {
    let before = flaws.len();
    let given: BTreeMap<String, IgnoredAny> = match params {
        Some(params) if !json::is_object(params) => {
            flaws.push(Flaw::shape("/params", "not_an_object", "beside `sweep`, `params` must be an object"));
            return None;
        }
        Some(params) => serde_json::from_str(params.get()).unwrap_or_default(),
        None => BTreeMap::new(),
    };
    let Some(members) = json::is_object(sweep).then(|| Members::parse(sweep.get()).ok()).flatten() else {
        let message = "`sweep` must be an object such as {\"3.seed\":[1,2,3]}, with at most 64 keys, each once";
        flaws.push(Flaw::shape("/sweep", "not_an_object", message));
        return None;
    };
    let mut axes = Vec::new();
    for (key, value) in members.iter() {
        let pointer = format!("/sweep/{}", escaped(key));
        match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
            Ok(values) if values.is_empty() => {
                flaws.push(Flaw::unfit(&pointer, "empty", "a list of no values makes no task"));
            }
            Ok(_) if given.contains_key(key) => {
                flaws.push(Flaw::unfit(&pointer, "param_conflict", "the same key is in `params` too"));
            }
            Ok(values) => axes.push(Axis { key: key.to_owned(), values }),
            Err(_) => flaws.push(Flaw::shape(&pointer, "not_a_list", "every member of `sweep` is a list of values")),
        }
    }
    (flaws.len() == before).then_some(Sweep { axes })
}

impl BatchWish<'_> {
    /// How many tasks; `None` = more than may be.
    fn size(&self) -> Option<u16> {
        let lengths = self.sweep.axes.iter().map(|axis| axis.values.len());
        let size = lengths.into_iter().try_fold(usize::from(self.count), usize::checked_mul)?;
        u16::try_from(size).ok().filter(|size| *size <= BATCH_TASKS_MAX)
    }

    /// What makes it many.
    pub(super) const fn pointer(&self) -> &'static str {
        if self.sweep.axes.is_empty() { "/count" } else { "/sweep" }
    }

    /// How many tasks.
    pub(super) fn task_count(&self) -> u16 {
        self.size().unwrap_or(BATCH_TASKS_MAX)
    }
}

impl<'a> Sweep<'a> {
    /// From the text of a `sweep` that was read before.
    pub(super) fn again(sweep: &'a RawValue) -> Self {
        let members = Members::parse(sweep.get());
        let axes = members.iter().flat_map(Members::iter).filter_map(|(key, value)| {
            Some(Axis { key: key.to_owned(), values: serde_json::from_str(value.get()).ok()? })
        });
        Self { axes: axes.collect() }
    }

    /// The params of one task: those of all, and its value of each list. `count` tasks in a row have the same.
    pub(super) fn params(&self, params: Option<&RawValue>, count: u16, index: u16) -> Option<Box<RawValue>> {
        if self.axes.is_empty() {
            return params.map(ToOwned::to_owned);
        }
        let common = params.map_or("", |params| params.get().trim());
        let common = common.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default().trim();
        let mut text = format!("{{{common}");
        for (axis, at) in self.axes.iter().zip(self.places(count, index)) {
            let separator = if text.len() > 1 { "," } else { "" };
            let key = serde_json::to_string(&axis.key).ok()?;
            text.push_str(&format!("{separator}{key}:{}", axis.values[at].get()));
        }
        text.push('}');
        RawValue::from_string(text).ok()
    }

    /// Which value of each list.
    fn places(&self, count: u16, index: u16) -> Vec<usize> {
        let mut left = usize::from(index / count.max(1));
        let mut places = vec![0; self.axes.len()];
        for (place, axis) in places.iter_mut().zip(&self.axes).rev() {
            *place = left % axis.values.len();
            left /= axis.values.len();
        }
        places
    }

    /// Where in the request a problem of one task's params is: `/params/3.seed` may be `/sweep/3.seed/2`.
    pub(super) fn pointer(&self, pointer: &str, count: u16, index: u16) -> String {
        let found = self.axes.iter().zip(self.places(count, index)).find_map(|(axis, at)| {
            let rest = pointer.strip_prefix("/params/")?.strip_prefix(escaped(&axis.key).as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("/sweep/{}/{at}{rest}", escaped(&axis.key)))
        });
        found.unwrap_or_else(|| pointer.to_owned())
    }
}

/// A segment of a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::{Flaw, Members, Sweep, read};
    use serde_json::value::RawValue;

    fn flaws(body: &str) -> Vec<(String, &'static str)> {
        let mut flaws: Vec<Flaw> = Vec::new();
        let wish = read(&Members::parse(body).unwrap(), &mut flaws);
        assert_eq!(wish.is_none(), !flaws.is_empty(), "{body}");
        flaws.into_iter().map(|flaw| (flaw.pointer, flaw.code)).collect()
    }

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_last_list_changes_fastest_and_a_count_repeats_in_a_row() {
        let body = r#"{"params":{"a":1.0},"count":2,"sweep":{"3.seed":[1,2],"6/x":["p","q","r"]}}"#;
        let members = Members::parse(body).unwrap();
        let wish = read(&members, &mut Vec::new()).unwrap();
        assert_eq!((wish.task_count(), wish.count), (12, 2));
        let params = |index| wish.sweep.params(members.get("params"), wish.count, index).unwrap().get().to_owned();
        assert_eq!(params(0), r#"{"a":1.0,"3.seed":1,"6/x":"p"}"#);
        assert_eq!(params(0), params(1));
        assert_eq!(params(2), r#"{"a":1.0,"3.seed":1,"6/x":"q"}"#);
        assert_eq!(params(11), r#"{"a":1.0,"3.seed":2,"6/x":"r"}"#);
        let again = Sweep::again(wish.raw);
        assert_eq!(again.params(None, 2, 11).unwrap().get(), r#"{"3.seed":2,"6/x":"r"}"#);
        assert_eq!(wish.sweep.pointer("/params/6~1x/deep", 2, 5), "/sweep/6~1x/2/deep");
        assert_eq!(wish.sweep.pointer("/params/3.seeds", 2, 5), "/params/3.seeds");
        assert_eq!(wish.sweep.pointer("/workflow/3.seed", 2, 5), "/workflow/3.seed");
    }

    #[test]
    fn without_a_sweep_all_have_the_same_params() {
        let members = Members::parse(r#"{"count":3}"#).unwrap();
        let wish = read(&members, &mut Vec::new()).unwrap();
        assert_eq!(wish.task_count(), 3);
        assert!(wish.sweep.params(None, 3, 2).is_none());
        assert_eq!(wish.sweep.params(Some(raw("[1]")), 3, 2).unwrap().get(), "[1]");
        assert!(read(&Members::parse("{}").unwrap(), &mut Vec::new()).is_none());
    }

    #[test]
    fn every_flaw_is_named() {
        let one = |pointer: &str, code| vec![(pointer.to_owned(), code)];
        assert_eq!(flaws(r#"{"count":1,"sweep":{"a":[1]}}"#), []);
        assert_eq!(flaws(r#"{"count":"2"}"#), one("/count", "not_an_integer"));
        for count in ["0", "-1", "1001", "99999999999"] {
            assert_eq!(flaws(&format!(r#"{{"count":{count}}}"#)), one("/count", "out_of_range"));
        }
        for sweep in ["[]", "1", "null", r#"{"a":[1],"a":[2]}"#] {
            assert_eq!(flaws(&format!(r#"{{"sweep":{sweep}}}"#)), one("/sweep", "not_an_object"), "{sweep}");
        }
        assert_eq!(
            flaws(r#"{"params":{"a":1},"sweep":{"a":[1],"b":[],"c":1}}"#),
            [
                ("/sweep/a".to_owned(), "param_conflict"),
                ("/sweep/b".to_owned(), "empty"),
                ("/sweep/c".to_owned(), "not_a_list")
            ]
        );
        assert_eq!(flaws(r#"{"params":[],"sweep":{"a":[1]}}"#), one("/params", "not_an_object"));
        let ten = "[0,1,2,3,4,5,6,7,8,9]";
        assert_eq!(flaws(&format!(r#"{{"sweep":{{"a":{ten},"b":{ten},"c":{ten}}}}}"#)), []);
        assert_eq!(
            flaws(&format!(r#"{{"count":2,"sweep":{{"a":{ten},"b":{ten},"c":{ten}}}}}"#)),
            one("/sweep", "too_many_tasks")
        );
    }
}

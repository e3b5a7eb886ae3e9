//! Members `count` and `sweep` of the body of `POST /api/tasks`.

use crate::{
    api::http::strict_json::Members,
    json::{child_pointer, raw_value},
    problem::Problem,
    settings::limits::BATCH_TASKS_MAX,
    submit::{Axis, Expansion},
};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Reads the expansion; `None` if the body has neither member, or if they have problems.
pub(super) fn read<'a>(members: &Members<'a>, flaws: &mut Vec<Problem>) -> Option<Expansion<'a>> {
    let (count, sweep) = (members.get("count"), members.get("sweep"));
    if count.is_none() && sweep.is_none() {
        return None;
    }
    let count = count.map_or(Some(1), |count| read_count(count, flaws))?;
    let axes = sweep.map_or(Some(Vec::new()), |sweep| read_axes(sweep, members.get("params"), flaws))?;
    let pointer = if axes.is_empty() { "/count" } else { "/sweep" };
    let expansion = Expansion::new(count, axes);
    if expansion.is_none() {
        let message = format!("one request makes at most {BATCH_TASKS_MAX} tasks");
        flaws.push(Problem::unfit(pointer, "too_many_tasks", &message));
    }
    expansion
}

fn read_count(value: &RawValue, flaws: &mut Vec<Problem>) -> Option<u16> {
    let Some(count) = raw_value::integer(value) else {
        flaws.push(Problem::shape("/count", "not_an_integer", "`count` must be a whole number"));
        return None;
    };
    let fits = u16::try_from(count).ok().filter(|count| (1..=BATCH_TASKS_MAX).contains(count));
    if fits.is_none() {
        flaws.push(Problem::unfit("/count", "out_of_range", format!("`count` must be from 1 to {BATCH_TASKS_MAX}")));
    }
    fits
}

fn read_axes<'a>(sweep: &'a RawValue, params: Option<&RawValue>, flaws: &mut Vec<Problem>) -> Option<Vec<Axis<'a>>> {
    let before = flaws.len();
    let given: BTreeMap<String, IgnoredAny> = match params {
        Some(params) if !raw_value::is_object(params) => {
            flaws.push(Problem::shape("/params", "not_an_object", "beside `sweep`, `params` must be an object"));
            return None;
        }
        Some(params) => serde_json::from_str(params.get()).unwrap_or_default(),
        None => BTreeMap::new(),
    };
    let Some(members) = raw_value::is_object(sweep).then(|| Members::parse(sweep.get()).ok()).flatten() else {
        let message = "`sweep` must be an object such as {\"3.seed\":[1,2,3]}, with at most 64 keys, each once";
        flaws.push(Problem::shape("/sweep", "not_an_object", message));
        return None;
    };
    let mut axes = Vec::new();
    for (key, value) in members.iter() {
        let pointer = child_pointer("/sweep", key);
        match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
            Ok(values) if values.is_empty() => {
                flaws.push(Problem::unfit(&pointer, "empty", "a list of no values makes no task"));
            }
            Ok(_) if given.contains_key(key) => {
                flaws.push(Problem::unfit(&pointer, "param_conflict", "the same key is in `params` too"));
            }
            Ok(values) => axes.push(Axis { key: key.to_owned(), values }),
            Err(_) => flaws.push(Problem::shape(&pointer, "not_a_list", "every member of `sweep` is a list of values")),
        }
    }
    (flaws.len() == before).then_some(axes)
}

#[cfg(test)]
mod tests {
    use super::{Members, read};
    use crate::problem::Problem;

    fn flaws(body: &str) -> Vec<(String, String)> {
        let mut flaws: Vec<Problem> = Vec::new();
        let expansion = read(&Members::parse(body).unwrap(), &mut flaws);
        assert_eq!(expansion.is_none(), !flaws.is_empty(), "{body}");
        flaws.into_iter().map(|flaw| (flaw.pointer, flaw.code)).collect()
    }

    #[test]
    fn a_body_with_neither_member_is_a_single_task() {
        assert!(read(&Members::parse("{}").unwrap(), &mut Vec::new()).is_none());
        let members = Members::parse(r#"{"count":3}"#).unwrap();
        assert_eq!(read(&members, &mut Vec::new()).unwrap().task_count(), 3);
        let members = Members::parse(r#"{"count":2,"sweep":{"3.seed":[1,2],"6/x":["p","q","r"]}}"#).unwrap();
        assert_eq!(read(&members, &mut Vec::new()).unwrap().task_count(), 12);
    }

    #[test]
    fn every_problem_is_reported() {
        let one = |pointer: &str, code: &str| vec![(pointer.to_owned(), code.to_owned())];
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
            [("/sweep/a", "param_conflict"), ("/sweep/b", "empty"), ("/sweep/c", "not_a_list")]
                .map(|(pointer, code)| (pointer.to_owned(), code.to_owned()))
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

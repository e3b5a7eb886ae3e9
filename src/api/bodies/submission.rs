//! Body of `POST /api/tasks`, read member by member. Every problem is reported at once; `workflow`, `params` and `metadata`
//! stay raw JSON, so that numbers are never re-encoded.

use super::{
    extra_data::{self, ExtraData},
    sweep,
    wrapping::{self, EXTRA_DATA, Found},
};
use crate::{
    api::{
        error::{ApiError, Result},
        http::{strict_json::Members, timestamp},
    },
    json::{self, raw_value},
    problem::Problem,
    settings::limits::METADATA_BYTES,
    submit::{MAX_ATTEMPTS_DEFAULT, Submission},
    task::Priority,
};
use serde_json::value::RawValue;

/// The members of the body.
pub(crate) const KNOWN: [&str; 13] = [
    "workflow",
    "params",
    "count",
    "sweep",
    "strict",
    "randomizeSeeds",
    "autoMap",
    "priority",
    "timeoutMs",
    "startBy",
    "maxAttempts",
    "metadata",
    "extraData",
];
const MAX_ATTEMPTS: (u64, u64) = (1, 10);
/// Limits of `timeoutMs`. A run of more than 30 days is a mistake in the unit.
const TIMEOUT_MS: (u64, u64) = (1, 2_592_000_000);

/// Reads a text that `json::check_submission` has passed.
///
/// # Errors
/// Every problem of its members at once.
pub(crate) fn parse(text: &str) -> Result<Submission<'_>> {
    if (!has_member(text, "workflow") || wrapping::is_exported(text))
        && let Some(found) =
            wrapping::in_body(text, &KNOWN).map_err(|problem| ApiError::InvalidRequest(vec![*problem]))?
    {
        return rewrapped(text, found);
    }
    let members = Members::parse(text)?;
    members.only(&KNOWN)?;
    let mut flaws = Vec::new();
    match read(&members, None, &mut flaws) {
        Some(submission) if flaws.is_empty() => Ok(submission),
        _ => Err(ApiError::InvalidRequest(flaws)),
    }
}

/// Reads a body whose graph is not under `workflow`.
fn rewrapped<'a>(text: &'a str, found: Found<'a>) -> Result<Submission<'a>> {
    if found.graph.get() == text.trim() {
        let Found { graph, warning } = found;
        let empty = serde_json::from_str::<&RawValue>("{}").expect("an empty object is JSON");
        return Ok(Submission { workflow: graph, notes: warning.into_iter().collect(), ..Submission::new(empty) });
    }
    let members = Members::parse(text)?;
    let mut flaws = Vec::new();
    match read(&members, Some(found), &mut flaws) {
        Some(submission) if flaws.is_empty() => Ok(submission),
        _ => Err(ApiError::InvalidRequest(flaws)),
    }
}

/// Whether the outermost object has the member.
fn has_member(text: &str, name: &str) -> bool {
    json::member(text, name).is_some()
}

/// Reads the members; the graph is `found`, otherwise the member `workflow`.
fn read<'a>(members: &Members<'a>, found: Option<Found<'a>>, flaws: &mut Vec<Problem>) -> Option<Submission<'a>> {
    let mut found = found.or_else(|| {
        let found = wrapping::in_member(members.get("workflow")?);
        found.map_err(|problem| flaws.push(*problem)).ok()
    });
    match found.as_ref().map(|found| found.graph.get()) {
        None if members.get("workflow").is_some() => {}
        None => {
            flaws.push(Problem::shape("/workflow", "missing", "a task needs a `workflow`: ComfyUI's \"Export (API)\""))
        }
        Some("null") => {
            flaws.push(Problem::shape("/workflow", "not_an_object", "`workflow` must be an object, not null"))
        }
        Some(_) => {}
    }
    let params = params(members, flaws);
    let metadata = object(members, "metadata", flaws);
    if metadata.is_some_and(|metadata| metadata.get().len() > METADATA_BYTES) {
        let message = format!("`metadata` must be at most {METADATA_BYTES} bytes of JSON");
        flaws.push(Problem::unfit("/metadata", "too_large", &message));
    }
    let max_attempts = number(members, "maxAttempts", MAX_ATTEMPTS, flaws);
    let expansion = sweep::read(members, flaws);
    let of_prompt = members.get(EXTRA_DATA).filter(|_| members.get("workflow").is_none());
    let extra = match of_prompt {
        Some(value) if members.get("extraData").is_none() => extra_data::read_of_prompt(value, flaws),
        Some(_) => {
            let message = "`extra_data` and `extraData` are the same: give one of them";
            flaws.push(Problem::shape("/extra_data", "duplicate", message));
            ExtraData::default()
        }
        None => extra_data::read(members, flaws),
    };
    Some(Submission {
        params,
        expansion,
        is_strict: boolean(members, "strict", flaws),
        randomizes_seeds: randomize_seeds(members, flaws),
        maps_names: boolean(members, "autoMap", flaws),
        priority: priority(members, flaws),
        timeout_ms: number(members, "timeoutMs", TIMEOUT_MS, flaws),
        start_by_ms: start_by(members, flaws),
        max_attempts: max_attempts.and_then(|number| u32::try_from(number).ok()).unwrap_or(MAX_ATTEMPTS_DEFAULT),
        metadata,
        keys: extra.keys,
        png_info: extra.png_info,
        notes: found.as_mut().and_then(|found| found.warning.take()).into_iter().collect(),
        workflow: found?.graph,
    })
}

/// Reads `params`: an object, or a list in the form of `nodeInfoList`.
fn params<'a>(members: &Members<'a>, flaws: &mut Vec<Problem>) -> Option<&'a RawValue> {
    let value = members.get("params")?;
    if raw_value::is_object(value) || value.get().starts_with('[') {
        return Some(value);
    }
    let message = "`params` must be an object, or a list of {nodeId, fieldName, fieldValue}";
    flaws.push(Problem::shape("/params", "not_an_object", message));
    None
}

fn boolean(members: &Members<'_>, name: &str, flaws: &mut Vec<Problem>) -> bool {
    let Some(value) = members.get(name) else { return false };
    raw_value::boolean(value).unwrap_or_else(|| {
        flaws.push(Problem::shape(format!("/{name}"), "not_a_boolean", format!("`{name}` must be true or false")));
        false
    })
}

fn randomize_seeds(members: &Members<'_>, flaws: &mut Vec<Problem>) -> Option<bool> {
    match members.get("randomizeSeeds")?.get() {
        "\"none\"" => Some(false),
        "\"all\"" => Some(true),
        _ => {
            let message = "`randomizeSeeds` must be \"none\" or \"all\"";
            flaws.push(Problem::shape("/randomizeSeeds", "not_a_choice", message));
            None
        }
    }
}

fn object<'a>(members: &Members<'a>, name: &str, flaws: &mut Vec<Problem>) -> Option<&'a RawValue> {
    let value = members.get(name)?;
    if raw_value::is_object(value) {
        return Some(value);
    }
    flaws.push(Problem::shape(format!("/{name}"), "not_an_object", format!("`{name}` must be an object")));
    None
}

fn number(members: &Members<'_>, name: &str, (low, high): (u64, u64), flaws: &mut Vec<Problem>) -> Option<u64> {
    let (value, pointer) = (members.get(name)?, format!("/{name}"));
    match raw_value::integer(value) {
        Some(number) => {
            let fits = u64::try_from(number).ok().filter(|number| (low..=high).contains(number));
            if fits.is_none() {
                flaws.push(Problem::unfit(&pointer, "out_of_range", format!("`{name}` must be from {low} to {high}")));
            }
            fits
        }
        None => {
            flaws.push(Problem::shape(&pointer, "not_an_integer", format!("`{name}` must be a whole number")));
            None
        }
    }
}

fn priority(members: &Members<'_>, flaws: &mut Vec<Problem>) -> Priority {
    match members.get("priority").map(RawValue::get) {
        None | Some("\"normal\"") => Priority::Normal,
        Some("\"high\"") => Priority::High,
        Some("\"low\"") => Priority::Low,
        Some(_) => {
            flaws.push(Problem::shape(
                "/priority",
                "not_a_priority",
                "`priority` must be \"high\", \"normal\" or \"low\"",
            ));
            Priority::Normal
        }
    }
}

fn start_by(members: &Members<'_>, flaws: &mut Vec<Problem>) -> Option<u64> {
    let value = members.get("startBy")?;
    let time = raw_value::text(value).and_then(|text| timestamp::rfc3339(&text));
    let time_ms = time.map(|time| u64::try_from(time.as_millisecond()).unwrap_or(0));
    if time_ms.is_none() {
        let message = "`startBy` must be a time in RFC 3339, such as 2030-01-31T08:00:00.000Z";
        flaws.push(Problem::shape("/startBy", "not_a_time", message));
    }
    time_ms
}

#[cfg(test)]
mod tests {
    use super::{ApiError, Priority, parse};

    #[test]
    fn every_member_is_read() {
        let text = r#"{"workflow": {"3":{"x":18446744073709551615}}, "params": {"a": 1.0}, "priority": "high", "timeoutMs": 1000,
            "startBy": "2030-01-01T08:00:00+08:00", "maxAttempts": 10, "metadata": {"a": 1e-7}}"#;
        let read = parse(text).unwrap();
        assert_eq!(read.workflow.get(), r#"{"3":{"x":18446744073709551615}}"#);
        assert_eq!(read.params.unwrap().get(), r#"{"a": 1.0}"#);
        assert_eq!(read.metadata.unwrap().get(), r#"{"a": 1e-7}"#);
        assert_eq!((read.priority, read.timeout_ms, read.max_attempts), (Priority::High, Some(1_000), 10));
        assert_eq!(read.start_by_ms, Some(1_893_456_000_000));
        let least = parse(r#"{"workflow":{}}"#).unwrap();
        assert_eq!(
            (least.priority, least.timeout_ms, least.start_by_ms, least.max_attempts),
            (Priority::Normal, None, None, 3)
        );
        assert!(
            least.params.is_none() && least.metadata.is_none() && !least.is_strict && least.randomizes_seeds.is_none()
        );
        let more = parse(r#"{"workflow":{},"params":[],"strict":true,"randomizeSeeds":"all"}"#).unwrap();
        assert!(more.params.is_some() && more.is_strict && more.randomizes_seeds == Some(true));
    }

    #[test]
    fn each_invalid_member_is_reported() {
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(4_096));
        for (member, code, is_shape) in [
            (r#""params": null"#, "not_an_object", true),
            (r#""params": 1"#, "not_an_object", true),
            (r#""strict": 1"#, "not_a_boolean", true),
            (r#""autoMap": "yes""#, "not_a_boolean", true),
            (r#""strict": null"#, "not_a_boolean", true),
            (r#""randomizeSeeds": true"#, "not_a_choice", true),
            (r#""randomizeSeeds": "some""#, "not_a_choice", true),
            (r#""params": "x""#, "not_an_object", true),
            (r#""metadata": 1"#, "not_an_object", true),
            (&format!(r#""metadata": {large}"#), "too_large", false),
            (r#""priority": "HIGH""#, "not_a_priority", true),
            (r#""priority": 1"#, "not_a_priority", true),
            (r#""priority": null"#, "not_a_priority", true),
            (r#""timeoutMs": 0"#, "out_of_range", false),
            (r#""timeoutMs": -1"#, "out_of_range", false),
            (r#""timeoutMs": 1.5"#, "not_an_integer", true),
            (r#""timeoutMs": 1e3"#, "not_an_integer", true),
            (r#""timeoutMs": "1000""#, "not_an_integer", true),
            (r#""timeoutMs": 99999999999999999999"#, "out_of_range", false),
            (r#""maxAttempts": 0"#, "out_of_range", false),
            (r#""maxAttempts": 11"#, "out_of_range", false),
            (r#""maxAttempts": true"#, "not_an_integer", true),
            (r#""startBy": "tomorrow""#, "not_a_time", true),
            (r#""startBy": "2030-01-01T00:00:00+25:00""#, "not_a_time", true),
            (r#""startBy": "2030-01-01T00:00:00""#, "not_a_time", true),
            (r#""startBy": 1893456000000"#, "not_a_time", true),
        ] {
            let Err(ApiError::InvalidRequest(flaws)) = parse(&format!(r#"{{"workflow":{{}},{member}}}"#)) else {
                panic!("must be refused: {member}");
            };
            assert_eq!((flaws.len(), flaws[0].code.as_str(), flaws[0].is_shape), (1, code, is_shape), "{member}");
        }
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let Err(ApiError::InvalidRequest(flaws)) = parse(r#"{"params":1,"maxAttempts":0,"priority":0}"#) else {
            panic!("must be refused");
        };
        let pointers: Vec<_> = flaws.iter().map(|flaw| flaw.pointer.as_str()).collect();
        assert_eq!(pointers, ["/workflow", "/params", "/maxAttempts", "/priority"]);
    }

    /// Bug report 22: the keys of a body of `/prompt` are kept, and no message repeats them.
    #[test]
    fn the_extra_data_of_a_prompt_body_is_read() {
        let body =
            |extra: &str| format!(r#"{{"prompt":{{"3":{{"class_type":"A","inputs":{{}}}}}},"client_id":"x",{extra}}}"#);
        let text = body(
            r#""extra_data":{"api_key_comfy_org":"comfyui-0000","client_id":"x","preview_method":"auto","auth_token_comfy_org":null,"extra_pnginfo":{"workflow":{"x":1e2}}}"#,
        );
        let read = parse(&text).unwrap();
        assert_eq!(read.keys.expose().collect::<Vec<_>>(), [("api_key_comfy_org", "comfyui-0000")]);
        assert_eq!(read.png_info.unwrap().get(), r#"{"workflow":{"x":1e2}}"#);
        assert!(parse(&body(r#""extra_data":null"#)).unwrap().keys.is_empty());
        for (extra, pointer) in [
            (r#""extra_data":{"api_key_comfy":"comfyui-0000"}"#, "/extra_data/api_key_comfy"),
            (r#""extra_data":7"#, "/extra_data"),
            (r#""extra_data":{},"extraData":{}"#, "/extra_data"),
            (r#""partial_execution_targets":["3"]"#, "/partial_execution_targets"),
        ] {
            let Err(ApiError::InvalidRequest(flaws)) = parse(&body(extra)) else { panic!("must be refused: {extra}") };
            assert_eq!((flaws.len(), flaws[0].pointer.as_str()), (1, pointer), "{extra}");
            assert!(!flaws[0].message.contains("0000"), "{}", flaws[0].message);
        }
    }

    #[test]
    fn members_of_comfyuis_own_body_are_unknown() {
        for member in ["extra_data", "client_id", "prompt_id", "number", "front", "prompt"] {
            let body = format!(r#"{{"workflow":{{}},"{member}":1}}"#);
            assert!(matches!(parse(&body), Err(ApiError::UnknownField(_))), "{member}");
        }
    }
}

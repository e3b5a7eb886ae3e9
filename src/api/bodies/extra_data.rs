//! `extraData`: data that an instance gets beside the graph, i.e. keys for API nodes and `extra_pnginfo`. No message repeats a
//! key.

use super::wrapping::EXTRA_DATA;
use crate::{
    api::{
        error::{ApiError, Result},
        http::strict_json::Members,
    },
    json::{child_pointer, raw_value},
    problem::{Problem, clip},
    secrets::{KEY_NAMES, NodeKeys},
    settings::limits::PNG_INFO_BYTES,
};
use serde_json::value::RawValue;

/// Name of the member.
const NAME: &str = "extraData";
/// Member with the caller's own `extra_pnginfo`.
const PNG_INFO: &str = "extra_pnginfo";

/// Members of `extra_data` in a body of ComfyUI's `/prompt` that have no meaning here.
const OF_PROMPT: [&str; 4] = ["client_id", "create_time", "preview_method", "unique_id"];

/// The members of `extraData`.
#[derive(Debug, Default)]
pub(super) struct ExtraData<'a> {
    pub(super) keys: NodeKeys,
    pub(super) png_info: Option<&'a RawValue>,
}

/// Reads the member of a task; everything is absent if it is.
pub(super) fn read<'a>(members: &Members<'a>, flaws: &mut Vec<Problem>) -> ExtraData<'a> {
    members.get(NAME).map_or_else(ExtraData::default, |value| read_value(value, &[], flaws))
}

/// Reads the `extra_data` of a body of ComfyUI's `/prompt`, by the same rules; what the editor adds is left out.
pub(super) fn read_of_prompt<'a>(value: &'a RawValue, flaws: &mut Vec<Problem>) -> ExtraData<'a> {
    let known = flaws.len();
    let extra = if value.get() == "null" { ExtraData::default() } else { read_value(value, &OF_PROMPT, flaws) };
    for flaw in flaws.iter_mut().skip(known) {
        flaw.pointer = flaw.pointer.replacen(NAME, EXTRA_DATA, 1);
        flaw.message = flaw.message.replace(NAME, EXTRA_DATA);
    }
    extra
}

fn read_value<'a>(value: &'a RawValue, left_out: &[&str], flaws: &mut Vec<Problem>) -> ExtraData<'a> {
    let mut extra = ExtraData::default();
    for (name, value) in object(value, flaws).unwrap_or_default() {
        let pointer = pointer(&name);
        if left_out.contains(&name.as_str()) || (!left_out.is_empty() && value.get() == "null") {
            continue;
        }
        if name == PNG_INFO {
            extra.png_info = png_info(value, &pointer, flaws);
        } else {
            add_key(&mut extra.keys, &name, value, flaws);
        }
    }
    extra
}

/// Reads the body of a retry, `{"extraData": {…}}` with keys only; an empty body has none.
///
/// # Errors
/// Every problem at once.
pub(crate) fn keys_of_retry(text: &str) -> Result<NodeKeys> {
    let members = Members::parse(text)?;
    members.only(&[NAME])?;
    let (mut keys, mut flaws) = (NodeKeys::default(), Vec::new());
    let given = members.get(NAME).and_then(|value| object(value, &mut flaws)).unwrap_or_default();
    for (name, value) in given {
        add_key(&mut keys, &name, value, &mut flaws);
    }
    if flaws.is_empty() { Ok(keys) } else { Err(ApiError::InvalidRequest(flaws)) }
}

fn object<'a>(value: &'a RawValue, flaws: &mut Vec<Problem>) -> Option<Vec<(String, &'a RawValue)>> {
    let members = raw_value::members(value);
    if members.is_none() {
        let message = "`extraData` must be an object such as {\"api_key_comfy_org\": \"…\"}";
        flaws.push(Problem::shape(pointer(""), "not_an_object", message));
    }
    members
}

fn add_key(keys: &mut NodeKeys, name: &str, value: &RawValue, flaws: &mut Vec<Problem>) {
    if !KEY_NAMES.contains(&name) {
        let known = [&KEY_NAMES[..], &[PNG_INFO]].concat().join(", ");
        let message = format!("`{}` is not known in `extraData`; known are {known}", clip(name));
        flaws.push(Problem::unfit(pointer(name), "unknown_field", message));
        return;
    }
    let Some(key) = raw_value::text(value) else {
        flaws.push(Problem::shape(pointer(name), "not_a_text", format!("`{name}` must be a text")));
        return;
    };
    if let Err(why) = keys.add(name, &key) {
        flaws.push(Problem::unfit(pointer(name), "invalid_key", why));
    }
}

fn png_info<'a>(value: &'a RawValue, pointer: &str, flaws: &mut Vec<Problem>) -> Option<&'a RawValue> {
    if !raw_value::is_object(value) {
        flaws.push(Problem::shape(pointer, "not_an_object", "`extra_pnginfo` must be an object"));
        return None;
    }
    if value.get().len() > PNG_INFO_BYTES {
        let message = format!("`extra_pnginfo` must be at most {PNG_INFO_BYTES} bytes of JSON");
        flaws.push(Problem::unfit(pointer, "too_large", message));
        return None;
    }
    Some(value)
}

fn pointer(name: &str) -> String {
    if name.is_empty() { format!("/{NAME}") } else { child_pointer(&format!("/{NAME}"), name) }
}

#[cfg(test)]
mod tests {
    use super::{ExtraData, PNG_INFO_BYTES, keys_of_retry, read};
    use crate::{api::http::strict_json::Members, problem::Problem};

    fn problems(extra: &str) -> Vec<(String, String)> {
        let body = format!(r#"{{"extraData":{extra}}}"#);
        let mut flaws: Vec<Problem> = Vec::new();
        read(&Members::parse(&body).unwrap(), &mut flaws);
        assert!(flaws.iter().all(|flaw| !flaw.message.contains("comfyui-0000")), "{flaws:?}");
        flaws.into_iter().map(|flaw| (flaw.pointer, flaw.code)).collect()
    }

    #[test]
    fn keys_and_png_info_are_read() {
        let body = r#"{"extraData":{"api_key_comfy_org":"comfyui-0000","extra_pnginfo":{"workflow":{"x":1e2}}}}"#;
        let mut flaws = Vec::new();
        let members = Members::parse(body).unwrap();
        let ExtraData { keys, png_info } = read(&members, &mut flaws);
        assert_eq!(keys.expose().collect::<Vec<_>>(), [("api_key_comfy_org", "comfyui-0000")]);
        assert_eq!(png_info.unwrap().get(), r#"{"workflow":{"x":1e2}}"#);
        assert!(flaws.is_empty() && read(&Members::parse("{}").unwrap(), &mut flaws).keys.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused_without_repeating_a_key() {
        let one = |pointer: &str, code: &str| vec![(pointer.to_owned(), code.to_owned())];
        let large = format!(r#"{{"extra_pnginfo":{{"a":"{}"}}}}"#, "x".repeat(PNG_INFO_BYTES));
        for (extra, pointer, code) in [
            ("5", "/extraData", "not_an_object"),
            ("null", "/extraData", "not_an_object"),
            (r#""comfyui-0000""#, "/extraData", "not_an_object"),
            (r#"{"api_key":"comfyui-0000"}"#, "/extraData/api_key", "unknown_field"),
            (r#"{"client_id":"x"}"#, "/extraData/client_id", "unknown_field"),
            (r#"{"api_key_comfy_org":5}"#, "/extraData/api_key_comfy_org", "not_a_text"),
            (r#"{"api_key_comfy_org":["comfyui-0000"]}"#, "/extraData/api_key_comfy_org", "not_a_text"),
            (r#"{"api_key_comfy_org":""}"#, "/extraData/api_key_comfy_org", "invalid_key"),
            (r#"{"auth_token_comfy_org":"comfyui-0000\n"}"#, "/extraData/auth_token_comfy_org", "invalid_key"),
            (r#"{"extra_pnginfo":[]}"#, "/extraData/extra_pnginfo", "not_an_object"),
            (r#"{"extra_pnginfo":null}"#, "/extraData/extra_pnginfo", "not_an_object"),
            (&large, "/extraData/extra_pnginfo", "too_large"),
        ] {
            assert_eq!(problems(extra), one(pointer, code), "{extra}");
        }
    }

    #[test]
    fn a_retry_takes_keys_only() {
        let keys = keys_of_retry(r#"{"extraData":{"api_key_comfy_org":"comfyui-0000"}}"#).unwrap();
        assert!(!keys.is_empty() && keys_of_retry("{}").unwrap().is_empty());
        for bad in ["[]", r#"{"params":{}}"#, r#"{"extraData":{"extra_pnginfo":{}}}"#, r#"{"extraData":1}"#] {
            assert!(keys_of_retry(bad).is_err(), "{bad}");
        }
    }
}

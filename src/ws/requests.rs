//! Requests of clients: `{"type","data"?,"requestId"?}`. Pure.

use super::limits::{IDS_PER_MESSAGE_MAX, REQUEST_ID_BYTES_MAX};
use crate::{json, task::TaskId};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A parsed message. `request_id` is echoed even if the request is invalid.
#[derive(Debug)]
pub struct Incoming {
    /// Id chosen by the client, echoed in the reply.
    pub request_id: Option<String>,
    /// The request, or the reason it is refused.
    pub request: Result<Request, Refusal>,
}

/// A request of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Logs in: `{"token":"…"}`.
    Auth(String),
    /// Checks the connection.
    Ping,
    /// Adds these tasks to the subscription and returns a snapshot of each.
    Subscribe(Selection),
    /// Removes these tasks from the subscription.
    Unsubscribe(Selection),
    /// Returns a snapshot of one task: `{"taskId":"…"}`.
    GetTask(TaskId),
}

/// Tasks of a request: `{"taskIds":[…]}` or `{"all":true}`; `subscribe` also takes `"since":"<cursor>"`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Whether all tasks are selected.
    pub all: bool,
    /// The selected tasks.
    pub tasks: Vec<TaskId>,
    /// Cursor after which endings are replayed.
    pub since: Option<String>,
}

/// The reason a request is refused; the `data` of an `error` message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable error type for programs.
    pub kind: &'static str,
    /// Message for people.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// Makes a refusal.
    pub fn new(kind: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }

    fn shape(message: &'static str) -> Self {
        Self::new("bad_request", message)
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(rename = "requestId", borrow, default)]
    request_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AuthData {
    token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskData {
    task_id: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct SelectionData {
    #[serde(default)]
    all: Option<bool>,
    #[serde(default)]
    task_ids: Option<Vec<String>>,
    #[serde(default)]
    since: Option<String>,
}

/// Parses a text message.
pub fn parse(text: &str) -> Incoming {
    let duplicate = duplicate_key(text);
    let Ok(wire) = serde_json::from_str::<Wire<'_>>(text) else {
        let refusal = duplicate.unwrap_or(Refusal::shape(
            "a message is a JSON object with a string `type`, and `data` and `requestId` if needed",
        ));
        return Incoming { request_id: None, request: Err(refusal) };
    };
    let request_id = match wire.request_id.map(|raw| serde_json::from_str::<Option<String>>(raw.get())) {
        None => None,
        Some(Ok(id)) if id.as_ref().is_none_or(|id| id.len() <= REQUEST_ID_BYTES_MAX) => id,
        Some(_) => {
            let refusal = Refusal::shape("`requestId` is a string of at most 128 bytes");
            return Incoming { request_id: None, request: Err(refusal) };
        }
    };
    let request = duplicate.map_or_else(|| request(&wire.kind, wire.data), Err);
    Incoming { request_id, request }
}

/// Refuses a message in which an object has the same key twice: two readers could take different values.
fn duplicate_key(text: &str) -> Option<Refusal> {
    let pointer = json::first_duplicate_key(text)?;
    Some(Refusal::new("bad_request", format!("duplicate key at `{pointer}`")))
}

fn request(kind: &str, data: Option<&RawValue>) -> Result<Request, Refusal> {
    match kind {
        "auth" => {
            let auth: AuthData = read(data).ok_or(Refusal::shape("`auth` needs `data`: {\"token\":\"…\"}"))?;
            Ok(Request::Auth(auth.token))
        }
        "ping" => Ok(Request::Ping),
        "subscribe" => selection(data).map(Request::Subscribe),
        "unsubscribe" => selection(data).map(Request::Unsubscribe),
        "get_task" => {
            let task: TaskData = read(data).ok_or(Refusal::shape("`get_task` needs `data`: {\"taskId\":\"…\"}"))?;
            let id = task.task_id.parse().map_err(|_| Refusal::new("not_found", "no such task"))?;
            Ok(Request::GetTask(id))
        }
        _ => Err(Refusal::new("unknown_type", "`type` is one of auth, ping, subscribe, unsubscribe, get_task")),
    }
}

fn selection(data: Option<&RawValue>) -> Result<Selection, Refusal> {
    let wrong = "`data` is {\"taskIds\":[…]} or {\"all\":true}; `subscribe` also takes \"since\":\"<cursor>\"";
    let data: SelectionData = read(data).ok_or(Refusal::shape(wrong))?;
    let ids = data.task_ids.unwrap_or_default();
    if ids.len() > IDS_PER_MESSAGE_MAX {
        return Err(Refusal::new("too_many", format!("at most {IDS_PER_MESSAGE_MAX} task ids in one message")));
    }
    let all = data.all.unwrap_or(false);
    if all && !ids.is_empty() {
        return Err(Refusal::shape("either `all` or `taskIds`, not both"));
    }
    if !all && ids.is_empty() && data.since.is_none() {
        return Err(Refusal::shape(wrong));
    }
    let tasks: Result<Vec<TaskId>, _> = ids.iter().map(|id| id.parse()).collect();
    let tasks = tasks.map_err(|_| Refusal::shape("`taskIds` contains an invalid task id"))?;
    Ok(Selection { all, tasks, since: data.since })
}

fn read<'a, T: Deserialize<'a>>(data: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(data?.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::{Request, Selection, parse};
    use crate::task::TaskId;

    #[test]
    fn documented_messages_are_parsed() {
        let id = TaskId::new();
        let incoming = parse(r#"{"type":"auth","timestamp":1,"data":{"token":"t"},"requestId":"r"}"#);
        assert_eq!(incoming.request_id.as_deref(), Some("r"));
        assert_eq!(incoming.request, Ok(Request::Auth("t".to_owned())));
        assert_eq!(parse(r#"{"type":"ping"}"#).request, Ok(Request::Ping));
        assert_eq!(parse(r#"{"type":"ping","requestId":null}"#).request_id, None);
        let some = Selection { tasks: vec![id], ..Selection::default() };
        let text = format!(r#"{{"type":"subscribe","data":{{"taskIds":["{id}"]}}}}"#);
        assert_eq!(parse(&text).request, Ok(Request::Subscribe(some)));
        let all = Selection { all: true, since: Some("p-1".to_owned()), ..Selection::default() };
        let text = r#"{"type":"subscribe","data":{"all":true,"since":"p-1"}}"#;
        assert_eq!(parse(text).request, Ok(Request::Subscribe(all)));
        let text = format!(r#"{{"type":"get_task","data":{{"taskId":"{id}"}}}}"#);
        assert_eq!(parse(&text).request, Ok(Request::GetTask(id)));
    }

    #[test]
    fn other_messages_are_refused_with_their_request_id() {
        let deep = format!(r#"{{"type":"subscribe","data":{}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
        let ids = vec![format!("\"{}\"", TaskId::new()); 501].join(",");
        let many = format!(r#"{{"type":"subscribe","data":{{"taskIds":[{ids}]}}}}"#);
        let long = format!(r#"{{"type":"ping","requestId":"{}"}}"#, "x".repeat(129));
        for text in [
            "",
            "null",
            "[]",
            "1",
            "{",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"task_completed","data":{}}"#,
            r#"{"type":"auth"}"#,
            r#"{"type":"auth","data":{"token":5}}"#,
            r#"{"type":"subscribe"}"#,
            r#"{"type":"subscribe","data":{}}"#,
            r#"{"type":"subscribe","data":{"all":1}}"#,
            r#"{"type":"subscribe","data":{"taskIds":["*"]}}"#,
            r#"{"type":"subscribe","data":{"taskIds":"x"}}"#,
            r#"{"type":"ping","data":NaN}"#,
            r#"{"type":"ping","requestId":7}"#,
            &deep,
            &many,
            &long,
        ] {
            assert!(parse(text).request.is_err(), "{text}");
        }
        for (text, pointer) in [
            (r#"{"type":"ping","type":"ping"}"#, "/type"),
            (r#"{"type":"ping","data":{"x":[{"y":1,"y":1}]}}"#, "/data/x/0/y"),
            (r#"{"type":"subscribe","data":{"all":true,"all":false}}"#, "/data/all"),
        ] {
            let refusal = parse(text).request.unwrap_err();
            assert_eq!((refusal.kind, refusal.message.contains(pointer)), ("bad_request", true), "{text}");
        }
        let incoming = parse(r#"{"type":"get_task","data":{"taskId":"../x"},"requestId":"r"}"#);
        assert_eq!(incoming.request_id.as_deref(), Some("r"));
        assert_eq!(incoming.request.unwrap_err().kind, "not_found");
    }
}

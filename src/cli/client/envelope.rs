//! The envelope of every answer: `{"code":200,"data":…}` or `{"code":422,"message","error":{"type","details"}}`.

use crate::cli::{
    error::{Error, root_cause},
    term::{format, output},
};
use reqwest::{Response, header};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::time::Duration;

/// Maximum size of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Entries of `error.details` that are printed.
const DETAILS_MAX: usize = 20;

/// `data` of an answer, as received and as a tree.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Text to print: numbers are exactly as the server wrote them.
    pub(crate) raw: Box<RawValue>,
    /// Tree to read from.
    pub(crate) value: Value,
    /// `ETag` header, if present.
    pub(crate) etag: Option<String>,
}

/// Reason that a request has no [`Answer`].
pub(crate) enum AnswerError {
    /// The same request would fail again.
    Final(Error),
    /// Not executed; may be sent again, after the given time if the server named one.
    Busy(Error, Option<Duration>),
    /// Possibly executed: the answer was incomplete, or a proxy answered instead.
    Lost(Error),
}

#[derive(Deserialize)]
struct Envelope {
    code: u16,
    #[serde(default)]
    data: Option<Box<RawValue>>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    error: Value,
}

impl Answer {
    /// Reads the complete answer of the system at `base`.
    pub(crate) async fn read(response: Response, base: &str) -> Result<Self, AnswerError> {
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (etag, location) = (header(header::ETAG), header(header::LOCATION));
        let after = header(header::RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        if response.status().is_redirection() {
            let to = location.unwrap_or_else(|| "nowhere".to_owned());
            let text = format!("{base} redirects to {}: use that address with --url", output::sanitize(&to));
            return Err(AnswerError::Final(Error::Usage(text)));
        }
        let bytes = read_body(response).await?;
        let Ok(envelope) = serde_json::from_slice::<Envelope>(&bytes) else {
            return Err(foreign_answer(base, status, after));
        };
        match (envelope.code, envelope.data) {
            (200, Some(raw)) => {
                let value = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
                Ok(Self { raw, value, etag })
            }
            (200, None) => Err(foreign_answer(base, status, after)),
            (code, _) => Err(error_of(base, code, &envelope.message, &envelope.error, after)),
        }
    }

    /// Returns a string member of the data, empty if missing.
    pub(crate) fn text(&self, name: &str) -> &str {
        format::text(&self.value, name)
    }
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, AnswerError> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > ANSWER_BYTES_MAX => {
                let text = format!("the answer is longer than {ANSWER_BYTES_MAX} bytes");
                return Err(AnswerError::Final(Error::Unreachable(text)));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes),
            Err(error) => {
                let text = format!("the answer was cut off: {}", root_cause(&error));
                return Err(AnswerError::Lost(Error::Unreachable(text)));
            }
        }
    }
}

/// Classifies an answer without our envelope: a proxy in front of a server that is down, or another program.
fn foreign_answer(base: &str, status: u16, after: Option<Duration>) -> AnswerError {
    let error = Error::Unreachable(format!("{base} does not answer like shuzhiren (HTTP {status})"));
    match status {
        429 | 503 => AnswerError::Busy(error, after),
        502 | 504 => AnswerError::Lost(error),
        _ => AnswerError::Final(error),
    }
}

fn error_of(base: &str, code: u16, message: &str, error: &Value, after: Option<Duration>) -> AnswerError {
    let text = describe(message, error);
    match code {
        401 if error["type"] == "invalid_credentials" => AnswerError::Final(Error::NotLoggedIn(text)),
        401 => AnswerError::Final(Error::NotLoggedIn(format!("{text}: shuzhiren login --url {base}"))),
        403 => AnswerError::Final(Error::NotLoggedIn(text)),
        404 => AnswerError::Final(Error::NotFound(text)),
        422 if error["type"] == "workflow_unknown" => AnswerError::Final(Error::NotFound(text)),
        429 | 503 => AnswerError::Busy(Error::Unreachable(text), after),
        408 => AnswerError::Busy(Error::Unreachable(text), after),
        _ => AnswerError::Final(Error::Refused(text)),
    }
}

/// Formats an error: the message, or each detail with its pointer and close matches.
fn describe(message: &str, error: &Value) -> String {
    let message = output::sanitize(message).into_owned();
    let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    if details.is_empty() {
        let id = error["requestId"].as_str().filter(|_| error["type"] == "internal");
        return id.map_or(message.clone(), |id| format!("{message} (request {})", output::sanitize(id)));
    }
    let line = |detail: &Value| {
        let text = |name: &str| output::sanitize(format::text(detail, name)).into_owned();
        let near: Vec<_> = detail["candidates"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        // Some messages name them already.
        let near = if near.is_empty() || text("message").contains("did you mean") {
            String::new()
        } else {
            format!(" (did you mean: {})", output::sanitize(&near.join(", ")))
        };
        let place = text("pointer");
        let place = if place.is_empty() { place } else { format!("{place}: ") };
        format!("{place}{}{near}", text("message"))
    };
    // `message` repeats the first detail.
    if let [one] = details {
        return line(one);
    }
    let mut lines = vec![format!("{} problems", details.len())];
    lines.extend(details.iter().take(DETAILS_MAX).map(|detail| format!("  {}", line(detail))));
    if details.len() > DETAILS_MAX {
        lines.push(format!("  and {} more", details.len() - DETAILS_MAX));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::describe;
    use serde_json::json;

    #[test]
    fn every_detail_is_printed_with_its_pointer() {
        let error = json!({"type": "invalid_params", "details": [
            {"pointer": "/params/6.txt", "message": "no such input", "candidates": ["text"]},
            {"pointer": "/params/9", "message": "no such\u{1b} node"}]});
        let expected = "2 problems\n  /params/6.txt: no such input (did you mean: text)\n  /params/9: no such  node";
        assert_eq!(describe("no such input (and 1 more problem)", &error), expected);
        let one = json!({"type": "invalid_query", "details": [{"pointer": "/a", "message": "no"}]});
        assert_eq!(describe("no", &one), "/a: no");
        let named = json!({"details": [{"message": "did you mean a?", "candidates": ["a"]}]});
        assert_eq!(describe("no", &named), "did you mean a?");
        assert_eq!(describe("away", &json!({"details": [], "requestId": "r"})), "away");
        assert_eq!(describe("error", &json!({"type": "internal", "requestId": "r"})), "error (request r)");
    }
}

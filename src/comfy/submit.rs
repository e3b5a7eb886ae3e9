//! POST /prompt: builds the body around the user's graph and interprets the reply (protocol §2).

use super::{
    Client, Error, PromptStatus, Submitted,
    http::{Reply, check_status},
    limits, python_json, validation_error,
};
use crate::{backoff, task::Failure};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use uuid::Uuid;

/// Nodes that read `extra_pnginfo` expect an object.
const NO_EXTRA_DATA: &str = r#"{"extra_pnginfo":{}}"#;

/// `{"prompt_id":"…","number":16,"node_errors":{}}`
#[derive(Deserialize)]
struct Accepted<'a> {
    #[serde(borrow)]
    prompt_id: &'a RawValue,
}

impl Client {
    /// Sends POST /prompt once, with our own prompt id and client id and only the graph from the user. After an error
    /// call [`Client::status`] before sending again.
    ///
    /// # Errors
    /// [`Error::Refused`] for 413: too large for this instance. After any other error the prompt may or may not be
    /// queued.
    pub async fn submit(&self, prompt: Uuid, workflow: &RawValue, client_id: &str) -> Result<Submitted, Error> {
        self.submit_with(prompt, workflow, client_id, NO_EXTRA_DATA).await
    }

    /// Does the same with this `extra_data`, a JSON object.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn submit_with(
        &self,
        prompt: Uuid,
        workflow: &RawValue,
        client_id: &str,
        extra_data: &str,
    ) -> Result<Submitted, Error> {
        let request = self.http.post_json("/prompt", body(prompt, workflow, client_id, extra_data));
        let reply = self.http.send(request, limits::REFUSAL_BYTES_MAX).await?;
        match reply.status {
            StatusCode::BAD_REQUEST => invalid(reply).await,
            StatusCode::PAYLOAD_TOO_LARGE => Err(self.too_large().await),
            status if status.is_success() => self.accepted(prompt, reply).await,
            // Any other refusal comes from a proxy or from the Origin check, not from ComfyUI's validation.
            status => Err(match check_status(status) {
                Err(error @ Error::Broken(_)) => error,
                _ => Error::Broken(format!("answered {status} to a prompt")),
            }),
        }
    }

    async fn accepted(&self, prompt: Uuid, reply: Reply) -> Result<Submitted, Error> {
        // The reply is dropped before the next request: of large ones only one may be in memory.
        let read = reply.parse(|json| {
            let accepted: Accepted<'_> = python_json::object(json)?;
            let id = python_json::text(accepted.prompt_id, limits::PROMPT_ID_BYTES_MAX)?;
            Some((id, validation_error::ignored_outputs(json), validation_error::validation_failure(json)))
        });
        let (given_id, ignored, failure) =
            read.await?.ok_or_else(|| Error::Broken("the answer to a prompt is not ComfyUI's".to_owned()))?;
        if given_id != prompt.to_string() {
            // Old versions assign their own id, under which we would never find the prompt again.
            self.post("/queue", &json!({ "delete": [given_id] })).await?;
            return Err(Error::Broken("gave the prompt another id: this ComfyUI is too old".to_owned()));
        }
        match failure {
            None => Ok(Submitted::Accepted),
            // ComfyUI runs the valid outputs although it refused others.
            Some(_) if !ignored.is_empty() => Ok(Submitted::AcceptedInPart(ignored)),
            Some(failure) => self.cancel_partial(prompt, failure).await,
        }
    }

    /// Cancels a prompt that was accepted with errors that belong to no output.
    async fn cancel_partial(&self, prompt: Uuid, failure: Failure) -> Result<Submitted, Error> {
        let gone = backoff::retry_within(limits::CANCEL_PARTIAL_DELAYS, limits::CANCEL_PARTIAL_MAX, || async {
            self.cancel(prompt).await?;
            match self.status(prompt).await? {
                PromptStatus::Unknown => Ok(()),
                PromptStatus::Ended(_) => self.delete_history(prompt).await,
                PromptStatus::Pending | PromptStatus::Running => {
                    Err(Error::Broken("did not cancel a prompt".to_owned()))
                }
            }
        });
        if let Err(error) = gone.await {
            tracing::warn!(%prompt, %error, "invalid prompt was accepted in part and could not be cancelled");
        }
        Ok(Submitted::Invalid(failure))
    }
}

async fn invalid(reply: Reply) -> Result<Submitted, Error> {
    let failure = reply.parse(validation_error::validation_failure).await?;
    failure
        .map(Submitted::Invalid)
        .ok_or_else(|| Error::Broken("answered 400 to a prompt without ComfyUI's error body".to_owned()))
}

/// Builds the body. The graph is copied byte by byte: numbers of a workflow are never re-encoded.
fn body(prompt: Uuid, workflow: &RawValue, client_id: &str, extra_data: &str) -> String {
    let client_id = serde_json::Value::from(client_id);
    format!(
        r#"{{"prompt":{},"prompt_id":"{prompt}","client_id":{client_id},"extra_data":{extra_data}}}"#,
        workflow.get()
    )
}

#[cfg(test)]
mod tests {
    use super::body;
    use serde_json::value::RawValue;
    use uuid::Uuid;

    #[test]
    fn the_graph_is_sent_unchanged() {
        let graph = r#"{"1":{"class_type":"A","inputs":{"seed":18446744073709551615, "x":1e-7,"y":1.10,"z":-0.0}}}"#;
        let raw = RawValue::from_string(graph.to_owned()).unwrap();
        let sent = body(Uuid::nil(), &raw, "a\"b", r#"{"extra_pnginfo":{}}"#);
        assert_eq!(
            sent,
            format!(
                r#"{{"prompt":{graph},"prompt_id":"00000000-0000-0000-0000-000000000000","client_id":"a\"b","extra_data":{{"extra_pnginfo":{{}}}}}}"#
            )
        );
    }
}

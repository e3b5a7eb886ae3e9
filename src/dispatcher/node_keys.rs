//! Keys for API nodes of an attempt: decrypted for its submit, and masked in everything that its instance says.

use super::{attempt::stage_error::StageError, instance::state::Instance};
use crate::{
    comfy::{PromptOutcome, PromptResult},
    process::LogLimit,
    queue::Claim,
    secrets::NodeKeys,
    task::{Failure, FailureKind},
};
use serde_json::Value;

/// Keys of one attempt: those of its task, then those of its server.
pub(crate) struct AttemptKeys {
    keys: NodeKeys,
    /// The reason for which those of the task are missing.
    fault: Option<String>,
}

impl AttemptKeys {
    /// Decrypts the keys of a claimed task and of the instance's server.
    pub(crate) fn new(instance: &Instance, claim: &Claim) -> Self {
        let encryption = &instance.shared.parts.encryption;
        let of_server = instance.target.node_keys(encryption).unwrap_or_else(|error| {
            static LIMIT: LogLimit = LogLimit::new();
            if let Some(omitted) = LIMIT.admit() {
                tracing::warn!(server = instance.target.server_id, %error, omitted, "keys of a server not decrypted; tasks run without them");
            }
            NodeKeys::default()
        });
        let decrypt = |stored: &String| encryption.decrypt_keys(&claim.task.key_owner(), stored);
        match claim.keys.as_ref().map(decrypt).transpose() {
            Ok(of_task) => Self { keys: of_task.unwrap_or_default().or(of_server), fault: None },
            Err(error) => {
                Self { keys: of_server, fault: Some(format!("the keys of the task cannot be read: {error}")) }
            }
        }
    }

    /// Returns the keys, to be masked elsewhere.
    pub(crate) fn keys(&self) -> &NodeKeys {
        &self.keys
    }

    /// Returns the `extra_data` of the prompt, a JSON object.
    ///
    /// # Errors
    /// A failure that another dispatcher may not have.
    pub(crate) fn extra_data(&self, claim: &Claim) -> Result<String, StageError> {
        if let Some(fault) = &self.fault {
            return Err(StageError::failed(Failure::new(FailureKind::StorageFailed, fault.clone())));
        }
        let mut text = format!(r#"{{"extra_pnginfo":{}"#, claim.payload.extra_pnginfo().get());
        for (name, key) in self.keys.expose() {
            text.push_str(&format!(",\"{name}\":{}", Value::from(key)));
        }
        text.push('}');
        Ok(text)
    }

    /// Masks the keys in a failure.
    pub(crate) fn masked(&self, mut failure: Failure) -> Failure {
        if self.keys.is_empty() {
            return failure;
        }
        let names = [&mut failure.node_id, &mut failure.node_type, &mut failure.exception_type];
        let texts = names.into_iter().flatten().chain([&mut failure.message]).chain(&mut failure.traceback);
        texts.for_each(|text| self.keys.mask(text));
        failure
    }

    /// Masks the keys in the outcome of a prompt.
    pub(crate) fn masked_ending(&self, mut ending: PromptResult) -> PromptResult {
        ending.warnings.iter_mut().for_each(|warning| self.keys.mask(&mut warning.message));
        let outcome = match ending.outcome {
            PromptOutcome::Failed(failure) => PromptOutcome::Failed(self.masked(failure)),
            other => other,
        };
        PromptResult { outcome, fault: ending.fault.map(|fault| self.masked(fault)), ..ending }
    }
}

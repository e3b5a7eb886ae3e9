//! Last message of an instance about a prompt, for the error of one that went silent.

use crate::{
    comfy::PromptEvent,
    dispatcher::attempt::{context::AttemptContext, node_failure::node_words},
    task::{Failure, FailureKind},
};
use std::time::Duration;

/// Last message about a prompt.
#[derive(Debug, Default)]
pub(crate) struct LastWords {
    /// The node that executes.
    node: Option<String>,
    words: Option<String>,
    /// Whether this process submitted the prompt, so that its start is announced to it.
    expects_start: bool,
}

impl LastWords {
    /// Last message of a prompt that ran under an earlier owner.
    pub(crate) fn of_node(node: Option<String>) -> Self {
        let words = node.as_ref().map(|node| format!("node {node} executes"));
        Self { node, words, expects_start: false }
    }

    /// No message yet of a prompt that this process submitted.
    pub(crate) fn of_own() -> Self {
        Self { expects_start: true, ..Self::default() }
    }

    /// Whether a message of the start is missing: a worker that lives sends it at once.
    pub(crate) fn lacks_start(&self) -> bool {
        self.expects_start && self.words.is_none()
    }

    /// Records an event.
    pub(crate) fn record(&mut self, event: &PromptEvent) {
        let words = match event {
            PromptEvent::QueueRemaining(_)
            | PromptEvent::Failed { .. }
            | PromptEvent::Ended(_)
            | PromptEvent::Picture { .. } => return,
            PromptEvent::Started(_) => "the prompt started".to_owned(),
            PromptEvent::Cached { nodes, .. } => format!("{} nodes are cached", nodes.len()),
            PromptEvent::Executing { node, .. } => {
                self.node = Some(node.clone());
                format!("node {node} executes")
            }
            PromptEvent::Progress { node, value, max, .. } => {
                if node.is_some() {
                    self.node.clone_from(node);
                }
                format!("step {value} of {max}")
            }
            PromptEvent::Executed { node, .. } => {
                self.node = None;
                format!("node {node} ended")
            }
        };
        self.words = Some(words);
    }

    /// Makes the failure of a prompt that was silent for `limit`.
    pub(crate) fn stalled(&self, context: &AttemptContext, limit: Duration, is_running: bool) -> Failure {
        let class = self.node.as_deref().and_then(|node| context.workflow.as_ref()?.class_of(node)).map(str::to_owned);
        let subject = match (&self.node, &class) {
            (Some(node), Some(class)) => format!("{}({class})", node_words(node)),
            (Some(node), None) => node_words(node).trim_end().to_owned(),
            (None, _) => "the prompt".to_owned(),
        };
        let (setting, shown) = if is_running {
            ("--silent-timeout", "the instance answers and shows the prompt as running")
        } else {
            ("--stall-timeout", "the instance answers, but does not show the prompt as running")
        };
        let words = self.words.as_deref().unwrap_or("nothing");
        let seconds = limit.as_secs();
        let message =
            format!("{subject} gave no sign of life for {seconds} s ({setting}); {shown}; it last said: {words}");
        Failure { node_id: self.node.clone(), node_type: class, ..Failure::new(FailureKind::Stalled, message) }
    }
}

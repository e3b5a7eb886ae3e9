//! The check of the server that a running process repeats, once a minute and after every reconnect.

use super::{
    script_call::ScriptCaller,
    server_check::{Demand, ServerIssue, validate},
};
use crate::{metrics, queue::Error};

/// The check of a running process: its settings may be changed, or another server may take its place.
#[derive(Debug, Default)]
pub(crate) struct Recheck {
    found: Option<String>,
    warned: Vec<ServerIssue>,
}

impl Recheck {
    /// Checks the server. Logs what has changed since the last time.
    pub(crate) async fn run(&mut self, caller: &ScriptCaller, demand: Demand) {
        let validated = match validate(caller, demand).await {
            Ok(validated) => validated.map_err(|refusal| refusal.to_string()),
            Err(Error::Unusable(why)) => Err(why),
            // Unanswered or refused for another reason, which is logged by the calls that it concerns.
            Err(_unknown) => return,
        };
        metrics::redis_unfit(validated.is_err());
        let (refusal, warnings) = match validated {
            Ok((_, warnings)) => (None, warnings),
            Err(refusal) => (Some(refusal), Vec::new()),
        };
        self.report_warnings(warnings);
        if refusal == self.found {
            return;
        }
        match &refusal {
            Some(issue) => tracing::error!(issue, "redis would be refused at a start; tasks are in danger"),
            None => tracing::warn!("redis is fit for the queue again"),
        }
        self.found = refusal;
    }

    /// Logs warnings that the last check did not have. A change of the replicas is one, for example.
    pub(super) fn report_warnings(&mut self, warnings: Vec<ServerIssue>) {
        for warning in warnings.iter().filter(|warning| !self.warned.contains(warning)) {
            tracing::warn!(%warning, "redis server check");
        }
        self.warned = warnings;
    }
}

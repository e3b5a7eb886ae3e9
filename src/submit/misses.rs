//! Misses: requests that need something which no instance listed when it was last read. The lists may be old, because a
//! model appears on a machine without a restart.

use super::{Error, Result, plan::Plan};
use crate::{problem::Problem, task::Warning};
use std::time::Duration;

/// Codes of problems that a new list may solve, with what to do if the instance has it all the same.
const CODES: [(&str, &str); 6] = [
    ("input_file_unknown", "to send the name all the same give it in `params` as {\"$force\": name}"),
    ("param_not_an_option", "to send it all the same write {\"$force\": value}"),
    ("value_not_offered", "to send it all the same give it in `params` as {\"$force\": value}"),
    ("class_unknown", "a node that was just installed is seen once its instance has restarted"),
    ("no_instance_fits", "to send a value all the same give it in `params` as {\"$force\": value}"),
    ("workflow_format_ui", ""),
];
/// Code of the warning about an output that is left out.
const OUTPUT_IGNORED: &str = "output_ignored";

/// Whether newer lists of the instances may change the result.
pub(super) fn is_miss(planned: &Result<Plan>) -> bool {
    match planned {
        Ok(plan) => warns_of_miss(&plan.first.warnings),
        Err(error) => is_missing(error),
    }
}

/// Whether a warning would not be there if an instance offered more.
pub(super) fn warns_of_miss(warnings: &[Warning]) -> bool {
    warnings.iter().any(|warning| {
        warning.code == OUTPUT_IGNORED
            && (warning.message.contains("no instance offers") || warning.message.contains("no such input file"))
    })
}

/// Whether a problem would not be there if an instance offered more.
pub(super) fn is_missing(error: &Error) -> bool {
    problems(error).iter().any(|problem| CODES.iter().any(|(code, _)| *code == problem.code))
}

/// Adds the age of the lists, and what to do, to each such problem.
pub(super) fn explain(mut error: Error, oldest: Option<Duration>) -> Error {
    if let Error::InvalidWorkflow(problems) | Error::InvalidParams(problems) = &mut error {
        for problem in problems {
            let cure = CODES.iter().find(|(code, cure)| *code == problem.code && !cure.is_empty());
            if let Some((_, cure)) = cure {
                let age = oldest.map_or(String::new(), |age| format!("; the lists are {} s old", age.as_secs()));
                problem.message.push_str(&format!("{age}; {cure}"));
            }
        }
    }
    error
}

fn problems(error: &Error) -> &[Problem] {
    match error {
        Error::InvalidWorkflow(problems) | Error::InvalidParams(problems) => problems,
        _ => &[],
    }
}

//! Faults of raw JSON as problems of a request: deep nesting, duplicate keys, lone surrogates, numbers that Python cannot
//! hold.

use crate::{
    json::{self, DEPTH_MAX, Fault, FaultKind, NUMBER_BYTES_MAX},
    problem::{Problem, Problems},
};
use std::ops::ControlFlow;

/// Adds every fault of `json` (valid JSON text) to `problems`, with pointers that start with `base`.
pub(super) fn scan(json: &str, base: &str, problems: &mut Problems) {
    // Breaks only when the list is full, which the list itself says.
    let _flow = json::scan(json, base, &[], |fault| {
        problems.push(problem(fault));
        if problems.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
}

fn problem(Fault { kind, pointer }: Fault) -> Problem {
    let (code, message) = match kind {
        FaultKind::TooDeep => ("json_too_deep", format!("nested deeper than {DEPTH_MAX} levels")),
        FaultKind::DuplicateKey => ("json_duplicate_key", "duplicate key".to_owned()),
        FaultKind::LoneSurrogate => {
            ("json_lone_surrogate", "a \\u escape is half of a surrogate pair and stands for no character".to_owned())
        }
        FaultKind::NumberTooLong | FaultKind::NumberInfinite => (
            "json_number_out_of_range",
            format!("a number must be finite and at most {NUMBER_BYTES_MAX} characters long"),
        ),
    };
    Problem::shape(pointer, code, message)
}

#[cfg(test)]
mod tests {
    use super::scan;
    use crate::problem::Problems;

    #[test]
    fn each_fault_has_a_code_and_a_pointer_below_the_base() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100), "]".repeat(100));
        for (json, pointer, code) in [
            (r#"{"a":1}"#, "", ""),
            (deep.as_str(), "/params", "json_too_deep"),
            (r#"{"a":{"x":1,"x":2}}"#, "/params/a/x", "json_duplicate_key"),
            (r#"{"a":["\ud800"]}"#, "/params/a/0", "json_lone_surrogate"),
            (r#"{"a":1e999}"#, "/params/a", "json_number_out_of_range"),
            (&format!("[0.{}]", "9".repeat(2_000)), "/params/0", "json_number_out_of_range"),
        ] {
            let mut problems = Problems::default();
            scan(json, "/params", &mut problems);
            let found = problems.into_vec();
            let first = found.first().map_or(("", ""), |problem| (problem.pointer.as_str(), problem.code.as_str()));
            assert_eq!(first, (pointer, code), "{json}");
        }
    }
}

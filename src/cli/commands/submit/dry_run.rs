//! Output of `submit --dry-run`: the task that would be created, or the size of a batch and its first task.

use crate::cli::{client::envelope::Answer, error::Error, term::output};
use serde_json::Value;

/// Prints the answer of a dry run.
pub(crate) fn print_dry_run(answer: &Answer, json: bool) -> Result<(), Error> {
    if json {
        return output::print_line(answer.raw.get());
    }
    lines(&answer.value).iter().try_for_each(|line| output::print_line(&output::sanitize(line)))
}

fn lines(value: &Value) -> Vec<String> {
    let nodes = &value["nodesTotal"];
    let mut lines = vec![match value["count"].as_u64() {
        None => format!("valid: {nodes} nodes"),
        Some(1) => format!("valid: a batch of 1 task, {nodes} nodes"),
        Some(count) => format!("valid: a batch of {count} tasks, {nodes} nodes each; first task"),
    }];
    for (name, seed) in value["resolved"]["seeds"].as_object().into_iter().flatten() {
        lines.push(format!("  seed {name} = {seed}"));
    }
    for (name, address) in value["resolved"]["params"].as_object().into_iter().flatten() {
        lines.push(format!("  {name} goes to {}", address.as_str().unwrap_or_default()));
    }
    let instances: Vec<&str> =
        value["eligibleInstances"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    lines.push(match (value["checked"] == true, instances.is_empty()) {
        (true, false) => format!("can run on {}", instances.join(", ")),
        (true, true) => "no configured instance can run it".to_owned(),
        (false, _) => "not checked against instances: none has been seen yet".to_owned(),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::lines;
    use serde_json::json;

    #[test]
    fn a_batch_is_shown_by_its_size_and_its_first_task() {
        let mut answer = json!({"nodesTotal": 3, "checked": true, "eligibleInstances": ["a:1", "b:1"],
            "resolved": {"seeds": {"3.seed": 7}, "params": {"prompt": "6.text"}}});
        let details = ["  seed 3.seed = 7", "  prompt goes to 6.text", "can run on a:1, b:1"];
        assert_eq!(lines(&answer)[0], "valid: 3 nodes");
        assert_eq!(lines(&answer)[1..], details);
        answer["count"] = json!(6);
        assert_eq!(lines(&answer)[0], "valid: a batch of 6 tasks, 3 nodes each; first task");
    }
}

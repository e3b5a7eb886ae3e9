//! `submit --dry-run`: what a task, or the first of a batch, would come to.

use crate::cli::{
    client::{envelope::Answer, error::Fault},
    term::output,
};
use serde_json::Value;

/// Says it.
pub(crate) fn rehearsed(answer: &Answer, json: bool) -> Result<(), Fault> {
    if json {
        return output::say(answer.raw.get());
    }
    lines(&answer.value).iter().try_for_each(|line| output::say(&output::clean(line)))
}

fn lines(value: &Value) -> Vec<String> {
    let nodes = &value["nodesTotal"];
    let mut lines = vec![match value["count"].as_u64() {
        None => format!("it would be accepted: {nodes} nodes"),
        Some(1) => format!("it would be accepted: a batch of 1 task, {nodes} nodes"),
        Some(count) => format!("they would be accepted: a batch of {count} tasks, {nodes} nodes each; of the first"),
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
        (true, false) => format!("it could run on {}", instances.join(", ")),
        (true, true) => "no instance of the config could run it".to_owned(),
        (false, _) => "not checked against instances: none has been seen yet".to_owned(),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::lines;
    use serde_json::json;

    #[test]
    fn a_batch_is_told_by_its_size_and_its_first_task() {
        let mut rehearsal = json!({"nodesTotal": 3, "checked": true, "eligibleInstances": ["a:1", "b:1"],
            "resolved": {"seeds": {"3.seed": 7}, "params": {"prompt": "6.text"}}});
        let details = ["  seed 3.seed = 7", "  prompt goes to 6.text", "it could run on a:1, b:1"];
        assert_eq!(lines(&rehearsal)[0], "it would be accepted: 3 nodes");
        assert_eq!(lines(&rehearsal)[1..], details);
        rehearsal["count"] = json!(6);
        assert_eq!(lines(&rehearsal)[0], "they would be accepted: a batch of 6 tasks, 3 nodes each; of the first");
    }
}

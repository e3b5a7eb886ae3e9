//! README lists every setting, metric and error type; the compose file names only settings that exist.

use super::{files, none, read, words};
use shuzhiren::metrics::METRICS;
use std::collections::BTreeSet;

/// Every variable that the program reads: `env = "…"` of clap.
pub(crate) fn settings() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, text) in [files("src", "rs"), files("bin", "rs")].concat() {
        found.extend(text.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    assert!(found.contains("REDIS_URL") && found.contains("SHUZHIREN_LISTEN"), "{found:?}");
    found
}

/// The words of every `ERROR_TYPES`, and the failure kinds of tasks.
fn error_types() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, text) in files("src", "rs") {
        for list in text.split("const ERROR_TYPES: ").skip(1) {
            let list = list.split("];").next().unwrap();
            // `error_type("word", statuses, meaning)` or plain words.
            let quoted = if list.contains("error_type(") { "error_type(\"" } else { "\"" };
            let step = if list.contains("error_type(") { 1 } else { 2 };
            found.extend(
                list.split(quoted).skip(1).step_by(step).map(|rest| rest.split('"').next().unwrap().to_owned()),
            );
        }
        if let Some((_, kinds)) = text.split_once("pub enum FailureKind {") {
            let kinds = kinds.split("\n}").next().unwrap();
            let names = kinds.lines().map(str::trim).filter_map(|line| line.strip_suffix(','));
            found.extend(names.filter(|name| name.chars().all(char::is_alphanumeric)).map(snake_case));
        }
    }
    assert!(found.contains("overloaded") && found.contains("poison"), "{found:?}");
    found
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(character.to_lowercase());
    }
    text
}

fn missing_from_readme(wanted: impl IntoIterator<Item = String>) -> Vec<String> {
    let readme = read("README.md");
    let said: BTreeSet<&str> = words(&readme, |c| c.is_ascii_alphanumeric() || c == '_').collect();
    wanted.into_iter().filter(|word| !said.contains(word.as_str())).collect()
}

#[test]
fn readme_lists_every_setting() {
    none("settings that README.md does not name", &missing_from_readme(settings()));
}

#[test]
fn readme_lists_every_metric() {
    let names = METRICS.iter().map(|metric| metric.name.to_owned());
    none("metrics that README.md does not name", &missing_from_readme(names));
}

#[test]
fn readme_lists_every_error_type() {
    none("error types that README.md does not name", &missing_from_readme(error_types()));
}

#[test]
fn every_error_type_that_is_sent_is_listed() {
    let listed = error_types();
    let mut faults = Vec::new();
    for (path, text) in files("src", "rs") {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for call in code.split("error_response(").skip(1) {
            let Some((_status, rest)) = call.split_once(',') else { continue };
            let Some(word) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            if !listed.contains(word) {
                faults.push(format!("{path}: {word}"));
            }
        }
    }
    none("error types in no ERROR_TYPES", &faults);
}

#[test]
fn compose_and_scripts_name_only_settings_that_exist() {
    let settings = settings();
    let mut faults = Vec::new();
    for path in ["compose.yaml", "bin/up", "bin/test"] {
        let text = read(path);
        let named: BTreeSet<&str> = words(&text, |c| c.is_ascii_alphanumeric() || c == '_')
            .filter(|word| word.starts_with("SHUZHIREN_") && word.len() > 10)
            .collect();
        faults.extend(named.into_iter().filter(|&name| !settings.contains(name)).map(|name| format!("{path}: {name}")));
    }
    none("variables that nothing reads", &faults);
}

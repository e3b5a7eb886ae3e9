//! Every word of the API and of the WebSocket is explained by a guide of the document, in both languages.

use super::{files, none, read};
use shuzhiren::task::FailureKind;
use std::collections::BTreeSet;

/// Ends of the files of a guide.
const LANGUAGES: [&str; 2] = [".md", ".zh-CN.md"];

fn guide(name: &str, language: &str) -> String {
    read(&format!("src/api/guides/{name}{language}"))
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

/// The guide of errors, as the document has it: the table of words is made from the code, that of failures is written.
#[test]
fn the_document_lists_every_error_type() {
    let document = shuzhiren::api::document();
    let tags = document["tags"].as_array().unwrap();
    let errors = tags.iter().find(|tag| tag["name"] == "errors").unwrap();
    let mut faults = Vec::new();
    for (member, again, last) in [("description", "tried again", "final"), ("x-description-zh-CN", "重试", "不再重试")]
    {
        let text = errors[member].as_str().unwrap();
        let missing = error_types().into_iter().filter(|word| !text.contains(&format!("| `{word}` |")));
        faults.extend(missing.map(|word| format!("{member}: {word}")));
        for kind in FailureKind::ALL {
            let row = format!("| `{}` | {} |", kind.as_str(), if kind.retryable() { again } else { last });
            if !text.contains(&row) {
                faults.push(format!("{member}: no row `{row}`"));
            }
        }
    }
    none("error types that the document does not explain", &faults);
}

/// The first word in quotes after each of these marks, in the code of this room (tests aside).
fn words_after(room: &str, marks: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, text) in files(room, "rs").into_iter().filter(|(path, _)| !path.contains("/tests")) {
        // Without heads of functions: what they are called with is asked.
        let code = text.split("#[cfg(test)]").next().unwrap().lines().filter(|line| !line.contains("fn "));
        let code = code.collect::<Vec<_>>().join("\n");
        for mark in marks {
            let quoted: Vec<&str> =
                code.split(mark).skip(1).filter_map(|rest| rest.split('"').nth(usize::from(*mark != "\""))).collect();
            let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            found.extend(quoted.into_iter().filter(is_word).map(str::to_owned));
        }
    }
    found
}

fn missing_from(name: &str, wanted: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for language in LANGUAGES {
        let text = guide(name, language);
        let missing = wanted.iter().filter(|word| !text.contains(&format!("`{word}`")));
        faults.extend(missing.map(|word| format!("{name}{language}: {word}")));
    }
    faults
}

#[test]
fn the_guide_of_params_has_every_code() {
    let others = ["class_unknown", "no_instance_fits", "value_not_offered", "too_many_files"];
    let rooms = ["src/graph", "src/api", "src/fetch"].map(|room| words_after(room, &["\""]));
    let mut codes: BTreeSet<String> = rooms.into_iter().flatten().collect();
    codes.retain(|word| word.starts_with("param_") || word.starts_with("params_") || others.contains(&word.as_str()));
    codes.remove("param_name"); // A member of marker nodes.
    assert!(codes.contains("param_missing") && codes.contains("param_url_busy"), "{codes:?}");
    none("codes that a guide does not explain", &missing_from("params", &codes));
}

#[test]
fn the_guide_of_the_websocket_has_every_word() {
    let mut wanted = words_after("src/ws", &["event_frame(", "reply(", "Refusal::new(", "Self::new(", "refuse("]);
    let asked = read("src/ws/requests.rs");
    let arms =
        asked.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" =>")).map(|(word, _)| word);
    wanted.extend(arms.map(str::to_owned));
    for word in ["task_progress", "subscribed", "already_logged_in", "upgrade_required", "bad_request", "get_task"] {
        assert!(wanted.contains(word), "{word}: {wanted:?}");
    }
    none("words that a guide does not explain", &missing_from("websocket", &wanted));
    let close = read("src/ws/close.rs");
    let codes =
        close.split("code: ").skip(1).filter_map(|rest| rest.get(..4)).filter(|code| code.parse::<u16>().is_ok());
    let codes: BTreeSet<&str> = codes.filter(|code| *code != "1000").collect();
    assert!(codes.len() > 8, "{codes:?}");
    let missing = |language: &str| {
        let text = guide("websocket", language);
        codes.iter().filter(|code| !text.contains(**code)).map(|code| format!("{language}: {code}")).collect::<Vec<_>>()
    };
    none("close codes that a guide does not explain", &LANGUAGES.map(missing).concat());
}

/// Tables have the same rows in both languages, and code is the same.
#[test]
fn guides_say_the_same_in_both_languages() {
    let first_cells = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        rows.map(|line| line.split(" | ").next().unwrap().replace('、', ", ")).collect()
    };
    let code = |text: &str| text.split("```").skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let names: Vec<String> = files("src/api/guides", "md")
        .into_iter()
        .filter_map(|(path, _)| Some(path.rsplit('/').next()?.strip_suffix(".md")?.to_owned()))
        .filter(|name| !name.ends_with(".zh-CN"))
        .collect();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let [english, chinese] = LANGUAGES.map(|language| guide(&name, language));
        assert_eq!(first_cells(&english), first_cells(&chinese), "{name}");
        assert_eq!(code(&english), code(&chinese), "{name}");
    }
}

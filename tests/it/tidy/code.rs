//! Rules that every file keeps.

use super::{files, none};
use std::collections::{BTreeMap, BTreeSet};

/// Two ideas are two files; about 130 lines is the aim.
const LINES_MAX: usize = 400;

fn all_code() -> Vec<(String, String)> {
    [files("src", "rs"), files("bin", "rs"), files("tests", "rs")].concat()
}

#[test]
fn no_file_is_longer_than_a_head_can_hold() {
    let faults: Vec<_> = [files("src", "rs"), files("bin", "rs")]
        .concat()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines}"))
        .collect();
    none(&format!("files of more than {LINES_MAX} lines"), &faults);
}

/// A reader takes in about 15 names at a glance; `src` itself is the list of rooms.
const SIBLINGS_MAX: usize = 18;

#[test]
fn no_folder_has_more_siblings_than_a_reader_takes_in() {
    let mut siblings: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for extension in ["rs", "js", "css", "html", "md", "json"] {
        for (path, _) in files("src", extension) {
            let parts: Vec<&str> = path.split('/').collect();
            for depth in 2..parts.len() {
                // `name.rs` and its folder `name` are one sibling.
                let name = parts[depth].trim_end_matches(".rs").to_owned();
                siblings.entry(parts[..depth].join("/")).or_default().insert(name);
            }
        }
    }
    let faults: Vec<String> = siblings
        .into_iter()
        .filter(|(_, names)| names.len() > SIBLINGS_MAX)
        .map(|(folder, names)| format!("{folder}: {}", names.len()))
        .collect();
    none(&format!("folders with more than {SIBLINGS_MAX} siblings"), &faults);
}

#[test]
fn every_file_says_what_it_is_for() {
    let faults: Vec<_> = all_code()
        .into_iter()
        .filter(|(_, text)| !text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 12))
        .map(|(path, _)| path)
        .collect();
    none("files whose first line is no `//!` sentence", &faults);
}

#[test]
fn nothing_is_left_undone() {
    // In parts, so that this file does not find itself.
    let marks = [["to", "do!("], ["unimple", "mented!("], ["db", "g!("], ["#[ig", "nore"], ["TO", "DO"], ["FIX", "ME"]]
        .map(|part| part.concat());
    let mut faults = Vec::new();
    for (path, text) in all_code() {
        for (number, line) in text.lines().enumerate() {
            for mark in marks.iter().filter(|mark| line.contains(mark.as_str())) {
                faults.push(format!("{path}:{}: {mark}", number + 1));
            }
        }
    }
    none("marks that a finished piece does not have", &faults);
}

#[test]
fn no_attic_and_no_glob() {
    let attics = ["util", "utils", "helper", "helpers", "common", "misc", "types", "prelude", "manager"];
    let mut faults = Vec::new();
    for (path, text) in files("src", "rs") {
        let name = path.trim_end_matches("/mod.rs").trim_end_matches(".rs").rsplit('/').next().unwrap();
        if attics.contains(&name) {
            faults.push(format!("{path}: what is it about?"));
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        let is_tests = path.contains("/tests");
        faults.extend(
            code.lines()
                .filter(|line| !is_tests && line.trim_start().starts_with("use ") && line.contains("::*"))
                .map(|line| format!("{path}: {}", line.trim())),
        );
    }
    none("attics and glob imports", &faults);
}

/// The exception is between fork and exec of the child Redis.
#[test]
fn the_unsafe_is_in_one_place() {
    let mark = ["un", "safe_code"].concat();
    let found: Vec<_> = all_code().into_iter().filter(|(_, text)| text.contains(&mark)).map(|(path, _)| path).collect();
    assert_eq!(found, ["src/embedded/supervisor.rs"]);
}

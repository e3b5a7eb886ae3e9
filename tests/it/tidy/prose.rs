//! Comments are plain English: how a doc comment opens, and which words none of them uses.

use super::{files, none, words};

/// First words that make a doc comment a clause without a subject, or a fragment.
const OPENINGS: &[&str] = &[
    "What", "Who", "Whom", "Whose", "How", "Why", "Where", "Which", "When", "Of", "For", "So", "As", "Without",
    "Those", "One", "That",
];
/// Words that hide who acts, and verbs of a play.
const DIALECT: &[&str] = &[
    "nobody",
    "somebody",
    "everybody",
    "anybody",
    "whoever",
    "whatever",
    "told",
    "tell",
    "tells",
    "hear",
    "hears",
    "heard",
    "born",
    "bury",
    "buries",
    "forgive",
    "forgives",
    "forgiven",
];
/// The same in two words.
const DIALECT_PAIRS: &[[&str; 2]] = &[["so", "many"], ["so", "long"], ["so", "often"]];
/// Folders and the extension of the files that are read below them.
const READ: &[(&str, &str)] = &[
    ("src", "rs"),
    ("bin", "rs"),
    ("tests", "rs"),
    ("lua", "lua"),
    ("src/dashboard/page", "js"),
    ("tests/page", "mjs"),
];

/// (path, line number, text) of every comment line.
fn comments() -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    for (folder, extension) in READ {
        let mark = if *extension == "lua" { "--" } else { "//" };
        for (path, text) in files(folder, extension).into_iter().filter(|(path, _)| !path.contains("node_modules")) {
            for (number, line) in text.lines().enumerate() {
                let line = line.trim_start();
                if line.starts_with(mark) || *extension != "lua" && line.starts_with("/*") {
                    found.push((path.clone(), number + 1, line.to_owned()));
                }
            }
        }
    }
    found
}

/// The text behind `///` or `//!`.
fn doc(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim_start)
}

/// The first lines of the doc comments of a file, with their numbers.
fn doc_openings(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let opens = |at: usize| at == 0 || doc(lines[at - 1]).is_none();
    (0..lines.len()).filter_map(|at| doc(lines[at]).filter(|_| opens(at)).map(|opening| (at + 1, opening))).collect()
}

fn dialect_of(line: &str) -> Vec<String> {
    let lower = line.to_lowercase();
    let all: Vec<&str> = words(&lower, |c| c.is_alphanumeric() || c == '\'' || c == '_').collect();
    let single = all.iter().filter(|word| DIALECT.contains(word)).map(|word| (*word).to_owned());
    let pairs =
        all.windows(2).filter(|pair| DIALECT_PAIRS.iter().any(|two| two[..] == pair[..])).map(|two| two.join(" "));
    single.chain(pairs).collect()
}

#[test]
fn the_rules_find_what_they_forbid() {
    assert_eq!(doc_openings("//! A\n//! What\n\n/// How\nfn x() {}\n/// Reads"), [(1, "A"), (4, "How"), (6, "Reads")]);
    assert_eq!(dialect_of("// Nobody waits so long."), ["nobody", "so long"]);
    assert!(dialect_of("// The tellers wait as long as they must; `told_ms`.").is_empty());
}

#[test]
fn no_doc_comment_opens_with_a_clause_without_a_subject() {
    let mut faults = Vec::new();
    for (path, text) in [files("src", "rs"), files("bin", "rs"), files("tests", "rs")].concat() {
        for (number, opening) in doc_openings(&text) {
            let first = opening.split(|c: char| !c.is_alphanumeric()).next().unwrap();
            if OPENINGS.contains(&first) {
                faults.push(format!("{path}:{number}: {opening}"));
            }
        }
    }
    none("doc comments that do not open with a noun phrase or a verb", &faults);
}

#[test]
fn no_comment_hides_who_acts() {
    let faults: Vec<String> = comments()
        .into_iter()
        .filter(|(_, _, line)| !dialect_of(line).is_empty())
        .map(|(path, number, line)| format!("{path}:{number}: {:?} in {line}", dialect_of(&line)))
        .collect();
    none("comments with words that hide who acts", &faults);
}

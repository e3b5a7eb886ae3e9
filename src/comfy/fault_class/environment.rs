//! Recognises errors of a machine's setup: packages, programs, backends, data types of a device, versions, permissions.
//! Another machine may have what this one lacks, so they are tried elsewhere before the task is blamed.
//!
//! Text of a user can make an error look like one of these; that costs a second try, and no machine its work.

use super::{
    contains_any, has_errno, is_missing_file, is_one_of,
    phrases::{
        ENVIRONMENT, ENVIRONMENT_ERRNOS, ENVIRONMENT_TYPES, LACKING, MODEL_ENDINGS, PARTS, PARTS_BEGINNING,
        PARTS_OF_WORDS, each,
    },
};

/// Whether the message says that the machine lacks something. `whole` is the message in lower case; `text` is the
/// same without quoted sentences.
pub(super) fn is_environment(kind: &str, whole: &str, text: &str) -> bool {
    is_one_of(kind, ENVIRONMENT_TYPES)
        || contains_any(text, ENVIRONMENT)
        || has_errno(text, ENVIRONMENT_ERRNOS)
        || is_missing_program(kind, whole)
        || text.lines().any(|line| contains_any(line, LACKING) && (names_part(line) || names_model(line)))
        || is_missing_attribute(kind, text)
}

/// Whether a program of the system is missing: `No such file or directory: 'ffmpeg'`. Windows names no file.
fn is_missing_program(kind: &str, whole: &str) -> bool {
    if !is_missing_file(kind, whole) && !whole.contains("[winerror 2]") {
        return false;
    }
    let name = whole.rsplit(['\'', '"']).nth(1).unwrap_or_default();
    let is_word = !name.is_empty() && !name.contains(['/', '\\', '.', ' ', '(', ',']);
    is_word || name.ends_with(".exe") || whole.contains("[winerror 2]") && name.is_empty()
}

/// Whether a package is older or newer than a node expects: its module or class lacks a name.
fn is_missing_attribute(kind: &str, text: &str) -> bool {
    kind == "AttributeError"
        && text.contains("has no attribute")
        && ["module '", "type object '"].iter().any(|owner| text.contains(owner))
}

/// Whether a line names a part of a machine's setup: `mps`, `triton`, `fp8e4nv`, `sm_75`, `flash_attn_func`.
fn names_part(line: &str) -> bool {
    let is_part = |word: &str| {
        let beginning = word.split('_').next().unwrap_or_default();
        is_one_of(word, PARTS)
            || is_one_of(beginning, PARTS)
            || each(PARTS_BEGINNING).any(|part| word.starts_with(part))
            || word.strip_prefix("sm").is_some_and(|rest| rest.trim_start_matches('_').starts_with(char::is_numeric))
    };
    let is_separator = |c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.');
    let mut words = line.split(is_separator).map(|word| word.trim_matches('.')).filter(|word| !word.is_empty());
    words.any(is_part) || contains_any(line, PARTS_OF_WORDS)
}

fn names_model(line: &str) -> bool {
    contains_any(line, MODEL_ENDINGS) && contains_any(line, "not found | not exist | no such file | not find")
}

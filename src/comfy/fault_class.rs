//! Judges whose fault the error of a node is: the memory's, the machine's, the task's, or unknown (protocol §17.21).
//!
//! Pure. The phrases are in [`phrases`]. The order matters: memory, then a broken machine, then what a machine lacks
//! ([`environment`]), and only then the task: `ffmpeg is required` is no fault of a workflow. A text that a user wrote must not make an error the machine's: quoted parts do
//! not count, and in exceptions that describe a value only the beginning of a line does.

mod environment;
mod phrases;
#[cfg(test)]
mod tests;

use phrases::{
    ACCELERATORS, CORRUPT_FILE, MACHINE, MACHINE_ERRNOS, MACHINE_TYPES, MEDIA_ENDINGS, MEMORY, ORDINARY_TYPES, TASK,
    TASK_ERRNOS, TASK_TYPES, USER_FILES, each,
};

/// Longest part of a message that is examined, bytes.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// A model that this version of PyTorch does not trust.
const WEIGHTS_ONLY: &str = "weights only load failed";

/// Cause of a node's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultClass {
    /// The instance ran out of memory.
    Memory,
    /// The machine is broken: GPU, driver, disk, a library, a model file.
    Machine,
    /// The workflow or its inputs: the error would be the same everywhere.
    Task,
    /// The text does not say.
    Unknown,
}

/// Fate of the same node of the same graph on another instance. If it succeeds there, `lua/finish.lua` leaves the doubt
/// about the first instance standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// It was not run there.
    NotTried,
    /// It failed there, too.
    Failed,
}

/// Returns the cause of an error. What happened elsewhere decides only where the text does not.
pub(crate) fn classify(exception_type: &str, message: &str, node_class: &str, elsewhere: Elsewhere) -> FaultClass {
    match (by_text(exception_type, message, node_class), elsewhere) {
        (FaultClass::Unknown, Elsewhere::Failed) => FaultClass::Task,
        (class, Elsewhere::NotTried | Elsewhere::Failed) => class,
    }
}

fn by_text(exception_type: &str, message: &str, node_class: &str) -> FaultClass {
    let kind = exception_type.rsplit('.').next().unwrap_or_default().trim_start_matches('_');
    let whole = message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_lowercase();
    let whole = without_type(&whole, exception_type);
    let text = unquoted(whole, false);
    if kind.contains("OutOfMemory") || kind.ends_with("MemoryError") {
        return FaultClass::Memory;
    }
    if kind == "KeyError" {
        // Its message is the key.
        return FaultClass::Task;
    }
    let is_environment = || environment::is_environment(kind, whole, &unquoted(whole, true));
    if is_one_of(kind, ORDINARY_TYPES) {
        return ordinary(&text, is_environment);
    }
    if contains_any(&text, MEMORY) || clauses(&text).any(is_out_of_memory) {
        return FaultClass::Memory;
    }
    if text.contains(WEIGHTS_ONLY) {
        return FaultClass::Unknown;
    }
    let takes_user_files = contains_any(&node_class.to_lowercase(), USER_FILES);
    if takes_user_files && contains_any(&text, CORRUPT_FILE) {
        return FaultClass::Task;
    }
    let is_machine_type = each(MACHINE_TYPES).any(|word| kind.starts_with(word));
    if is_machine_type || is_machine(&text) || contains_any(&text, CORRUPT_FILE) {
        return FaultClass::Machine;
    }
    let is_users = takes_user_files || contains_any(whole, MEDIA_ENDINGS);
    if has_errno(&text, TASK_ERRNOS) {
        FaultClass::Task
    } else if is_environment() {
        FaultClass::Unknown
    } else if is_one_of(kind, TASK_TYPES) || contains_any(&text, TASK) || (is_missing_file(kind, &text) && is_users) {
        FaultClass::Task
    } else {
        FaultClass::Unknown
    }
}

/// An exception that describes a value, and so may contain any text of a user.
fn ordinary(text: &str, is_environment: impl Fn() -> bool) -> FaultClass {
    let starts = |list| text.lines().any(|line| each(list).any(|phrase| line.starts_with(phrase)));
    if starts(MEMORY) || text.lines().any(is_out_of_memory) {
        FaultClass::Memory
    } else if starts(MACHINE) || text.starts_with("torch not compiled with") || text.lines().any(is_accelerator_error) {
        FaultClass::Machine
    } else if is_environment() {
        FaultClass::Unknown
    } else {
        FaultClass::Task
    }
}

/// Removes the name of the exception from the beginning of a message: newer versions of ComfyUI write
/// `ValueError: …`. `message` is in lower case.
fn without_type<'a>(message: &'a str, exception_type: &str) -> &'a str {
    let name = exception_type.to_lowercase();
    let short = name.rsplit('.').next().unwrap_or_default();
    let rest = message.strip_prefix(name.as_str()).or_else(|| message.strip_prefix(short));
    rest.and_then(|rest| rest.strip_prefix(": ")).filter(|_| !short.is_empty()).unwrap_or(message)
}

fn is_machine(text: &str) -> bool {
    contains_any(text, MACHINE) || has_errno(text, MACHINE_ERRNOS) || clauses(text).any(is_accelerator_error)
}

fn is_missing_file(kind: &str, text: &str) -> bool {
    kind == "FileNotFoundError" || text.contains("[errno 2]")
}

/// Whether the text has the number of one of these errors of an operating system, in any language.
fn has_errno(text: &str, list: &str) -> bool {
    ["[errno ", "[winerror ", "os { code: ", "os error "].iter().any(|opening| {
        text.match_indices(opening).any(|(at, _)| {
            let digits = text[at + opening.len()..].split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            // Linux has no error of four digits.
            let is_windows = opening.starts_with("[win") || digits.len() > 3;
            let code = if is_windows { format!("w{digits}") } else { digits.to_owned() };
            is_one_of(&code, list)
        })
    })
}

/// Returns the beginnings of sentences: `loading failed: CUDA error: …` has three. What follows a user's text is left
/// out.
fn clauses(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| {
        let mut is_text_of_user = false;
        line.split_inclusive([':', ';', '(', '.']).map(str::trim_start).take_while(move |clause| {
            let was_text = is_text_of_user;
            let words = clause.trim_end_matches([':', '=', ' ']);
            is_text_of_user = ["prompt", "text", "caption", "string"].iter().any(|word| words.ends_with(word));
            !was_text
        })
    })
}

/// Whether a clause begins like `CUDA out of memory`, or is what follows `CUDA error:`.
fn is_out_of_memory(clause: &str) -> bool {
    let names_accelerator = each(ACCELERATORS).any(|name| clause.starts_with(name));
    clause.starts_with("out of memory") || (names_accelerator && clause.contains("out of memory"))
}

/// Whether a clause begins like `CUDA error: …`, `HIP error 700`, `cuDNN error (…)`, `NCCL failure`.
fn is_accelerator_error(clause: &str) -> bool {
    let Some(rest) = each(ACCELERATORS).find_map(|name| clause.strip_prefix(name)) else { return false };
    let rest = ["runtime ", "driver ", "kernel ", "backend ", "internal "]
        .iter()
        .find_map(|word| rest.strip_prefix(' ')?.strip_prefix(word).map(|rest| format!(" {rest}")))
        .unwrap_or_else(|| rest.to_owned());
    let Some(rest) = [" error", " failure", "error", "_error"].iter().find_map(|word| rest.strip_prefix(word)) else {
        return false;
    };
    let next = rest.trim_start();
    rest.is_empty()
        || next.starts_with([':', '(', '[', '=', '-', ','])
        || next.starts_with(|c: char| c.is_ascii_digit())
        || ["at ", "in ", "code ", "on "].iter().any(|word| next.starts_with(word))
}

fn contains_any(text: &str, list: &str) -> bool {
    each(list).any(|phrase| text.contains(phrase))
}

fn is_one_of(word: &str, list: &str) -> bool {
    each(list).any(|one| one == word)
}

/// Removes quoted parts, or only those of several words. An apostrophe inside a word opens none, and an unpaired quote
/// removes nothing.
fn unquoted(text: &str, keeps_words: bool) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find(['\'', '"', '`']) {
        let quote = rest[open..].chars().next().unwrap_or('"');
        let follows_word = rest[..open].chars().next_back().is_some_and(char::is_alphanumeric);
        let inside = &rest[open + quote.len_utf8()..];
        let close = if follows_word { None } else { inside.find(quote) };
        match close {
            Some(close) => {
                let after = open + quote.len_utf8() + close + quote.len_utf8();
                let is_kept = keeps_words && !inside[..close].contains(char::is_whitespace);
                kept.push_str(&rest[..if is_kept { after } else { open }]);
                rest = &rest[after..];
            }
            None => {
                kept.push_str(&rest[..open + quote.len_utf8()]);
                rest = inside;
            }
        }
    }
    kept.push_str(rest);
    kept
}

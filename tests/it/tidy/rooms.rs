//! Imports allowed between rooms, and the room that owns each foreign crate.

use super::{files, none, words};
use std::collections::BTreeSet;

/// Rooms that every room but a leaf may import.
const SIDE: &[&str] = &["settings", "metrics", "process", "trace"];

/// Small modules that every room may import; of them, only those that a row of [`MAY_IMPORT`] names.
const LEAVES: &[&str] = &["backoff", "clock", "json", "net", "text"];

/// Room → rooms it may import besides [`LEAVES`] and [`SIDE`]. `api`, `ws`, `dispatcher`, `sim`, `embedded` never stand in one another's rows;
/// `comfy` not in api's: that process never talks to ComfyUI.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("backoff", &[]),
    ("clock", &[]),
    ("json", &["text"]),
    ("net", &[]),
    ("text", &[]),
    ("problem", &[]),
    ("settings", &[]),
    ("metrics", &["task", "fleet"]),
    ("process", &[]),
    ("trace", &["task"]),
    ("save_file", &[]),
    ("schedule", &[]),
    ("secrets", &[]),
    ("task", &[]),
    ("fleet", &["task", "problem", "secrets"]),
    ("event", &["task", "fleet"]),
    ("queue", &["task", "event", "fleet"]),
    ("comfy", &["task", "event", "fleet"]),
    ("store", &["task"]),
    ("auth", &["task"]),
    ("graph", &["task", "fleet", "problem"]),
    ("fetch", &[]),
    ("media", &[]),
    ("submit", &["task", "fleet", "queue", "store", "auth", "graph", "fetch", "problem", "secrets"]),
    (
        "api",
        &[
            "task", "event", "fleet", "queue", "store", "auth", "graph", "fetch", "media", "submit", "problem",
            "secrets",
        ],
    ),
    ("ws", &["task", "event", "fleet", "queue", "auth"]),
    ("dispatcher", &["task", "event", "fleet", "queue", "comfy", "store", "graph", "media", "schedule", "secrets"]),
    ("doctor", &["task", "fleet", "queue", "comfy", "store"]),
    ("sim", &[]),
    ("embedded", &["save_file"]),
    ("cli", &["task", "event", "fleet", "save_file", "schedule"]),
    ("dashboard", &[]),
];

/// Foreign crate → the room that names it, or the rooms (a client of ours, or of the web, is no client of ComfyUI).
const CRATE_OF: &[(&str, &[&str])] = &[
    ("fred", &["queue"]),
    ("zstd", &["queue"]),
    ("reqwest", &["comfy", "cli", "doctor", "fetch", "net"]),
    ("tokio_tungstenite", &["comfy", "cli", "net"]),
    ("backoff", &["backoff"]),
    ("strsim", &["problem"]),
    ("object_store", &["store"]),
    ("jsonwebtoken", &["auth"]),
    ("argon2", &["auth"]),
    ("hyper_util", &["process", "sim", "net"]),
    ("tracing_subscriber", &["process"]),
    ("metrics_exporter_prometheus", &["metrics"]),
    ("metrics_process", &["metrics"]),
    ("indicatif", &["cli"]),
    ("csv", &["schedule"]),
    ("clap_complete", &["cli"]),
    ("opentelemetry", &["trace"]),
    ("opentelemetry_otlp", &["trace"]),
    ("opentelemetry_sdk", &["trace"]),
    ("image", &["media"]),
    ("imagesize", &["media"]),
    ("png", &["sim"]),
    ("font8x8", &["sim"]),
];

/// `src/queue/mod.rs` → `queue`, `src/task.rs` → `task`.
fn room_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap();
    inside.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The file without its unit tests, which stand at its end.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

/// Code only: documentation may point anywhere.
fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms named by `crate::room` and `crate::{room::…, room}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.extend(words(rest, |c| c.is_alphanumeric() || c == '_').next().map(str::to_owned));
            continue;
        };
        let (mut depth, mut at_name) = (0, true);
        let mut name = String::new();
        for character in group.chars() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.insert(std::mem::take(&mut name));
                    at_name = true;
                }
                ':' => at_name &= depth > 0,
                other if depth == 0 && at_name && !other.is_whitespace() => name.push(other),
                _ => {}
            }
        }
        found.insert(name);
    }
    found.remove("");
    found
}

#[test]
fn the_reader_of_imports_reads() {
    let code = "use crate::{\n a::{B, c::D},\n e,\n f::g::h,\n};\nuse crate::i; crate::j::k(); pub(crate) fn x() {}";
    assert_eq!(imports(code).into_iter().collect::<Vec<_>>(), ["a", "e", "f", "i", "j"]);
}

#[test]
fn rooms_import_only_what_they_may() {
    let mut faults = Vec::new();
    for (path, text) in files("src", "rs") {
        let room = room_of(&path);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
            faults.push(format!("{path}: the room `{room}` is not listed"));
            continue;
        };
        // Only a lower-case name is a room; `crate::Thing` would be the library's root.
        let used = imports(&without_comments(without_tests(&text)));
        for name in used.iter().filter(|name| MAY_IMPORT.iter().any(|(room, _)| room == name)) {
            let is_open = !LEAVES.contains(&room) && (LEAVES.contains(&name.as_str()) || SIDE.contains(&name.as_str()));
            if name != room && !is_open && !allowed.contains(&name.as_str()) {
                faults.push(format!("{path}: `{room}` may not import `{name}`"));
            }
        }
    }
    none("imports against the layers", &faults);
}

/// The word that ends `code`, unless it names a room of ours: a crate of the same name is written `::name`.
fn crate_named(code: &str) -> Option<&str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let name = code.rsplit(|c: char| !is_part(c)).next()?;
    let is_absolute = code[..code.len() - name.len()].strip_suffix("::").is_some_and(|rest| !rest.ends_with(is_part));
    (is_absolute || MAY_IMPORT.iter().all(|(room, _)| *room != name)).then_some(name)
}

#[test]
fn a_crate_with_the_name_of_a_room_is_told_apart() {
    for (code, name) in [
        ("use ::backoff", Some("backoff")),
        ("use crate::backoff", None),
        ("use crate::{backoff", None),
        ("use reqwest", Some("reqwest")),
    ] {
        assert_eq!(crate_named(code), name, "{code}");
    }
}

#[test]
fn a_foreign_crate_is_named_in_one_room() {
    let mut faults = Vec::new();
    for (path, text) in files("src", "rs") {
        let code = without_comments(&text);
        let named: BTreeSet<&str> = code.match_indices("::").filter_map(|(at, _)| crate_named(&code[..at])).collect();
        for (foreign, owners) in CRATE_OF {
            if named.contains(foreign) && !owners.contains(&room_of(&path)) {
                faults.push(format!("{path}: `{foreign}` belongs to `{}`", owners.join("`, `")));
            }
        }
    }
    none("foreign crates outside of their room", &faults);
}

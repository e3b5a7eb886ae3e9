//! Every script says what it is given, and uses what it says.

use super::{files, none, words};
use std::collections::BTreeSet;

/// Comment lines at the top, and what follows.
fn header_and_body(text: &str) -> (String, String) {
    let (header, body): (Vec<_>, Vec<_>) = {
        let lines: Vec<&str> = text.lines().collect();
        let end =
            lines.iter().position(|line| !line.starts_with("--") && !line.starts_with("#!")).unwrap_or(lines.len());
        (lines[..end].to_vec(), lines[end..].to_vec())
    };
    (header.join("\n"), body.join("\n"))
}

/// `ARGV[1]`, `KEYS[2]`, … in the text.
fn slots(text: &str) -> BTreeSet<&str> {
    words(text, |c| c.is_ascii_alphanumeric() || c == '[' || c == ']')
        .filter_map(|word| word.find("KEYS[").or_else(|| word.find("ARGV[")).map(|at| &word[at..]))
        .filter_map(|slot| slot.find(']').map(|end| &slot[..=end]))
        .filter(|slot| slot[5..slot.len() - 1].parse::<u8>().is_ok())
        .collect()
}

#[test]
fn every_header_names_what_the_body_uses() {
    let mut faults = Vec::new();
    for (path, text) in files("lua", "lua") {
        let (header, body) = header_and_body(&text);
        if header.is_empty() {
            faults.push(format!("{path}: does not begin with what it does"));
        }
        if path.starts_with("lua/lib/") {
            continue;
        }
        if !header.contains("\n-- Returns ") {
            faults.push(format!("{path}: no `-- Returns` line"));
        }
        let (mut said, mut used) = (slots(&header), slots(&body));
        // Every script has the namespace's root there; lib/base.lua takes it.
        if !said.remove("KEYS[1]") {
            faults.push(format!("{path}: no KEYS[1]"));
        }
        used.remove("KEYS[1]");
        if said != used {
            faults.push(format!("{path}: header {said:?}, body {used:?}"));
        }
    }
    none("headers of scripts", &faults);
}

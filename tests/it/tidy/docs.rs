//! Every setting is explained by `--help`, every metric by rustdoc; the README is a page; the compose file names only settings
//! that exist.

use super::{files, none, read, words};
use shuzhiren::metrics::METRICS;
use std::{collections::BTreeSet, process::Command};

/// Every variable that the program reads: `env = "…"` of clap.
pub(crate) fn settings() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, text) in [files("src", "rs"), files("bin", "rs")].concat() {
        found.extend(text.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    assert!(found.contains("REDIS_URL") && found.contains("SHUZHIREN_LISTEN"), "{found:?}");
    found
}

/// Longest README: a page that a stranger reads in three minutes.
const README_LINES_MAX: usize = 170;
const READMES: [&str; 2] = ["README.md", "README.zh-CN.md"];

/// Returns the output of `--help`.
fn help(command: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_shuzhiren"));
    // A name in a variable of this shell is no documentation.
    let output = program.env_clear().args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The paragraphs of every option of every command.
fn options() -> Vec<String> {
    let commands: Vec<String> = help(&[])
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once("  "))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase()))
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    let mut found = Vec::new();
    for command in &commands {
        let mut option = String::new();
        for line in help(&[command]).lines() {
            if line.trim_start().starts_with('-') && line.starts_with("  ")
                || !line.starts_with(' ') && !line.is_empty()
            {
                found.push(format!("{command}: {}", std::mem::take(&mut option)));
            }
            option.push_str(line.trim());
            option.push(' ');
        }
        found.push(format!("{command}: {option}"));
    }
    found
}

/// Named by the help of some command, each time with a sentence, and with a default or an example unless it is a switch.
#[test]
fn the_help_explains_every_setting() {
    let options = options();
    let mut faults = Vec::new();
    for name in settings() {
        // Of a secret the value is not shown: no `=`.
        let is_said = |option: &&String| ["=", "]"].iter().any(|end| option.contains(&format!("[env: {name}{end}")));
        let said: Vec<&String> = options.iter().filter(is_said).collect();
        if said.is_empty() {
            faults.push(format!("{name}: no help names it"));
        }
        for option in said {
            let has_value = option.split("[env:").next().unwrap().contains('<');
            let shows = option.contains("[default") || option.contains("e.g.") || option.contains("E.g.");
            if has_value && !shows {
                faults.push(format!("{name}: neither default nor example: {option}"));
            }
            if option.split_whitespace().count() < 8 {
                faults.push(format!("{name}: no sentence: {option}"));
            }
        }
    }
    none("settings that --help leaves in the dark", &faults);
}

#[test]
fn the_rustdoc_lists_every_metric() {
    let table = read("src/metrics/metrics.md");
    let listed: BTreeSet<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let wanted: BTreeSet<String> = METRICS
        .iter()
        .map(|one| {
            let (kind, labels) = (format!("{:?}", one.kind).to_lowercase(), one.labels.join(", "));
            format!("| `{}` | {kind} | {labels} | {} |", one.name, one.help)
        })
        .collect();
    let missing = wanted.iter().filter(|row| !listed.contains(row.as_str())).map(|row| format!("not there: {row}"));
    let stale = listed.iter().filter(|row| !wanted.contains(**row)).map(|row| format!("not true: {row}"));
    none("src/metrics/metrics.md against METRICS", &missing.chain(stale).collect::<Vec<_>>());
}

#[test]
fn the_readme_is_a_page_and_its_links_lead_somewhere() {
    let shape = |text: &str| (text.matches("\n## ").count(), text.matches("```").count());
    assert_eq!(shape(&read(READMES[0])), shape(&read(READMES[1])), "both READMEs have the same chapters");
    let mut faults = Vec::new();
    for path in READMES {
        let text = read(path);
        if text.lines().count() > README_LINES_MAX {
            faults.push(format!("{path}: {} lines; at most {README_LINES_MAX}", text.lines().count()));
        }
        let prose: String = text.split("```").step_by(2).collect();
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let links: Vec<&str> = links.filter(|link| !link.contains("://")).collect();
        assert!(links.len() > 3, "{path}: {links:?}");
        let is_dead = |link: &&str| !super::root().join(link.split('#').next().unwrap()).exists();
        faults.extend(links.into_iter().filter(is_dead).map(|link| format!("{path}: {link}")));
    }
    none("READMEs", &faults);
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

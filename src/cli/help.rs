//! `shuzhiren --help`: commands in groups. Descriptions are those of clap; a command in no group goes into the last one.

use clap::Command;
use std::fmt::Write as _;

/// Titles and commands. The last group takes the remaining commands.
const GROUPS: &[(&str, &[&str])] = &[
    ("Run a system", &["up", "api", "ws", "dispatcher", "doctor", "sim"]),
    ("Tasks", &["submit", "watch", "tasks", "show", "explain", "cancel", "retry", "batches", "workflows"]),
    ("Files", &["upload", "files", "download", "rm"]),
    ("Fleet", &["instances", "enable", "disable", "release", "config", "top"]),
    ("Login", &["login", "logout", "whoami"]),
    ("More", &[]),
];

/// Returns the program with its help in groups.
pub fn grouped(program: Command) -> Command {
    let (header, literal) = (*program.get_styles().get_header(), *program.get_styles().get_literal());
    let width = program.get_subcommands().map(|command| command.get_name().len()).max().unwrap_or(0);
    let is_grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let mut text = String::new();
    for (title, names) in GROUPS {
        let mut lines = String::new();
        for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let is_here = if names.is_empty() { !is_grouped(name) } else { names.contains(&name) };
            if is_here {
                let about = command.get_about().map(ToString::to_string).unwrap_or_default();
                let _infallible = writeln!(lines, "  {literal}{name:width$}{literal:#}  {about}");
            }
        }
        if !lines.is_empty() {
            let _infallible = writeln!(text, "{header}{title}:{header:#}\n{lines}");
        }
    }
    // Not clap's own list, which would fill a third of the screen with logging options.
    let options = [
        ("-h, --help", "Print help; `shuzhiren <command> --help` explains all settings of a command, `-h` briefly"),
        ("-V, --version", "Print the version"),
        ("--log, --log-format", "Log level and format"),
    ];
    let option = |(name, about): (&str, &str)| format!("  {literal}{name:19}{literal:#}  {about}\n");
    let options = options.map(option).concat();
    let options = options.trim_end();
    program.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}{header}Options:{header:#}\n{options}{{after-help}}"
    ))
}

#[cfg(test)]
mod tests {
    use super::grouped;
    use clap::Command;

    #[test]
    fn every_command_is_in_a_group_once() {
        let names = ["up", "watch", "of-tomorrow"];
        let commands = names.map(|name| Command::new(name).about(format!("does {name}")));
        let help = grouped(Command::new("x").subcommands(commands)).render_help().to_string();
        for (name, title) in names.into_iter().zip(["Run a system:", "Tasks:", "More:"]) {
            let (before, _) = help.split_once(&format!("  does {name}\n")).unwrap_or_else(|| panic!("{help}"));
            assert!(before.rsplit("\n\n").next().unwrap().starts_with(title), "{help}");
            assert_eq!(help.matches(&format!("does {name}\n")).count(), 1);
        }
        assert!(!help.contains("Files:"), "{help}");
    }
}

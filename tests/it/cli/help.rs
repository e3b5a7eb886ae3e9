//! `--help` and `completions`.

use super::Shell;

#[tokio::test]
async fn the_help_has_commands_in_groups_and_the_exit_codes() {
    let shell = Shell::new("http://127.0.0.1:1");
    let help = shell.ok(&["--help"]).await;
    let titles = ["Run a system:", "Tasks:", "Files:", "Fleet:", "Login:", "More:", "Options:", "Exit codes"];
    let places: Vec<usize> =
        titles.iter().map(|title| help.find(title).unwrap_or_else(|| panic!("{title}: {help}"))).collect();
    assert!(places.is_sorted(), "{help}");
    let roles = &help[places[0]..places[1]];
    for role in ["up", "api", "ws", "dispatcher", "doctor", "sim"] {
        assert!(roles.contains(&format!("\n  {role} ")), "{roles}");
    }
    assert!(help[places[1]..places[2]].contains("\n  explain "), "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
    assert!(help.lines().count() <= 64, "one screen: {}", help.lines().count());
    // The help of a role lists its settings under headings.
    let api = shell.ok(&["api", "--help"]).await;
    assert!(api.starts_with("Run the REST API") && api.contains("Redis:") && api.contains("--no-ws"), "{api}");
    assert_eq!(shell.run(&["submti"]).await.code, 2);
}

#[test]
fn every_exit_code_is_explained() {
    let words = shuzhiren::cli::EXIT_CODES.split_whitespace();
    let mut codes: Vec<u8> = words.filter_map(|word| word.parse().ok()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 130]);
}

#[tokio::test]
async fn shells_get_their_completions() {
    let shell = Shell::new("http://127.0.0.1:1");
    for (name, mark) in [("bash", "complete -F"), ("zsh", "#compdef shuzhiren"), ("fish", "complete -c shuzhiren")] {
        let script = shell.ok(&["completions", name]).await;
        assert!(script.contains(mark) && script.contains("cancel-on-interrupt"), "{name}");
    }
    let script = shell.write("completions.bash", &shell.ok(&["completions", "bash"]).await);
    let checked = tokio::process::Command::new("bash").args(["-n", &script]).status().await.unwrap();
    assert!(checked.success(), "bash can read it");
    assert_eq!(shell.run(&["completions", "tcsh"]).await.code, 2);
}

//! The client commands, as their users run them: the real program as a process, against a real system.

mod bench;
mod closed_output;
mod files;
mod fleet;
mod help;
mod login;
mod private_mode;
mod retries;
mod saving;
mod submit;
mod tasks;
mod terminal;
mod watch;
mod watch_all;
mod workflows;

use crate::support::stack::{PASSWORD, Stack, WAIT_MAX};
use serde_json::Value;
use std::{path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// A user at a shell, with a home folder and a system to talk to.
struct Shell {
    home: tempfile::TempDir,
    url: String,
    variables: Vec<(String, String)>,
}

/// Result of a command.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// Standard output as one JSON document.
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard output as JSON lines.
    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }
}

impl Shell {
    fn new(url: &str) -> Self {
        Self { home: tempfile::tempdir().unwrap(), url: url.to_owned(), variables: Vec::new() }
    }

    /// Logged in with the administrator's password.
    async fn logged_in(stack: &Stack) -> Self {
        Self::logged_in_at(&stack.client.base).await
    }

    async fn logged_in_at(url: &str) -> Self {
        let shell = Self::new(url);
        let ran = shell.with_input(&["login", "--password-stdin"], PASSWORD).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        shell
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shuzhiren"));
        self.prepare(&mut command);
        command.args(args);
        command
    }

    /// Sets the environment of a user, independent of that of the tests.
    fn prepare(&self, command: &mut Command) {
        for (name, _) in std::env::vars() {
            if name.starts_with("SHUZHIREN_") || ["VISUAL", "EDITOR", "NO_COLOR"].contains(&name.as_str()) {
                command.env_remove(name);
            }
        }
        command.env("XDG_CONFIG_HOME", self.home.path().join("config")).env("SHUZHIREN_URL", &self.url);
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    }

    async fn run(&self, args: &[&str]) -> Ran {
        ended(self.command(args).spawn().unwrap()).await
    }

    async fn with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        ended(child).await
    }

    /// Runs a command that must succeed and returns its output.
    async fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args).await;
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.out
    }

    /// A file in the home.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn workflow(&self, graph: &Value) -> String {
        self.write("workflow.json", &graph.to_string())
    }

    fn folder(&self) -> &Path {
        self.home.path()
    }
}

async fn ended(child: Child) -> Ran {
    let output = timeout(WAIT_MAX, child.wait_with_output()).await.expect("the command ends in time").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what is printed is UTF-8");
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// The next line of a command that is still running.
async fn next_line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    timeout(WAIT_MAX, lines.next_line()).await.expect("a line in time").unwrap().expect("a line")
}

fn lines_of(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

/// Waits for the end of a command whose output was read line by line, and returns the rest of it.
async fn rest(mut child: Child, mut lines: Lines<BufReader<ChildStdout>>) -> Ran {
    let (mut out, mut err) = (String::new(), String::new());
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            out.push_str(&line);
            out.push('\n');
        }
        child.stderr.take().unwrap().read_to_string(&mut err).await.unwrap();
        child.wait().await.unwrap().code().unwrap_or(-1)
    };
    let code = timeout(WAIT_MAX, reading).await.expect("the command ends in time");
    Ran { code, out, err }
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

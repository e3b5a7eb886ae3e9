//! At a terminal (made by `script`): a password is not shown, bars are drawn, `top` restores the screen.

use super::{PASSWORD, Shell, Stack};
use crate::support::stack::{WAIT_MAX, workflow};
use serde_json::json;
use std::process::Stdio;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// A command at a terminal of its own.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    seen: String,
}

impl Terminal {
    fn open(shell: &Shell, line: &str) -> Self {
        let mut command = Command::new("script");
        shell.prepare(&mut command);
        command.env("S", env!("CARGO_BIN_EXE_shuzhiren")).env("TERM", "xterm").env("SHELL", "/bin/sh");
        let line = format!("stty cols 120 rows 30; {line}");
        let mut child =
            command.args(["-qefc", &line, "/dev/null"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, keys, screen, seen: String::new() }
    }

    async fn see(&mut self, what: &str) {
        let seeing = async {
            let mut bytes = [0; 4_096];
            while !self.seen.contains(what) {
                let count = self.screen.read(&mut bytes).await.unwrap();
                assert!(count > 0, "`{what}` is never seen: {}", self.seen);
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        };
        if timeout(WAIT_MAX, seeing).await.is_err() {
            panic!("`{what}` is not seen in time: {}", self.seen);
        }
    }

    async fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    async fn ended(mut self) -> (i32, String) {
        let mut bytes = Vec::new();
        timeout(WAIT_MAX, self.screen.read_to_end(&mut bytes)).await.expect("it ends in time").unwrap();
        self.seen.push_str(&String::from_utf8_lossy(&bytes));
        (timeout(WAIT_MAX, self.child.wait()).await.unwrap().unwrap().code().unwrap(), self.seen)
    }
}

#[tokio::test]
async fn a_password_is_asked_for_and_not_shown() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::new(&stack.client.base);
    let mut terminal = Terminal::open(&shell, "$S login");
    terminal.see("Password of admin at").await;
    terminal.press(&format!("{PASSWORD}\n")).await;
    let (code, seen) = terminal.ended().await;
    assert_eq!((code, seen.contains(PASSWORD)), (0, false), "{seen}");
    assert!(seen.contains("logged in at"), "{seen}");
    assert_eq!(shell.run(&["whoami"]).await.code, 0);

    // Ctrl-C restores the terminal.
    let mut terminal = Terminal::open(&shell, "trap : INT; $S login; stty -a; exit 9");
    terminal.see("Password of admin at").await;
    terminal.press("\x03").await;
    let (code, seen) = terminal.ended().await;
    assert_eq!((code, seen.split_whitespace().any(|word| word == "echo")), (9, true), "{seen}");
}

#[tokio::test]
async fn bars_are_drawn_and_no_color_disables_colors() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    shell.workflow(&workflow::steps(20, 2.0));
    let mut terminal = Terminal::open(&shell, "$S submit workflow.json --watch");
    terminal.see("%  on 127.0.0.1:").await;
    let (code, seen) = terminal.ended().await;
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("\x1b[32mcompleted in"), "{seen:?}");
    let (code, seen) = Terminal::open(&shell, "NO_COLOR=1 $S tasks").ended().await;
    assert!(code == 0 && seen.contains("completed") && !seen.contains("\x1b["), "{seen:?}");
}

#[tokio::test]
async fn top_draws_events_and_restores_the_screen() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::logged_in(&stack).await;
    let mut terminal = Terminal::open(&shell, "$S top");
    terminal.see("instances 1 of 1 alive, 0 busy").await;
    let id = stack.client.submit(json!({"workflow": workflow::steps(50, 5.0)})).await;
    terminal.see("1 busy").await;
    terminal.see(&id).await;
    terminal.see("█").await;
    terminal.press("q").await;
    let (code, seen) = terminal.ended().await;
    assert_eq!(code, 0);
    let (open, close) = (seen.find("\x1b[?1049h"), seen.rfind("\x1b[?25h\x1b[?1049l"));
    assert!(open.is_some() && close > open, "{seen:?}");
}

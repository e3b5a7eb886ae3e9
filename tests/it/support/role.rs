//! A process of the program.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A process of the program. Dropping it kills it.
pub struct Role {
    child: Child,
    pub port: u16,
}

impl Role {
    /// Starts `shuzhiren <args>`; `port` is where it listens. Its log goes to `log`.
    pub fn spawn(args: &[&str], port: u16, variables: &[(&str, &str)], log: &std::path::Path) -> Self {
        Self::spawn_by(Command::new(env!("CARGO_BIN_EXE_shuzhiren")), args, port, variables, log)
    }

    /// The same as a process that is told when it may write no more (EFBIG), instead of being killed; it has no log, which
    /// would be the first file that is too large.
    pub fn spawn_ignoring_sigxfsz(args: &[&str], port: u16, variables: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_shuzhiren")]);
        Self::spawn_by(shell, args, port, variables, std::path::Path::new("/dev/null"))
    }

    fn spawn_by(
        mut command: Command,
        args: &[&str],
        port: u16,
        variables: &[(&str, &str)],
        log: &std::path::Path,
    ) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        for (name, _) in std::env::vars() {
            if name.starts_with("SHUZHIREN_") || name.starts_with("OTEL_") || name == "REDIS_URL" {
                command.env_remove(name);
            }
        }
        command.args(args).envs(variables.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { child, port }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGTERM, and how it ended within `within`.
    pub async fn terminate(&mut self, within: Duration) -> Option<i32> {
        self.signal("-TERM");
        self.wait_exit(within).await
    }

    /// How it ended within `within`.
    pub async fn wait_exit(&mut self, within: Duration) -> Option<i32> {
        let child = &mut self.child;
        let give_up = tokio::time::Instant::now() + within;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            assert!(tokio::time::Instant::now() < give_up, "the process has not ended within {within:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
        }
    }
}

/// A free port of this machine.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

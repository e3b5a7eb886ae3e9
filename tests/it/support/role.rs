//! Processes of the program under test.

use std::{
    net::TcpListener,
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A process of the program. Dropping it kills it.
pub struct Role {
    child: Child,
    pub port: u16,
}

impl Role {
    /// Starts `shuzhiren <args>`, which listens on `port`. Its log is appended to `log`.
    pub fn spawn(args: &[&str], port: u16, variables: &[(&str, &str)], log: &std::path::Path) -> Self {
        Self::spawn_by(Command::new(env!("CARGO_BIN_EXE_shuzhiren")), args, port, variables, log)
    }

    /// Like [`Role::spawn`], but the process ignores SIGXFSZ: at the limit of its file size writes fail with EFBIG
    /// instead of killing it. It has no log, which would be the first file to hit the limit.
    pub fn spawn_ignoring_sigxfsz(args: &[&str], port: u16, variables: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_shuzhiren")]);
        Self::spawn_by(shell, args, port, variables, std::path::Path::new("/dev/null"))
    }

    /// Like [`Role::spawn`], by a command that ends by executing its last arguments.
    pub fn spawn_command(
        command: Command,
        args: &[&str],
        port: u16,
        variables: &[(&str, &str)],
        log: &std::path::Path,
    ) -> Self {
        Self::spawn_by(command, args, port, variables, log)
    }

    /// Like [`Role::spawn`], with this log.
    pub fn spawn_with_log(args: &[&str], port: u16, variables: &[(&str, &str)], log: OwnedFd) -> Self {
        Self::spawn_into(Command::new(env!("CARGO_BIN_EXE_shuzhiren")), args, port, variables, log)
    }

    fn spawn_by(command: Command, args: &[&str], port: u16, variables: &[(&str, &str)], log: &std::path::Path) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        Self::spawn_into(command, args, port, variables, log.into())
    }

    fn spawn_into(mut command: Command, args: &[&str], port: u16, variables: &[(&str, &str)], log: OwnedFd) -> Self {
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

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Returns the exit status, if it has exited.
    pub fn exit_status(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends SIGTERM and returns the exit code, within `within`.
    pub async fn terminate(&mut self, within: Duration) -> Option<i32> {
        self.signal("-TERM");
        self.wait_exit(within).await
    }

    /// Waits at most `within` and returns the exit code.
    pub async fn wait_exit(&mut self, within: Duration) -> Option<i32> {
        let child = &mut self.child;
        let deadline = tokio::time::Instant::now() + within;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            assert!(tokio::time::Instant::now() < deadline, "the process has not exited within {within:?}");
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

/// Returns a free port.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

//! A process of the program with its own link to Redis. It can be killed, paused, and started again on the same port.

use crate::support::{redis_link::RedisLink, stable_port, stack::Role};
use std::{path::PathBuf, time::Duration};

/// Longest time until the process exits after SIGTERM, even on a busy machine.
const OBEYS_WITHIN: Duration = Duration::from_secs(30);

pub struct ManagedProcess {
    pub name: String,
    pub port: u16,
    /// Its link to Redis.
    pub redis: RedisLink,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    log: PathBuf,
    role: Option<Role>,
    /// Length of the log at the last start.
    life_from: usize,
    /// Violations so far (P1).
    pub faults: Vec<String>,
}

impl ManagedProcess {
    /// A process that is not started yet. `args` are added to `--listen`.
    pub fn new(name: String, kind: &str, redis: RedisLink, variables: Vec<(String, String)>, log: PathBuf) -> Self {
        let port = stable_port();
        let mut variables = variables;
        variables.push(("REDIS_URL".to_owned(), redis.url.clone()));
        let args = vec![kind.to_owned(), "--listen".to_owned(), format!("127.0.0.1:{port}")];
        Self { name, port, redis, args, variables, log, role: None, life_from: 0, faults: Vec::new() }
    }

    /// Starts the process unless it runs.
    pub fn start(&mut self) {
        if self.is_running() {
            return;
        }
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let variables: Vec<(&str, &str)> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.life_from = self.log().len();
        self.role = Some(Role::spawn(&args, self.port, &variables, &self.log));
    }

    pub fn is_running(&self) -> bool {
        self.role.is_some()
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        self.note_own_end();
        if let Some(mut role) = self.role.take() {
            role.kill();
        }
    }

    /// Sends SIGSTOP.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Sends SIGCONT.
    pub fn wake(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        if let Some(role) = &self.role {
            role.signal(signal);
        }
    }

    /// Sends SIGTERM; the process must exit with 0.
    pub async fn terminate(&mut self) {
        self.note_own_end();
        if let Some(mut role) = self.role.take() {
            let code = role.terminate(OBEYS_WITHIN).await;
            if code != Some(0) {
                self.faults.push(format!("{} ended with {code:?} after SIGTERM", self.name));
            }
        }
    }

    /// Sends SIGTERM without waiting.
    pub fn begin_stop(&mut self) {
        self.note_own_end();
        self.signal("-TERM");
    }

    /// Whether the process has exited after [`ManagedProcess::begin_stop`]. It must exit with 0 by `until`.
    pub fn has_stopped(&mut self, until: std::time::Instant) -> bool {
        let Some(role) = &mut self.role else { return true };
        let Some(status) = role.exit_status() else {
            assert!(std::time::Instant::now() < until, "{} does not stop:\n{}", self.name, self.life_log());
            return false;
        };
        if status.code() != Some(0) {
            self.faults.push(format!("{} ended with {status} after SIGTERM", self.name));
        }
        self.role = None;
        true
    }

    /// P1: records a process that exited by itself.
    pub fn note_own_end(&mut self) {
        if let Some(role) = &mut self.role
            && let Some(code) = role.exit_status()
        {
            let log = self.life_log();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            self.faults
                .push(format!("{} ended by itself: {code}; its last words, the newest first: {last:#?}", self.name));
            self.role = None;
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The log since the last start.
    pub fn life_log(&self) -> String {
        self.log().split_off(self.life_from)
    }

    /// A dispatcher's current name, once it is logged.
    pub fn dispatcher_name(&self) -> Option<String> {
        let log = self.life_log();
        let line = log.lines().rev().find(|line| line.contains("dispatcher started"))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(line["dispatcher"].as_str()?.to_owned())
    }
}

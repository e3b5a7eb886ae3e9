//! SIGINT and SIGTERM, in a process of their own: this test's program, run once more in the role of the one that is told to stop.

use rustix::process::{Pid, Signal, kill_process};
use shuzhiren::{
    process::{init_logs, stop_on_signals},
    settings::{LogFormat, LogSettings},
};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

const ROLE: &str = "SHUZHIREN_TEST_ROLE";

#[tokio::test]
async fn the_first_signal_stops_and_the_second_exits_at_once() {
    if std::env::var_os(ROLE).is_some() {
        return be_told_to_stop().await;
    }
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["process::signals::the_first_signal_stops_and_the_second_exits_at_once", "--exact", "--nocapture"])
            .env(ROLE, "stop")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut log_line = |part: &str| lines.by_ref().find(|line| line.contains(part)).unwrap();
        log_line("running");
        send(&child, signal);
        let stopping = log_line("stopping");
        let entry: serde_json::Value = serde_json::from_str(&stopping).unwrap();
        assert_eq!(entry["level"], "INFO", "{stopping}");
        let drained = log_line("draining");
        let entry: serde_json::Value = serde_json::from_str(&drained).unwrap();
        assert_eq!((&entry["task"], &entry["attempt"]), (&"t-1".into(), &2.into()), "fields: {drained}");
        send(&child, signal);
        log_line("second signal");
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

async fn be_told_to_stop() {
    init_logs(&LogSettings { filter: "info".to_owned(), log_format: LogFormat::Json }).unwrap();
    let stop = stop_on_signals();
    tracing::info!("running");
    stop.cancelled().await;
    tracing::info!(task = "t-1", attempt = 2, "draining");
    std::future::pending::<()>().await;
}

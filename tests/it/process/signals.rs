//! SIGINT and SIGTERM: this test program is run again in a child process that receives the signals.

use rustix::process::{Pid, Signal, kill_process};
use shuzhiren::{
    process::{init_logs, stop_on_signals},
    settings::{LogFormat, LogSettings},
};
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

const ROLE: &str = "SHUZHIREN_TEST_ROLE";
const WAIT_MAX: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_first_signal_stops_and_the_second_exits_at_once() {
    if std::env::var_os(ROLE).is_some() {
        return run_until_stopped().await;
    }
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["process::signals::the_first_signal_stops_and_the_second_exits_at_once", "--exact", "--nocapture"])
            .env(ROLE, "stop")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        log_line(&mut lines, "running").await;
        send(&child, signal);
        let stopping = log_line(&mut lines, "stopping").await;
        assert_eq!(stopping["level"], "INFO", "{stopping}");
        let drained = log_line(&mut lines, "draining").await;
        assert_eq!((&drained["task"], &drained["attempt"]), (&"t-1".into(), &2.into()), "fields: {drained}");
        send(&child, signal);
        log_line(&mut lines, "second signal").await;
        assert_eq!(timeout(WAIT_MAX, child.wait()).await.unwrap().unwrap().code(), Some(code));
    }
}

async fn log_line(lines: &mut Lines<BufReader<ChildStderr>>, part: &str) -> serde_json::Value {
    loop {
        let line = timeout(WAIT_MAX, lines.next_line()).await.expect(part).unwrap().expect(part);
        if line.contains(part) {
            return serde_json::from_str(&line).unwrap();
        }
    }
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().unwrap().cast_signed()).unwrap(), signal).unwrap();
}

async fn run_until_stopped() {
    init_logs(&LogSettings { filter: "info".to_owned(), log_format: LogFormat::Json }).unwrap();
    let stop = stop_on_signals();
    tracing::info!("running");
    stop.cancelled().await;
    tracing::info!(task = "t-1", attempt = 2, "draining");
    std::future::pending::<()>().await;
}

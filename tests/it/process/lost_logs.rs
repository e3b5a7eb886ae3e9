//! A log that cannot be written ends no process: a full disk, a pipe without reader, a reader that has stopped.

use crate::support::{
    TestRedis, eventually,
    stack::{Role, free_port},
};
use shuzhiren::{
    process::init_logs,
    settings::{LogFormat, LogSettings},
};
use std::{
    fs::File,
    os::fd::OwnedFd,
    process::{Command, Stdio},
    time::Duration,
};

const ROLE: &str = "SHUZHIREN_TEST_PANIC";
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A role with this log, logging everything.
fn start(role: &str, redis: &TestRedis, files: &std::path::Path, log: OwnedFd) -> Role {
    let (port, url) = (free_port(), redis.url());
    let (listen, storage) = (format!("127.0.0.1:{port}"), format!("file://{}", files.display()));
    let variables = [
        ("REDIS_URL", url.as_str()),
        ("SHUZHIREN_STORAGE_URL", &storage),
        ("SHUZHIREN_ADMIN_PASSWORD", "a long enough password"),
        ("SHUZHIREN_JWT_SECRET", "0123456789abcdef-a-key-of-tests-only-0123456789"),
        ("SHUZHIREN_LOG", "trace"),
    ];
    let variables: &[(&str, &str)] = if role == "sim" { &[("SHUZHIREN_LOG", "trace")] } else { &variables };
    Role::spawn_with_log(&[role, "--listen", &listen], port, variables, log)
}

async fn get(port: u16, path: &str) -> Option<String> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    let answer = http.get(format!("http://127.0.0.1:{port}{path}")).send().await.ok()?;
    answer.error_for_status().ok()?.text().await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_role_ends_because_its_log_cannot_be_written() {
    let (redis, files) = (TestRedis::start(), tempfile::tempdir().unwrap());
    let (reader, stopped) = std::io::pipe().unwrap();
    let logs = || -> Vec<(&str, OwnedFd)> {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (_, gone) = std::io::pipe().unwrap();
        vec![("full", full.into()), ("gone", gone.into()), ("stopped", stopped.try_clone().unwrap().into())]
    };
    let mut roles = Vec::new();
    for name in ["api", "ws", "dispatcher", "sim"] {
        for (log, file) in logs() {
            roles.push((name, log, start(name, &redis, files.path(), file)));
        }
    }
    for (name, log, role) in &mut roles {
        let path = if *name == "sim" { "/system_stats" } else { "/livez" };
        let role_log = format!("{name} with log {log}");
        let port = role.port;
        eventually(&role_log, WAIT_MAX, async || get(port, path).await).await;
        assert_eq!(role.exit_status(), None, "{role_log} ended");
    }
    for (name, log, role) in roles.iter().filter(|(name, ..)| *name != "sim") {
        // Requests log too; a pipe without a reader at work is full after 64 KiB.
        eventually(&format!("{name} with log {log} counts lost lines"), WAIT_MAX, async || {
            let metrics = get(role.port, "/metrics").await?;
            let line = metrics.lines().find(|line| line.starts_with("shuzhiren_log_lines_lost_total "))?;
            (!line.ends_with(" 0")).then_some(())
        })
        .await;
    }
    for (name, log, mut role) in roles {
        assert_eq!(role.terminate(WAIT_MAX).await, Some(0), "{name} with log {log}");
    }
    drop(reader);
}

/// This test program is run again in a child process.
#[test]
fn a_panic_without_a_log_ends_only_its_thread() {
    if std::env::var_os(ROLE).is_some() {
        init_logs(&LogSettings { filter: "info".to_owned(), log_format: LogFormat::Json }).unwrap();
        assert!(std::thread::spawn(|| panic!("as the test asked")).join().is_err());
        std::process::exit(77);
    }
    let (_, gone) = std::io::pipe().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    for log in [Stdio::from(full), Stdio::from(gone)] {
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["process::lost_logs::a_panic_without_a_log_ends_only_its_thread", "--exact", "--nocapture"])
            .env(ROLE, "panic")
            .stderr(log)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(ended.code(), Some(77));
    }
}

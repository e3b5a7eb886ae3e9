//! `shuzhiren doctor`, as an operator runs it: what it finds, what it says to do, and that it changes nothing.

mod instances;
mod redis;
mod store;

use crate::support::{
    TestRedis,
    stack::{PASSWORD, Stack, WAIT_MAX, free_port},
};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio};

/// The report as JSON, and the exit code.
struct Diagnosis {
    report: Value,
    code: i32,
}

impl Diagnosis {
    /// Returns (level, found, advice) of a check.
    fn of(&self, check: &str) -> (&str, &str, &str) {
        let findings = self.report["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["check"] == check);
        let finding = found.unwrap_or_else(|| panic!("no check {check} in {:#}", self.report));
        (
            finding["level"].as_str().unwrap(),
            finding["found"].as_str().unwrap(),
            finding["advice"].as_str().unwrap_or_default(),
        )
    }

    fn with_level(&self, level: &str) -> Vec<String> {
        let findings = self.report["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["level"] == level).map(|finding| finding["check"].to_string()).collect()
    }
}

/// Runs it with only these arguments and variables. Returns its output and exit code.
async fn run(args: &[&str], variables: &[(&str, &str)]) -> (String, String, i32) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_shuzhiren"));
    for (name, _) in std::env::vars() {
        if name.starts_with("SHUZHIREN_") || name.starts_with("REDIS_") {
            command.env_remove(name);
        }
    }
    command.arg("doctor").args(args).envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(WAIT_MAX, command.output()).await.expect("doctor did not exit in time").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

async fn diagnose(args: &[&str], variables: &[(&str, &str)]) -> Diagnosis {
    let (stdout, stderr, code) = run(&[&["--json"], args].concat(), variables).await;
    let report = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    Diagnosis { report, code }
}

fn storage(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_system_passes_all_checks() {
    let stack = Stack::start(2, 1).await;
    let (url, files) = (stack.redis.url(), storage(&stack.files()));
    let settings = [
        ("REDIS_URL", url.as_str()),
        ("SHUZHIREN_STORAGE_URL", &files),
        ("SHUZHIREN_URL", &stack.client.base),
        ("SHUZHIREN_ADMIN_PASSWORD", PASSWORD),
        ("SHUZHIREN_JWT_SECRET", "0123456789abcdef-a-key-of-tests-only-0123456789"),
    ];
    let found = diagnose(&[], &settings).await;
    assert_eq!(found.code, 0, "{:#}", found.report);
    assert_eq!(found.report["ok"], true);
    assert_eq!(found.with_level("fail"), [""; 0]);
    for sim in &stack.sims {
        let (level, seen, _) = found.of(&format!("instance {}", sim.addr()));
        assert!(level == "ok" && seen.contains("ComfyUI 0.3") && seen.contains("WebSocket opens"), "{seen}");
    }
    let front = format!("front {}", stack.client.base);
    for check in ["settings.login", "redis", "redis.queue", "redis.scripts", "store", "dispatchers", &front] {
        assert_eq!(found.of(check).0, "ok", "{check}: {:#}", found.report);
    }
    assert_eq!(found.of(&format!("{front}/ws")).1, "the WebSocket opens");
    assert_eq!(found.of("store.installation").1, "the files belong to this system");
    assert_eq!(stack.stored_files(), [""; 0], "the probe file must be deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_changes_nothing_before_the_first_start() {
    let redis = TestRedis::start();
    let folder = tempfile::tempdir().unwrap();
    let found = diagnose(&[], &[("REDIS_URL", &redis.url()), ("SHUZHIREN_STORAGE_URL", &storage(folder.path()))]).await;
    assert_eq!(found.code, 0, "a system before its first start is not a failure: {:#}", found.report);
    assert_eq!(found.of("instances").0, "warn");
    assert_eq!(found.of("dispatchers").0, "warn");
    assert_eq!(found.of("settings.login").0, "skip");
    let mut raw = crate::support::raw::RawRedis::connect(&redis.socket());
    assert_eq!(raw.run(&["DBSIZE"]).number(), 0, "no key was written");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file or folder was created");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_gives_advice() {
    let port = free_port();
    let (table, error, code) =
        run(&["--storage-url", "s4://nowhere"], &[("REDIS_URL", &format!("redis://127.0.0.1:{port}"))]).await;
    assert_eq!(code, 1);
    assert!(error.contains("error: 2 checks failed"), "{error}");
    let lines: Vec<&str> = table.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("fail  redis ")).expect("redis is unreachable");
    assert!(lines[at + 1].contains("→ start it, or correct REDIS_URL"), "{table}");
    assert!(table.contains("fail  store"), "{table}");
    assert!(lines.last().unwrap().starts_with("2 fail, "), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_settings_of_a_role_are_named() {
    let redis = TestRedis::start();
    let url = redis.url();
    for (name, value, check, word) in [
        ("SHUZHIREN_JWT_SECRET", "short", "settings.login", "SHUZHIREN_ADMIN_PASSWORD"),
        ("SHUZHIREN_LEASE_TTL", "10ms", "settings.dispatcher", "SHUZHIREN_LEASE_TTL"),
        ("SHUZHIREN_CONFIG_FILE", "/nowhere/fleet.json", "settings.config", "/nowhere/fleet.json"),
    ] {
        let found = diagnose(&[], &[("REDIS_URL", &url), (name, value)]).await;
        let (level, said, _) = found.of(check);
        assert!(level == "fail" && said.contains(word) && found.code == 1, "{said}");
    }
}

/// The data folder of `up` contains the address of its Redis.
#[tokio::test(flavor = "multi_thread")]
async fn the_data_folder_of_a_running_up_is_sufficient() {
    let folder = tempfile::Builder::new().prefix("szr").tempdir().unwrap();
    let (port, stand_in) = (free_port(), free_port());
    let data = folder.path().join("data").display().to_string();
    let (listen, stand_ins) = (format!("127.0.0.1:{port}"), stand_in.to_string());
    let args = ["up", "--listen", &listen, "--data-dir", &data, "--stand-ins", &stand_ins];
    let mut up = crate::support::stack::Role::spawn(&args, port, &[], &folder.path().join("log"));
    crate::support::stack::ApiClient::with_login(port, "admin", "admin123").await;
    let found = diagnose(&["--data-dir", &data], &[]).await;
    assert_eq!(found.code, 0, "{:#}", found.report);
    assert_eq!(found.of(&format!("instance 127.0.0.1:{stand_in}")).0, "ok");
    assert_eq!(found.of("store").0, "ok");
    assert_eq!(up.terminate(WAIT_MAX).await, Some(0));
    let found = diagnose(&["--data-dir", &data], &[]).await;
    assert_eq!((found.of("redis").0, found.code), ("fail", 1), "up has stopped: {:#}", json!(found.report));
}

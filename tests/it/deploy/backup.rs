//! deploy/backup under load, deploy/restore into a new Redis and a new store: everything acknowledged before is there and ends.

use super::root;
use crate::support::{
    TestRedis,
    stack::{ApiClient, PASSWORD, Role, Stack, free_port, workflow},
};
use serde_json::json;
use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};
use tokio_util::sync::CancellationToken;

/// Runs a script of `deploy/`; gives what it printed, or what it complained of.
fn script(name: &str, args: &[&Path], variables: &[(&str, &str)]) -> Result<String, String> {
    let mut command = Command::new(root().join(name));
    command.args(args).env_remove("REDIS_URL").envs(variables.iter().copied());
    // Where bin/find-redis has unpacked a server, its client lies beside it.
    if let Some(server) = std::env::var_os("REDIS_SERVER").map(PathBuf::from) {
        let beside = ["redis-cli", "valkey-cli"].map(|client| server.with_file_name(client));
        if let Some(client) = beside.iter().find(|client| client.exists()) {
            command.env("REDIS_CLI", client);
        }
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Submits task after task until it is stopped.
async fn load(client: ApiClient, from: u64, stop: CancellationToken) {
    for seed in from.. {
        if stop.is_cancelled() {
            return;
        }
        let id = client.submit(json!({"workflow": workflow::quick(seed)})).await;
        client.wait_ended(&id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_can_be_restored_with_every_task_and_file() {
    let mut stack = Stack::start(2, 1).await;
    let upload = stack.client.upload("a.png", b"\x89PNG\r\n\x1a\n and so on".to_vec()).await;
    let mut done = Vec::new();
    for seed in 0..8 {
        done.push(stack.client.submit(json!({"workflow": workflow::quick(seed)})).await);
    }
    for id in &done {
        assert_eq!(stack.client.wait_ended(id).await["status"], "completed");
    }
    let stop = CancellationToken::new();
    let loads: Vec<_> =
        (1..=3_u64).map(|number| tokio::spawn(load(stack.client.clone(), number * 1_000_000, stop.clone()))).collect();
    let folder = tempfile::Builder::new().prefix("szr").tempdir().unwrap();
    let (url, storage) = (stack.redis.url(), format!("file://{}", stack.files().display()));
    let variables = [("REDIS_URL", url.as_str()), ("SHUZHIREN_STORAGE_URL", storage.as_str())];
    let backups = folder.path().join("backups");
    let first = script("backup", &[&backups], &variables).unwrap();
    let mut open = Vec::new();
    for seconds in [0.3, 0.4, 0.5] {
        open.push(stack.client.submit(json!({"workflow": workflow::steps(3, seconds)})).await);
    }
    // Its name is the second it was made in.
    let second = loop {
        match script("backup", &[&backups], &variables) {
            Err(taken) if taken.contains("already exists") => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await
            }
            other => break other.unwrap(),
        }
    };
    stop.cancel();
    for load in loads {
        load.await.unwrap();
    }
    let twice = std::fs::metadata(Path::new(&second).join("files/installation")).unwrap();
    assert!(first != second && twice.nlink() == 2, "what the first has is not copied again");

    // The old system is no more: its instances are.
    for mut dispatcher in stack.dispatchers.drain(..) {
        dispatcher.kill();
    }
    stack.api.kill();
    stack.redis.kill();
    let mut redis = TestRedis::start();
    redis.kill();
    redis.wipe();
    let data = redis.socket().parent().unwrap().to_owned();
    let files = folder.path().join("files");
    script("restore", &[Path::new(&second), &data, &files], &[]).unwrap();
    let again = script("restore", &[Path::new(&second), &data, &files], &[]).unwrap_err();
    assert!(again.contains("already exists: give a folder without data"), "{again}");
    redis.launch();

    let restored = Restored::start(&redis, &files, folder.path()).await;
    for id in done.iter().chain(&open) {
        let task = restored.client.wait_ended(id).await;
        assert_eq!(task["status"], "completed", "{task}");
        let bytes = restored.client.download(task["result"]["files"][0].as_str().unwrap()).await;
        assert_eq!(bytes.len() as u64, task["result"]["outputs"][0]["sizeBytes"].as_u64().unwrap());
    }
    let link = format!("{}/upload/file/{}", restored.client.base, upload["fileId"].as_str().unwrap());
    assert_eq!(restored.client.download(&link).await, b"\x89PNG\r\n\x1a\n and so on");
    // The store belongs to this system: files that were registered only after the snapshot are deleted in time.
    let mark = std::fs::read(files.join("installation")).unwrap();
    assert_eq!(mark, std::fs::read(stack.files().join("installation")).unwrap());
}

#[test]
fn a_backup_that_is_not_whole_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, redis) = (folder.path().join("backup"), folder.path().join("redis"));
    std::fs::create_dir(&backup).unwrap();
    std::fs::write(backup.join("redis.rdb"), "REDIS0010").unwrap();
    let refused = script("restore", &[&backup, &redis], &[]).unwrap_err();
    assert!(refused.contains("incomplete"), "{refused}");
    std::fs::write(backup.join("about"), format!("made now\n{}  redis.rdb\n", "0".repeat(64))).unwrap();
    let refused = script("restore", &[&backup, &redis], &[]).unwrap_err();
    assert!(refused.contains("does not match its checksum"), "{refused}");
    assert!(!redis.exists());
    let refused = script("backup", &[folder.path()], &[("REDIS_URL", "redis-sentinel://x")]).unwrap_err();
    assert!(refused.contains("address of one server"), "{refused}");
}

/// Api and dispatcher on what was restored.
struct Restored {
    client: ApiClient,
    _roles: [Role; 2],
}

impl Restored {
    async fn start(redis: &TestRedis, files: &Path, logs: &Path) -> Self {
        let (url, storage) = (redis.url(), format!("file://{}", files.display()));
        let variables = [
            ("REDIS_URL", url.as_str()),
            ("SHUZHIREN_STORAGE_URL", &storage),
            ("SHUZHIREN_ADMIN_PASSWORD", PASSWORD),
            ("SHUZHIREN_JWT_SECRET", "0123456789abcdef-a-key-of-tests-only-0123456789"),
            ("SHUZHIREN_LEASE_TTL", "1s"),
        ];
        let spawn = |role: &str| {
            let port = free_port();
            Role::spawn(&[role, "--listen", &format!("127.0.0.1:{port}")], port, &variables, &logs.join("log"))
        };
        let roles = [spawn("api"), spawn("dispatcher")];
        let client = ApiClient::new(roles[0].port).await;
        Self { client, _roles: roles }
    }
}

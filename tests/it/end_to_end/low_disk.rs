//! A disk at its reserve, and a full one: uploads and claims stop with the reason, deletes work and heal, nothing is lost.

use crate::support::{
    eventually,
    stack::{ApiClient, Role, Stack, WAIT_MAX, free_port, workflow},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    path::Path,
    process::Command,
    time::Instant,
};

#[tokio::test(flavor = "multi_thread")]
async fn no_task_is_claimed_without_room_for_its_outputs() {
    let stack = Stack::start(1, 0).await;
    let mut low = stack.add_dispatcher_with("SHUZHIREN_DISK_RESERVE", "9000000000000000000");
    stack.wait_instances_up(1).await;
    let id = stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
    // Three checks of the instance later than a claim would have been.
    for _ in 0..3 {
        let seen = stack.client.get("/api/instances").await[0]["lastHeartbeat"].clone();
        eventually("the dispatcher works", WAIT_MAX, async || {
            (stack.client.get("/api/instances").await[0]["lastHeartbeat"] != seen).then_some(())
        })
        .await;
    }
    let task = stack.client.task(&id).await;
    assert_eq!((&task["status"], &task["attempt"]), (&json!("pending"), &json!(0)), "{task}");
    low.terminate(WAIT_MAX).await;
    let _with_room = stack.add_dispatcher_with("SHUZHIREN_DISK_RESERVE", "0");
    assert_eq!(stack.client.wait_ended(&id).await["status"], "completed");
}

/// Starts `up` with its data on a disk of 96 MB that only it sees; `None` if this machine allows no mounts.
fn start_on_small_disk(folder: &Path, port: u16) -> Option<Role> {
    let can_mount = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !can_mount.is_ok_and(|tried| tried.status.success()) {
        return None;
    }
    let disk = folder.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let (listen, data) = (format!("127.0.0.1:{port}"), disk.join("data"));
    let mut shell = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=96m none \"$DISK\" && exec \"$0\" \"$@\"";
    shell.args(["-rm", "sh", "-c", mount, env!("CARGO_BIN_EXE_shuzhiren")]);
    let redis = std::env::var("REDIS_SERVER").unwrap_or_default();
    let mut variables = vec![("DISK", disk.to_str().unwrap())];
    if !redis.is_empty() {
        variables.push(("REDIS_SERVER", &redis));
    }
    let args = ["up", "--listen", &listen, "--data-dir", data.to_str().unwrap()];
    Some(Role::spawn_command(shell, &args, port, &variables, &folder.join("up.log")))
}

async fn upload(client: &ApiClient, bytes: usize) -> (u16, Value) {
    // Of their own, so that no two share their bytes.
    let mut noise = vec![0; bytes];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    let part = reqwest::multipart::Part::bytes(noise).file_name("noise.bin");
    let form = reqwest::multipart::Form::new().part("file", part);
    let request = client.http().post(format!("{}/api/files/upload", client.base)).bearer_auth(&client.token);
    let answer = request.multipart(form).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_redis_is_freed_by_a_delete() {
    let folder = tempfile::Builder::new().prefix("szr").tempdir().unwrap();
    let port = free_port();
    let Some(up) = start_on_small_disk(folder.path(), port) else {
        eprintln!("not tested: this machine allows no mounts in a namespace");
        return;
    };
    let client = ApiClient::with_login(port, "admin", "admin123").await;
    let mut files = Vec::new();
    let refused = loop {
        let (status, answer) = upload(&client, 8 << 20).await;
        if status != 200 {
            break (status, answer);
        }
        files.push(answer["data"]["fileId"].as_str().unwrap().to_owned());
        assert!(files.len() < 12, "no reserve");
    };
    assert_eq!((refused.0, &refused.1["error"]["type"]), (507, &json!("storage_reserve")), "{}", refused.1);
    assert!(files.len() >= 4, "{} uploads", files.len());
    let health = client.get("/api/health").await;
    assert_eq!(health["warnings"], json!(["storage_reserve"]));
    // The queue goes on; the tasks wait for space.
    let id = client.submit(json!({"workflow": workflow::quick(1)})).await;
    let reason = client.task(&id).await["waitingFor"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("free space: "), "{reason}");
    // Something else fills the disk to its last byte: Redis cannot write any more.
    let ballast = format!("/proc/{}/root{}/disk/ballast", up.pid(), folder.path().display());
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    drop(file);
    let submit = json!({"workflow": workflow::quick(2), "metadata": {"note": "x".repeat(4_000)}});
    let mut accepted = vec![id];
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let (status, answer) = client.call(Method::POST, "/api/tasks", Some(submit.clone())).await;
        if status == 503 {
            break;
        }
        assert!(Instant::now() < deadline, "redis goes on writing");
        accepted.push(answer["data"]["id"].as_str().unwrap().to_owned());
    }
    let first = files.remove(0);
    let (status, answer) = client.call(Method::DELETE, &format!("/api/files/{first}"), None).await;
    assert_eq!(status, 200, "{answer}");
    accepted.push(client.submit(submit).await);
    std::fs::remove_file(&ballast).unwrap();
    for file in files {
        client.delete(&format!("/api/files/{file}")).await;
    }
    for id in accepted {
        assert_eq!(client.wait_ended(&id).await["status"], "completed");
    }
    eventually("the end of the fault is noticed", WAIT_MAX, || async {
        let (status, health) = client.try_get("/api/health").await?;
        (status == 200 && health["data"] == json!({"status": "ok", "redis": "connected"})).then_some(())
    })
    .await;
}

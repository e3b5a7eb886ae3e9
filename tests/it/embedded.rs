//! Tests of the child Redis, with real servers and folders.

use crate::support::eventually;
use rustix::process::{Pid, Signal, kill_process};
use shuzhiren::{
    embedded::{Embedded, Error},
    settings::Durability,
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const ROLE: &str = "SHUZHIREN_TEST_DATA";

async fn start(data: &Path) -> Result<Embedded, Error> {
    Embedded::start(data, server().as_deref(), Durability::Local, 64 << 20).await
}

fn server() -> Option<PathBuf> {
    std::env::var_os("REDIS_SERVER").map(PathBuf::from)
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("szr").tempdir().unwrap()
}

/// Sends an inline command and returns the first line of the answer.
fn ask(stream: impl Read + Write, commands: &str) -> String {
    try_ask(stream, commands).unwrap()
}

fn try_ask(mut stream: impl Read + Write, commands: &str) -> io::Result<String> {
    stream.write_all(format!("{commands}\r\nQUIT\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ask_socket(data: &Path, command: &str) -> String {
    ask(UnixStream::connect(data.join("redis/redis.sock")).unwrap(), command)
}

fn is_alive(pid: u32) -> bool {
    // A zombie counts as dead; in a container an orphan may never be reaped.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn data_survives_a_restart() {
    let data = folder();
    let redis = start(data.path()).await.unwrap();
    let socket = data.path().canonicalize().unwrap().join("redis/redis.sock");
    assert_eq!(redis.url(), format!("redis+unix://{}", socket.display()));
    let url_file = data.path().join("redis/url");
    assert_eq!(std::fs::read_to_string(&url_file).unwrap().trim(), redis.url());
    assert_eq!(url_file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(ask_socket(data.path(), "SET fruit pear").starts_with("+OK"));
    for (name, value) in [
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("maxmemory", "67108864"),
        ("maxmemory-policy", "noeviction"),
        ("hash-max-listpack-value", "512"),
        ("port", "0"),
        ("save", ""),
    ] {
        let answer = ask_socket(data.path(), &format!("CONFIG GET {name}"));
        assert!(answer.contains(&format!("\r\n{value}\r\n")), "{name}: {answer}");
    }
    let pid = redis.pid().unwrap();
    redis.stop().await;
    assert!(!is_alive(pid));

    let redis = start(data.path()).await.unwrap();
    assert!(ask_socket(data.path(), "GET fruit").contains("pear"));
    redis.stop().await;
}

#[tokio::test]
async fn a_server_that_dies_is_restarted_with_its_data() {
    let data = folder();
    // `everysec` may lose the writes of the last second before a SIGKILL.
    let redis = Embedded::start(data.path(), server().as_deref(), Durability::Fsync, 0).await.unwrap();
    assert!(ask_socket(data.path(), "SET fruit pear").starts_with("+OK"));
    let pid = redis.pid().unwrap();
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    // The old server resets connections while it dies; the new one refuses commands until it has loaded its data.
    eventually("the data", Duration::from_secs(20), || async {
        let stream = UnixStream::connect(data.path().join("redis/redis.sock")).ok()?;
        try_ask(stream, "GET fruit").ok()?.contains("pear").then_some(())
    })
    .await;
    assert_ne!(redis.pid(), Some(pid));
    redis.stop().await;
}

#[tokio::test]
async fn a_folder_in_use_is_refused_and_the_first_server_continues() {
    let data = folder();
    let first = start(data.path()).await.unwrap();
    let error = start(data.path()).await.unwrap_err();
    let Error::InUse { pid, .. } = &error else { panic!("{error}") };
    assert_eq!(*pid, std::process::id().to_string());
    let text = error.to_string();
    assert!(text.contains("redis/lock") && text.contains("--data-dir") && text.contains("REDIS_URL"), "{text}");
    assert!(ask_socket(data.path(), "PING").starts_with("+PONG"));
    first.stop().await;
    start(data.path()).await.unwrap().stop().await;
}

#[tokio::test]
async fn an_unusable_socket_path_gets_a_port_with_a_password() {
    let outer = folder();
    let data = outer.path().join("a long name with spaces and \"quotes\" ".repeat(3));
    let redis = start(&data).await.unwrap();
    let (password, port) = redis.url().strip_prefix("redis://:").unwrap().split_once("@127.0.0.1:").unwrap();
    let connect = || std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    assert!(ask(connect(), "PING").starts_with("-NOAUTH"), "the server is open to all users of this machine");
    let answer = ask(connect(), &format!("AUTH {password}\r\nSET fruit pear"));
    assert_eq!(answer.matches("+OK").count(), 3, "{answer}");
    assert!(data.join("redis/appendonlydir").is_dir());
    let command_line = std::fs::read(format!("/proc/{}/cmdline", redis.pid().unwrap())).unwrap();
    assert!(!String::from_utf8_lossy(&command_line).contains(password), "the password is visible in ps");
    redis.stop().await;
}

#[tokio::test]
async fn the_error_for_an_old_or_missing_server_gives_advice() {
    let data = folder();
    let old = data.path().join("old-server");
    std::fs::write(&old, "#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64'\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = Embedded::start(data.path(), Some(&old), Durability::Local, 64 << 20).await.unwrap_err().to_string();
    assert!(text.contains("old-server is version 6.2.14; 7.0 or newer is needed"), "{text}");
    let absent = data.path().join("absent");
    let text = Embedded::start(data.path(), Some(&absent), Durability::Local, 64 << 20).await.unwrap_err().to_string();
    assert!(text.contains(absent.to_str().unwrap()) && text.contains("apt-get install"), "{text}");
    assert!(!data.path().join("redis").exists(), "files were left behind");
}

#[tokio::test]
async fn the_error_for_corrupt_data_contains_the_servers_message() {
    let data = folder();
    start(data.path()).await.unwrap().stop().await;
    let logs = data.path().join("redis/appendonlydir");
    let incremental = std::fs::read_dir(&logs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().ends_with(".incr.aof"))
        .unwrap();
    std::fs::write(incremental, "*1\r\n$900\r\nno such thing\r\n*1\r\n$1\r\nx\r\n".repeat(100)).unwrap();
    let error = start(data.path()).await.unwrap_err();
    assert!(matches!(error, Error::Died { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("redis-check-aof --fix") && text.contains("append only file"), "{text}");
}

/// Runs this program as the parent of a server and kills it with SIGKILL.
#[tokio::test]
async fn the_server_dies_with_its_parent_and_the_data_survives() {
    if let Some(data) = std::env::var_os(ROLE) {
        let redis = start(Path::new(&data)).await.unwrap();
        eprintln!("server {}", redis.pid().unwrap());
        return std::future::pending().await;
    }
    let data = folder();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["embedded::the_server_dies_with_its_parent_and_the_data_survives", "--exact", "--nocapture"])
        .env(ROLE, data.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stderr.take().unwrap()).lines().map(Result::unwrap);
    let pid: u32 = lines.find_map(|line| line.strip_prefix("server ").map(str::to_owned)).unwrap().parse().unwrap();
    assert!(ask_socket(data.path(), "SET fruit pear").starts_with("+OK"));
    parent.kill().unwrap();
    parent.wait().unwrap();
    // At once, while the orphan may still be flushing: the lock makes this wait until it exits.
    let redis = start(data.path()).await.unwrap();
    assert!(!is_alive(pid), "two servers run on one folder");
    assert!(ask_socket(data.path(), "GET fruit").contains("pear"));
    redis.stop().await;
}

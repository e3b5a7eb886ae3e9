//! A Redis server of a test's own: on a unix socket in its own folder, gone with the test.

use super::raw::{RawRedis, Reply};
use shuzhiren::settings::{Durability, RedisSettings, Secret};
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// One server. Dropping it kills it.
pub struct TestRedis {
    child: Option<Child>,
    folder: tempfile::TempDir,
    extra: Vec<String>,
}

impl TestRedis {
    /// Starts one with AOF `everysec` and `noeviction`.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more options, e.g. `["--appendfsync", "always"]`.
    pub fn start_with(extra: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("szr").tempdir().unwrap();
        let mut redis = Self { child: None, folder, extra: extra.iter().map(|&arg| arg.to_owned()).collect() };
        redis.launch();
        redis
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// For `REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Settings that lead here.
    pub fn settings(&self) -> RedisSettings {
        RedisSettings {
            redis_url: Some(Secret::new(self.url())),
            redis_url_file: None,
            namespace: "test".to_owned(),
            durability: Durability::Local,
        }
    }

    /// Of the server, while it runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What it has on disk now, to be put back by [`TestRedis::restore`].
    pub fn snapshot(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.folder.path().join("appendonlydir")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        copy
    }

    /// After [`TestRedis::kill`]: as if nothing had been written since the snapshot.
    pub fn restore(&self, snapshot: &tempfile::TempDir) {
        self.wipe();
        let folder = self.folder.path().join("appendonlydir");
        std::fs::create_dir(&folder).unwrap();
        for entry in std::fs::read_dir(snapshot.path()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }

    /// Deletes all that it has written, after [`TestRedis::kill`].
    pub fn wipe(&self) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        }
    }

    /// Starts it again on the same folder after [`TestRedis::kill`].
    pub fn launch(&mut self) {
        let server = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let _absent = std::fs::remove_file(self.socket());
        let child = Command::new(&server)
            .args(["--port", "0", "--unixsocket"])
            .arg(self.socket())
            .args(["--dir"])
            .arg(self.folder.path())
            .args(["--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"])
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {server}: {error}; install redis-server or set REDIS_SERVER"));
        self.child = Some(child);
        let give_up = Instant::now() + Duration::from_secs(20);
        while !self.answers() {
            assert!(Instant::now() < give_up, "redis-server did not come up");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has read its files: before, it answers LOADING.
    fn answers(&self) -> bool {
        let answer = RawRedis::try_connect(&self.socket()).and_then(|mut raw| raw.try_run(&["PING"]));
        answer.is_ok_and(|answer| !matches!(&answer, Reply::Error(why) if why.starts_with("LOADING")))
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

//! A Redis server for a single test, on a unix socket in a folder of its own.

use super::raw::{RawRedis, Reply};
use shuzhiren::settings::{Durability, RedisSettings, Secret};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The server. Dropping it kills it.
pub struct TestRedis {
    child: Option<Child>,
    folder: tempfile::TempDir,
    extra: Vec<String>,
    /// The server to run; without one that of `REDIS_SERVER`, or `redis-server`.
    program: Option<PathBuf>,
}

impl TestRedis {
    /// Starts a server with AOF `everysec` and `noeviction`.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with additional options, e.g. `["--appendfsync", "always"]`.
    pub fn start_with(extra: &[&str]) -> Self {
        Self::start_program(None, extra)
    }

    /// Starts this server, or the usual one, with additional options.
    pub fn start_program(program: Option<&Path>, extra: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("szr").tempdir().unwrap();
        let extra = extra.iter().map(|&arg| arg.to_owned()).collect();
        let mut redis = Self { child: None, folder, extra, program: program.map(Path::to_owned) };
        redis.launch();
        redis
    }

    /// Starts a node of a set: with a configuration file, in which a Sentinel and the server itself can note a new role.
    pub fn start_node(program: Option<&Path>, options: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("szr").tempdir().unwrap();
        let path = folder.path().join("redis.conf");
        let lines: Vec<String> = options.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        std::fs::write(&path, lines.concat()).unwrap();
        let extra = vec![path.display().to_string()];
        let mut redis = Self { child: None, folder, extra, program: program.map(Path::to_owned) };
        redis.launch();
        redis
    }

    /// Returns the path of the socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Returns its URL, as in `REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Returns settings for a connection to it.
    pub fn settings(&self) -> RedisSettings {
        RedisSettings {
            redis_url: Some(Secret::new(self.url())),
            redis_url_file: None,
            redis_ca: None,
            namespace: "test".to_owned(),
            durability: Durability::Local,
            durability_replicas: 1,
        }
    }

    /// Returns the process id of the running server.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends a signal, such as `-STOP`.
    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap().success());
    }

    /// A connection past every proxy.
    pub fn raw(&self) -> RawRedis {
        RawRedis::connect(&self.socket())
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it with SIGTERM, as an operator does.
    pub fn terminate(&mut self) {
        self.signal("-TERM");
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }

    /// Copies its append-only files, for [`TestRedis::restore`].
    pub fn snapshot(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.folder.path().join("appendonlydir")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        copy
    }

    /// Restores a snapshot after [`TestRedis::kill`], so that later writes are lost.
    pub fn restore(&self, snapshot: &tempfile::TempDir) {
        self.wipe();
        let folder = self.folder.path().join("appendonlydir");
        std::fs::create_dir(&folder).unwrap();
        for entry in std::fs::read_dir(snapshot.path()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }

    /// Deletes all of its files, after [`TestRedis::kill`].
    pub fn wipe(&self) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        }
    }

    /// Starts it on its folder, also again after [`TestRedis::kill`].
    pub fn launch(&mut self) {
        let server = match &self.program {
            Some(program) => program.display().to_string(),
            None => std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned()),
        };
        let _absent = std::fs::remove_file(self.socket());
        // A configuration file comes first. The port is an option or a line of that file.
        let (file, options): (Vec<_>, Vec<_>) = self.extra.iter().partition(|arg| arg.ends_with("redis.conf"));
        let port: &[&str] = if file.is_empty() { &["--port", "0"] } else { &[] };
        let child = Command::new(&server)
            .args(file)
            .args(port)
            .args(["--unixsocket"])
            .arg(self.socket())
            .args(["--dir"])
            .arg(self.folder.path())
            .args(["--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {server}: {error}; install redis-server or set REDIS_SERVER"));
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.answers() {
            assert!(Instant::now() < deadline, "redis-server did not start in time");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it answers and has loaded its files. While loading it answers LOADING.
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

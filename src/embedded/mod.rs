//! The child Redis of `up`: found, started on a data folder of its own, kept running, and stopped with this process.
//!
//! Files of `<data>/redis/`: `lock` (held by us *and* by the server, so that no other process opens the data while
//! either is alive), `url` (mode 0600, for a second process to connect), `redis.sock`, the append-only files.
//!
//! Invariants: never two servers on one data folder. The server does not outlive this process (on Linux the kernel
//! signals it). Its data survives any exit of this process. Start with [`Embedded::start`].

mod address;
mod error;
mod find_server;
mod lock;
mod memory_limit;
mod ping;
mod supervisor;

pub use error::Error;
pub use memory_limit::default_memory_max;

use crate::{save_file, settings::Durability};
use address::Address;
use std::{
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};
use supervisor::{Plan, Supervisor};
use tokio::time::{Instant, sleep};

/// Time limit for the server to become ready. A large append-only file takes time to load.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Interval of readiness checks.
const READY_POLL: Duration = Duration::from_millis(10);
/// Time between SIGTERM and SIGKILL, which the server needs to flush its data.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A Redis server owned by this process.
#[derive(Debug)]
pub struct Embedded {
    supervisor: Supervisor,
    url: String,
    server: PathBuf,
    version: String,
}

impl Embedded {
    /// Finds a server (`server`, or valkey-server or redis-server on PATH and in the usual folders), starts it on
    /// `<data>/redis`, and waits until it answers. If it dies later, it is restarted at the same address. It takes at
    /// most about `memory_max` bytes; 0 = no limit.
    ///
    /// # Errors
    /// No server, too old, the folder is in use, the server died or does not answer. The message gives advice.
    pub async fn start(
        data: &Path,
        server: Option<&Path>,
        durability: Durability,
        memory_max: u64,
    ) -> Result<Self, Error> {
        let found = find_server::server(server).await?;
        let dir = folder(data)?;
        let lock = lock::acquire(&dir).await?;
        let address = Address::choose(&dir)?;
        write_url(&dir, &address.url())?;
        let config = address.config(&dir, durability, memory_max)?;
        let supervisor = Supervisor::start(Plan { server: found.path.clone(), config, lock })?;
        let started = Self { supervisor, url: address.url(), server: found.path, version: found.version };
        started.wait_until_ready(&address).await?;
        started.supervisor.restart_when_it_dies();
        tracing::info!(server = %started.server.display(), version = %started.version, "embedded redis is ready");
        Ok(started)
    }

    async fn wait_until_ready(&self, address: &Address) -> Result<(), Error> {
        let give_up = Instant::now() + READY_TIMEOUT;
        loop {
            if let Some(status) = self.supervisor.death() {
                return Err(Error::Died { status, tail: self.supervisor.tail() });
            }
            if ping::answers(address).await {
                return Ok(());
            }
            if Instant::now() > give_up {
                return Err(Error::NotReady { after: READY_TIMEOUT, tail: self.supervisor.tail() });
            }
            sleep(READY_POLL).await;
        }
    }

    /// Returns its URL, as in `REDIS_URL`: `redis+unix:///…/redis.sock`, or a loopback address with a password if the
    /// socket's path would be too long.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the path of the server program.
    pub fn server(&self) -> &Path {
        &self.server
    }

    /// Returns the version of the server.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the server's process id; `None` while it is being restarted.
    pub fn pid(&self) -> Option<u32> {
        self.supervisor.pid()
    }

    /// Stops the server with SIGTERM, and after ten seconds with SIGKILL. Call it last, when nothing needs Redis any
    /// more. On drop, the server gets SIGTERM but is not waited for.
    pub async fn stop(self) {
        if !self.supervisor.stop(STOP_TIMEOUT).await {
            tracing::warn!("embedded redis did not exit within {STOP_TIMEOUT:?} and was killed");
        }
    }
}

fn folder(data: &Path) -> Result<PathBuf, Error> {
    let dir = data.join("redis");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .and_then(|()| dir.canonicalize())
        .map_err(|source| Error::Io { what: format!("cannot use {}", dir.display()), source })
}

/// Writes the URL atomically, readable by this user only, because it may contain a password.
fn write_url(dir: &Path, url: &str) -> Result<(), Error> {
    let path = dir.join("url");
    save_file::write_private(&path, format!("{url}\n").as_bytes())
        .map_err(|source| Error::Io { what: format!("cannot write {}", path.display()), source })
}

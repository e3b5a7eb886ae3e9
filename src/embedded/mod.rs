//! The owned child Redis of `up`: found, started on a data folder of its own, kept running, and gone when we are.
//!
//! Files of `<data>/redis/`: `lock` (held by us *and* by the server: while either lives, nobody else opens the data), `url`
//! (mode 0600: what a second process connects to), `redis.sock`, the append-only files.
//!
//! Invariant: never two servers on one data folder; the server never outlives us (Linux: the kernel tells it); its data
//! survives any of our ends. Look at [`Embedded::start`] first.

mod address;
mod error;
mod find_server;
mod lock;
mod ping;
mod supervisor;

pub use error::Error;

use crate::{save_file, settings::Durability};
use address::Address;
use std::{
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};
use supervisor::{Keeper, Plan};
use tokio::time::{Instant, sleep};

/// A large append-only file takes time to load.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks whether it is ready.
const READY_POLL: Duration = Duration::from_millis(10);
/// From SIGTERM to SIGKILL: long enough to flush, not for ever.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A Redis server that belongs to this process.
#[derive(Debug)]
pub struct Embedded {
    keeper: Keeper,
    url: String,
    server: PathBuf,
    version: String,
}

impl Embedded {
    /// Finds a server (`server`, or valkey-server, redis-server on PATH and in the usual folders), starts it on `<data>/redis`,
    /// and waits until it answers. Should it die later, it is started again at the same address.
    ///
    /// # Errors
    /// Text for the operator, with what to do: no server, too old, the folder is in use, the server died or does not answer.
    pub async fn start(data: &Path, server: Option<&Path>, durability: Durability) -> Result<Self, Error> {
        let found = find_server::server(server).await?;
        let dir = folder(data)?;
        let lock = lock::acquire(&dir).await?;
        let address = Address::choose(&dir)?;
        write_url(&dir, &address.url())?;
        let config = address.config(&dir, durability)?;
        let keeper = Keeper::start(Plan { server: found.path.clone(), config, lock })?;
        let started = Self { keeper, url: address.url(), server: found.path, version: found.version };
        started.wait_until_ready(&address).await?;
        started.keeper.restart_when_it_dies();
        tracing::info!(server = %started.server.display(), version = %started.version, "embedded redis is ready");
        Ok(started)
    }

    async fn wait_until_ready(&self, address: &Address) -> Result<(), Error> {
        let give_up = Instant::now() + READY_TIMEOUT;
        loop {
            if let Some(status) = self.keeper.death() {
                return Err(Error::Died { status, tail: self.keeper.tail() });
            }
            if ping::answers(address).await {
                return Ok(());
            }
            if Instant::now() > give_up {
                return Err(Error::NotReady { after: READY_TIMEOUT, tail: self.keeper.tail() });
            }
            sleep(READY_POLL).await;
        }
    }

    /// For `REDIS_URL`: `redis+unix:///…/redis.sock`, or on loopback with a password where a socket's path would be too long.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The program that runs.
    pub fn server(&self) -> &Path {
        &self.server
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The server's process id; `None` while it is being started again.
    pub fn pid(&self) -> Option<u32> {
        self.keeper.pid()
    }

    /// Stops it: SIGTERM, after ten seconds SIGKILL. Call it last, when nobody needs Redis any more; merely dropped, the server
    /// gets its SIGTERM but is not waited for.
    pub async fn stop(self) {
        if !self.keeper.stop(STOP_TIMEOUT).await {
            tracing::warn!("embedded redis did not end within {STOP_TIMEOUT:?} and was killed");
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

/// Whole or not at all, and never readable by others: the URL may hold a password.
fn write_url(dir: &Path, url: &str) -> Result<(), Error> {
    let path = dir.join("url");
    save_file::write_private(&path, format!("{url}\n").as_bytes())
        .map_err(|source| Error::Io { what: format!("cannot write {}", path.display()), source })
}

//! A primary and its replica.

use super::{TestRedis, eventually, stable_port};
use std::{path::Path, time::Duration};

/// A primary that listens on a port too, and its replica.
pub struct RedisPair {
    pub primary: TestRedis,
    pub replica: TestRedis,
    pub port: u16,
}

impl RedisPair {
    /// Starts both. Returns when the replica is in step.
    pub async fn start() -> Self {
        Self::start_program(None).await
    }

    /// The same with this server, or the usual one.
    pub async fn start_program(program: Option<&Path>) -> Self {
        let (primary, port) = Self::primary(program);
        Self::follow(primary, port, program, port).await
    }

    /// Starts a primary alone, for [`RedisPair::follow`].
    pub fn primary(program: Option<&Path>) -> (TestRedis, u16) {
        let port = stable_port();
        let options = ["--port", &port.to_string(), "--repl-diskless-sync-delay", "0"];
        (TestRedis::start_program(program, &options), port)
    }

    /// Adds the replica, which reaches the primary by the port `through`.
    pub async fn follow(primary: TestRedis, port: u16, program: Option<&Path>, through: u16) -> Self {
        let replica = TestRedis::start_program(program, &["--replicaof", &format!("127.0.0.1 {through}")]);
        let pair = Self { primary, replica, port };
        pair.wait_in_step().await;
        pair
    }

    /// Waits until the replica has all that was written so far. `state=online` does not say so: the primary sends changes
    /// only after the replica has stored the copy, which takes long on a busy disk.
    pub async fn wait_in_step(&self) {
        eventually("the replica is in step", Duration::from_secs(20), async || {
            let mut raw = self.primary.raw();
            raw.run(&["SET", "in-step", "1"]);
            (raw.run(&["WAIT", "1", "500"]).number() > 0).then_some(())
        })
        .await;
    }
}

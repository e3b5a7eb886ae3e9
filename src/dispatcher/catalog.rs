//! Learns what the instance can run, once per start and now and then while it rests: new model files come without one.

use super::{
    instance::{Instance, lock},
    jitter,
};
use crate::graph::Catalog;
use sha2::{Digest, Sha256};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Its answer takes an instance up to a tenth of a second, and longer with many models; it may be busy beside.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at an instance that rests.
const AGAIN: Duration = Duration::from_secs(300);
/// One that never rests is asked all the same after this.
const AT_LATEST: Duration = Duration::from_secs(1_800);
/// Between two looks, however often its socket breaks; doubled while it gives no list.
const PAUSE: Duration = Duration::from_secs(10);
/// Largest catalog kept, bytes of JSON; an instance with more counts as not known.
const BYTES_MAX: usize = 8 << 20;

/// What is known of what the instance can run.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Option<Seen>>);

#[derive(Debug)]
struct Seen {
    hash: String,
    /// When it was read; none when the instance may be another process since.
    at: Option<Instant>,
}

impl Known {
    /// The content hash of what it can run, once that is stored.
    pub(super) fn hash(&self) -> Option<String> {
        lock(&self.0).as_ref().map(|seen| seen.hash.clone())
    }

    /// Whether that was read within this time, and no socket is new since.
    pub(super) fn is_fresh(&self, age: Duration) -> bool {
        lock(&self.0).as_ref().and_then(|seen| seen.at).is_some_and(|at| at.elapsed() < age)
    }

    /// It was read just now; whether it is another than before.
    pub(super) fn learn(&self, hash: String) -> bool {
        let before = lock(&self.0).replace(Seen { hash: hash.clone(), at: Some(Instant::now()) });
        before.is_none_or(|before| before.hash != hash)
    }

    /// The instance may be another process since.
    pub(super) fn doubt(&self) {
        if let Some(seen) = lock(&self.0).as_mut() {
            seen.at = None;
        }
    }
}

/// Looks at each new socket, and after [`AGAIN`] once nothing runs.
pub(super) async fn run(instance: Arc<Instance>) {
    let (mut last, mut pause): (Option<Instant>, Duration) = (None, PAUSE);
    loop {
        tokio::select! {
            () = instance.catalog_due.notified() => {
                if let Some(last) = last {
                    tokio::time::sleep_until(last + pause).await;
                }
            }
            () = sleep(AGAIN + jitter(AGAIN / 4)) => {
                let is_due = last.is_none_or(|last| last.elapsed() >= AT_LATEST);
                if (instance.occupied() > 0 && !is_due) || !instance.health().is_alive() {
                    continue;
                }
            }
        }
        last = Some(Instant::now());
        match look(&instance).await {
            Ok(()) => pause = PAUSE,
            Err(reason) => {
                tracing::warn!(instance = %instance.target.id, reason, "it is not known what the instance can run");
                pause = (pause * 2).min(AGAIN);
                instance.catalog_due.notify_one();
            }
        }
    }
}

/// Asks it now.
pub(super) async fn look(instance: &Instance) -> Result<(), String> {
    let listed = instance.client.object_info(TIMEOUT).await.map_err(|error| error.to_string())?;
    let read = tokio::task::spawn_blocking(move || {
        let json = Catalog::parse(&listed)?.to_json();
        let hash = format!("{:x}", Sha256::digest(&json));
        Some((hash, json))
    });
    let Some((hash, json)) = read.await.map_err(|error| error.to_string())? else {
        return Err("/object_info is not ComfyUI's".to_owned());
    };
    if json.len() > BYTES_MAX {
        return Err(format!("its list has {} bytes, more than {BYTES_MAX}", json.len()));
    }
    instance.queue().put_catalog(&hash, &json).await.map_err(|error| error.to_string())?;
    instance.set_catalog(hash);
    Ok(())
}

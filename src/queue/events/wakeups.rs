//! Wakeups for claimers: a blocking read of a stream that reports new tasks. Uses a connection of its own, because a
//! blocked read delays every command behind it.

use crate::queue::{
    Queue, Result,
    redis::{connection::Purpose, link::Supervised, script_call::list},
};
use fred::{
    interfaces::{ClientLike, StreamsInterface},
    types::{Value, config::Options},
};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Longest block of one read.
const BLOCK: Duration = Duration::from_secs(2);
/// Delay of the answer beyond [`BLOCK`] after which the read is sent again; the supervisor repairs the connection.
const GRACE: Duration = Duration::from_secs(2);
/// Maximum number of entries of one read.
const COUNT: u64 = 1_000;
/// Delay after a failed read.
const PAUSE: Duration = Duration::from_millis(200);

/// A signal that tasks were added, see [`Queue::wakeups`].
#[derive(Debug)]
pub struct Wakeups {
    added: watch::Receiver<usize>,
    seen: usize,
    _reader: AbortOnDropHandle<()>,
}

impl Queue {
    /// Starts a reader of the stream on a connection of its own, which wakes claimers without polling.
    pub async fn wakeups(&self) -> Result<Wakeups> {
        let jobs = self.root().jobs();
        // Starts after the newest entry: the first claim finds the existing ones.
        let newest: Value = self
            .command("XREVRANGE", vec![jobs.clone().into(), "+".into(), "-".into(), "COUNT".into(), "1".into()])
            .await?;
        let last = last_id(newest).unwrap_or_else(|| "0-0".to_owned());
        let connection = self.link().open(Purpose::Wakeups).await?;
        let (sender, added) = watch::channel(0);
        let reader = AbortOnDropHandle::new(tokio::spawn(read(connection, jobs, last, sender)));
        Ok(Wakeups { added, seen: 0, _reader: reader })
    }
}

impl Wakeups {
    /// Waits until tasks were added and returns their number, or returns 0 after about two seconds. Recovers from every
    /// error by itself. Cancel safe: the next call reports what a dropped one would have.
    pub async fn next(&mut self) -> usize {
        if *self.added.borrow() == self.seen {
            match tokio::time::timeout(BLOCK, self.added.changed()).await {
                Ok(Ok(())) => {}
                Err(_elapsed) => return 0,
                // Unreachable while the reader runs. Without it, fall back to polling.
                Ok(Err(_closed)) => tokio::time::sleep(BLOCK).await,
            }
        }
        let total = *self.added.borrow_and_update();
        total.wrapping_sub(std::mem::replace(&mut self.seen, total))
    }
}

/// Reads the stream forever. Keeps the last id across errors, so that entries added meanwhile are reported afterwards.
async fn read(connection: Supervised, jobs: String, mut last: String, added: watch::Sender<usize>) {
    let options = Options { timeout: Some(BLOCK + GRACE), max_attempts: Some(1), ..Options::default() };
    let block_ms = u64::try_from(BLOCK.as_millis()).ok();
    loop {
        let reader = connection.client().with_options(&options);
        match connection.ask(reader.xread::<Value, _, _>(Some(COUNT), block_ms, &jobs, &last)).await {
            Ok(reply) => {
                let entries = list(reply).and_then(|streams| streams.into_iter().next()).and_then(list);
                let entries = entries.and_then(|stream| stream.into_iter().nth(1)).and_then(list).unwrap_or_default();
                let count = entries.iter().map(added_by).sum::<usize>();
                if let Some(id) = last_id(Value::Array(entries)) {
                    last = id;
                    added.send_modify(|total| *total = total.wrapping_add(count));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "wake-up read failed; retrying");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Returns the number of tasks that an entry `[id, [added, number]]` announces; 1 for an entry of an earlier release.
fn added_by(entry: &Value) -> usize {
    let fields = match entry {
        Value::Array(entry) => entry.get(1),
        _ => None,
    };
    match fields {
        Some(Value::Array(fields)) => {
            fields.get(1).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(1)
        }
        _ => 1,
    }
}

/// Returns the id of the last of `[[id, fields], …]`.
fn last_id(entries: Value) -> Option<String> {
    list(entries)?.pop().and_then(list)?.into_iter().next()?.into_string()
}

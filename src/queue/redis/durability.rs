//! Writes that are acknowledged only once a replica (`WAIT 1`) or the disk (`WAITAOF 1 0`) has them.
//!
//! WAIT blocks its connection, so these writes use clients of their own. One WAIT confirms all writes sent before it on
//! its connection; writes that arrive meanwhile are confirmed by the next WAIT.

use super::{
    connect,
    script_call::{CALL_TIMEOUT, Reply, ScriptCaller},
    scripts::Verb,
    server_check::Confirmation,
};
use crate::queue::{Error, Result};
use fred::{
    clients::Client,
    interfaces::{ClientInterface, ClientLike},
    types::{ClusterHash, CustomCommand, Value, config::Config},
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// Number of connections for confirmed writes.
const WRITERS: usize = 3;
/// Longest wait for a replica or the disk.
const WAIT: Duration = Duration::from_millis(1_000);
/// Writes confirmed by one WAIT.
const BATCH_MAX: usize = 256;

type Confirmed = oneshot::Sender<Result<()>>;

/// Clients for confirmed writes.
pub(crate) struct Durable {
    writers: Vec<Writer>,
    next: AtomicUsize,
}

struct Writer {
    client: Client,
    waiting: mpsc::Sender<Confirmed>,
    _waiter: AbortOnDropHandle<()>,
}

impl Durable {
    /// Connects the clients; `None` if a reply of Redis is confirmation enough.
    pub(crate) async fn connect(config: &Config, confirm: Confirmation) -> Result<Option<Self>> {
        if confirm == Confirmation::Answer {
            return Ok(None);
        }
        let mut writers = Vec::with_capacity(WRITERS);
        for _ in 0..WRITERS {
            let client = connect::client(config).await?;
            let (waiting, asked) = mpsc::channel(BATCH_MAX);
            let waiter = AbortOnDropHandle::new(tokio::spawn(run_waiter(client.clone(), confirm, asked)));
            writers.push(Writer { client, waiting, _waiter: waiter });
        }
        Ok(Some(Self { writers, next: AtomicUsize::new(0) }))
    }

    /// Runs a script and waits for its confirmation, at most [`CALL_TIMEOUT`]. After an error the write may or may not
    /// have happened; repeating the call is safe.
    pub(crate) async fn call(&self, caller: &ScriptCaller, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        match tokio::time::timeout(CALL_TIMEOUT, self.confirmed(caller, verb, args)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Error::Unavailable(format!("not confirmed within {CALL_TIMEOUT:?}"))),
        }
    }

    async fn confirmed(&self, caller: &ScriptCaller, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        let writer = &self.writers[self.next.fetch_add(1, Ordering::Relaxed) % self.writers.len()];
        let before = writer.client.connection_ids();
        let reply = caller.call_on(&writer.client, verb, args).await?;
        let (confirmed, answer) = oneshot::channel();
        writer.waiting.send(confirmed).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())??;
        // WAIT covers the writes of its own connection only: after a reconnect it would confirm nothing.
        if before.is_empty() || writer.client.connection_ids() != before {
            return Err(Error::Unavailable("the connection changed before the write was confirmed".to_owned()));
        }
        Ok(reply)
    }
}

fn stopped() -> Error {
    Error::Unavailable("the writer has stopped".to_owned())
}

async fn run_waiter(client: Client, confirm: Confirmation, mut asked: mpsc::Receiver<Confirmed>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while asked.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let answer = wait(&client, confirm).await;
        for confirmed in batch.drain(..) {
            // Fails only if the caller has timed out.
            let _gone = confirmed.send(match &answer {
                Ok(()) => Ok(()),
                Err(message) => Err(Error::Unavailable(message.clone())),
            });
        }
    }
}

async fn wait(client: &Client, confirm: Confirmation) -> std::result::Result<(), String> {
    let ms = WAIT.as_millis().to_string();
    let (name, args) = match confirm {
        Confirmation::Answer => return Ok(()),
        Confirmation::LocalFsync => ("WAITAOF", vec!["1".to_owned(), "0".to_owned(), ms]),
        Confirmation::Replica => ("WAIT", vec!["1".to_owned(), ms]),
    };
    let command = CustomCommand::new_static(name, ClusterHash::Random, false);
    let answer: Value = client.custom(command, args).await.map_err(|error| error.to_string())?;
    let count = match answer {
        Value::Array(counts) => counts.first().and_then(Value::as_i64),
        count => count.as_i64(),
    };
    match (count, confirm) {
        (Some(1..), _) => Ok(()),
        (_, Confirmation::LocalFsync) => Err(format!("the disk did not confirm within {WAIT:?}")),
        _ => Err(format!("no replica confirmed within {WAIT:?}")),
    }
}

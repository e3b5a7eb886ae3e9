//! Writes that are acknowledged only once replicas (`WAIT`) or the disk (`WAITAOF 1 0`) have them.
//!
//! WAIT blocks its connection, so these writes use clients of their own. One WAIT confirms all writes sent before it on
//! its connection; writes that arrive meanwhile are confirmed by the next WAIT. A mark is written before each: a repeated
//! call changes nothing, and Valkey and Redis from 7.2 on let WAIT after it confirm what no replica has yet. With the mark,
//! WAIT covers all earlier writes of any connection, because a server replicates them in order.

use super::{
    connection::{Identity, Purpose},
    link::{Link, Supervised, in_turn},
    recheck::Fitness,
    script_call::{Reply, ScriptCaller, from_fred},
    scripts::Verb,
    server_check::Confirmation,
};
use crate::{
    metrics,
    queue::{Error, Result},
};
use fred::{
    interfaces::ClientLike,
    types::{ClusterHash, CustomCommand, Value, config::Options},
};
use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// Number of connections for confirmed writes.
const WRITERS: usize = 3;
/// Longest wait for a replica or a disk that is asked at once.
const WAIT: Duration = Duration::from_millis(1_000);
/// Longest wait for a disk that Redis writes once a second: a write may wait for the one before it.
const WAIT_EVERYSEC: Duration = Duration::from_millis(2_500);
/// Time that a call may take beyond its wait.
const MARGIN: Duration = Duration::from_millis(1_500);
/// Age of a confirmation after which a server is asked again before it is written to.
const PROOF_AGE: Duration = Duration::from_millis(500);
/// Writes confirmed by one WAIT.
const BATCH_MAX: usize = 256;

type Confirmed = oneshot::Sender<Result<()>>;

/// Clients for confirmed writes.
pub(crate) struct Durable {
    writers: Vec<Writer>,
    next: AtomicUsize,
    confirm: Confirmation,
    timeout: Duration,
}

/// The last confirmation of a connection: when it was asked for, and by which connection.
struct Proof {
    asked: Instant,
    by: Identity,
}

struct Writer {
    connection: Arc<Supervised>,
    proof: Arc<Mutex<Option<Proof>>>,
    waiting: mpsc::Sender<Confirmed>,
    _waiter: AbortOnDropHandle<()>,
}

impl Durable {
    /// Connects the clients; `None` if a reply of Redis is confirmation enough.
    pub(crate) async fn connect(
        link: &Link,
        caller: &ScriptCaller,
        confirm: Confirmation,
        fitness: &Arc<Fitness>,
    ) -> Result<Option<Self>> {
        if confirm == Confirmation::Answer {
            return Ok(None);
        }
        let mut writers = Vec::with_capacity(WRITERS);
        for _ in 0..WRITERS {
            let connection = Arc::new(link.open(Purpose::Confirmed).await?);
            let (waiting, asked) = mpsc::channel(BATCH_MAX);
            let proof = Arc::default();
            let answers = Answers {
                connection: Arc::clone(&connection),
                caller: caller.clone(),
                proof: Arc::clone(&proof),
                fitness: Arc::clone(fitness),
            };
            let waiter = AbortOnDropHandle::new(tokio::spawn(run_waiter(answers, confirm, asked)));
            writers.push(Writer { connection, proof, waiting, _waiter: waiter });
        }
        Ok(Some(Self { writers, next: AtomicUsize::new(0), confirm, timeout: longest_wait(confirm) + MARGIN }))
    }

    /// Whether a confirmation takes no longer than a round trip or two. A disk that is written once a second would leave an
    /// instance idle before each prompt.
    pub(crate) const fn confirms_at_once(&self) -> bool {
        match self.confirm {
            Confirmation::Answer | Confirmation::LocalFsync | Confirmation::Replicas(_) => true,
            Confirmation::LocalFsyncEverySecond => false,
        }
    }

    /// Returns the timeout of a confirmed write.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Runs a script and waits for its confirmation, at most [`Self::timeout`]. After an error the write may or may not
    /// have happened; repeating the call is safe.
    pub(crate) async fn call(&self, caller: &ScriptCaller, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        match tokio::time::timeout(self.timeout, self.confirmed(caller, verb, args)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Error::Unavailable(format!("not confirmed within {:?}", self.timeout))),
        }
    }

    async fn confirmed(&self, caller: &ScriptCaller, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        let writer = in_turn(&self.writers, &self.next, |writer| writer.connection.is_well());
        let before = writer.connection.identity();
        let writes = matches!(self.confirm, Confirmation::Replicas(_)) && verb != Verb::CheckClaim;
        if writes && !writer.is_proved(before.as_ref()) {
            writer.confirm().await?;
        }
        let reply = caller.call_on(&writer.connection, verb, args).await?;
        writer.confirm().await?;
        // WAIT covers the writes of its own connection only: after a reconnect it would confirm nothing.
        if before.is_none() || writer.connection.identity() != before {
            return Err(Error::Unavailable("the connection changed before the write was confirmed".to_owned()));
        }
        Ok(reply)
    }
}

impl Writer {
    /// Whether replicas confirmed a moment ago. A primary that was replaced while it was paused or cut off is asked before
    /// it is written to: its readers would see what is taken back when it becomes a replica.
    fn is_proved(&self, now: Option<&Identity>) -> bool {
        let proof = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        proof.as_ref().is_some_and(|proof| proof.asked.elapsed() < PROOF_AGE && now == Some(&proof.by))
    }

    /// Waits for the confirmation of all writes so far.
    async fn confirm(&self) -> Result<()> {
        let (confirmed, answer) = oneshot::channel();
        self.waiting.send(confirmed).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

fn stopped() -> Error {
    Error::Unavailable("the writer has stopped".to_owned())
}

/// The waiter's end of a writer.
struct Answers {
    connection: Arc<Supervised>,
    caller: ScriptCaller,
    proof: Arc<Mutex<Option<Proof>>>,
    fitness: Arc<Fitness>,
}

async fn run_waiter(answers: Answers, confirm: Confirmation, mut asked: mpsc::Receiver<Confirmed>) {
    let Answers { connection, caller, proof, fitness } = answers;
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while asked.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let (began, by) = (Instant::now(), connection.identity());
        let answer = Box::pin(wait(&connection, &caller, confirm)).await;
        let proved = by.filter(|_| answer.is_ok()).map(|by| Proof { asked: began, by });
        *proof.lock().unwrap_or_else(PoisonError::into_inner) = proved;
        if matches!(answer, Ok(()) | Err(Error::NotConfirmed(_))) {
            fitness.set_unconfirmed(answer.is_err());
        }
        for confirmed in batch.drain(..) {
            // Fails only if the caller has timed out.
            let _gone = confirmed.send(answer.clone());
        }
    }
}

const fn longest_wait(confirm: Confirmation) -> Duration {
    match confirm {
        Confirmation::LocalFsyncEverySecond => WAIT_EVERYSEC,
        Confirmation::Answer | Confirmation::LocalFsync | Confirmation::Replicas(_) => WAIT,
    }
}

async fn wait(connection: &Supervised, caller: &ScriptCaller, confirm: Confirmation) -> Result<()> {
    caller.call_on(connection, Verb::ReplicationMark, Vec::new()).await?;
    let longest = longest_wait(confirm);
    let ms = longest.as_millis().to_string();
    let (name, args) = match confirm {
        Confirmation::Answer => return Ok(()),
        Confirmation::LocalFsync | Confirmation::LocalFsyncEverySecond => {
            ("WAITAOF", vec!["1".to_owned(), "0".to_owned(), ms])
        }
        Confirmation::Replicas(count) => ("WAIT", vec![count.to_string(), ms]),
    };
    // In a cluster, to the node that received the write: without a key it would go to any.
    let command = CustomCommand::new_static(name, ClusterHash::Custom(caller.root.slot()), false);
    let options = Options { timeout: Some(longest + MARGIN), ..Options::default() };
    let client = connection.client().with_options(&options);
    let answer = connection.ask(client.custom::<Value, _>(command, args)).await;
    let answer = answer.map_err(from_fred)?;
    let count = match answer {
        Value::Array(counts) => counts.first().and_then(Value::as_i64),
        count => count.as_i64(),
    };
    let count = count.unwrap_or(0);
    let missing = match confirm {
        Confirmation::Replicas(wanted) if count >= i64::from(wanted) => return Ok(()),
        Confirmation::Replicas(wanted) => format!("of {wanted} replicas {count} confirmed it within {longest:?}"),
        _ if count >= 1 => return Ok(()),
        _ => format!("the disk of redis did not confirm it within {longest:?}"),
    };
    metrics::redis_error("not_confirmed");
    Err(Error::NotConfirmed(missing))
}

//! A connection to Redis: the client in use, and the answer that it owes.
//!
//! Redis answers the commands of a connection in order, so any answer proves that the connection works, and a command
//! without one for [`SILENCE_MAX`](super::supervisor::SILENCE_MAX) proves that it does not. Users take the current
//! client for each call: the supervisor may replace it at any time.

use super::{connect, connect::Driver, script_call::is_answer};
use crate::queue::{Error, Result};
use fred::{
    clients::Client,
    error::Error as FredError,
    interfaces::{ClientInterface, ClientLike},
    types::{
        ClusterHash, CustomCommand, Value,
        config::{Config, Options, Server},
    },
};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Time after which a connection without an answer is no longer chosen for calls while another one answers.
const SLOW: Duration = Duration::from_secs(1);

/// Use of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Ordinary commands and scripts.
    Commands,
    /// Writes that are confirmed by a replica or the disk.
    Confirmed,
    /// The subscription to the events.
    Events,
    /// The blocking read that wakes claimers.
    Wakeups,
}

impl Purpose {
    /// Returns its name in logs, metrics and `/readyz`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Confirmed => "confirmed",
            Self::Events => "events",
            Self::Wakeups => "wakeups",
        }
    }
}

/// Address of a connection and the slot that its cluster node must own.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) config: Config,
    pub(crate) slot: u16,
}

/// A connection that is replaced when it has died.
pub(crate) struct Connection {
    purpose: Purpose,
    number: usize,
    target: Target,
    client: RwLock<Client>,
    /// Number of times that the server may have missed something: reconnects and replacements.
    changes: watch::Sender<u64>,
    opened: Instant,
    /// Time since when the server owes an answer, ms after `opened`; 0 = it owes none.
    owed_since: AtomicU64,
    /// Time of the last answer, ms after `opened`.
    answered: AtomicU64,
    /// Number of answers.
    answers: AtomicU64,
    /// The reason for which the server refused the last attempt to connect anew.
    refusal: RwLock<Option<Error>>,
}

/// The client and its connections to servers. After a change, WAIT no longer covers earlier writes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity(String, HashMap<Server, i64>);

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.purpose.name(), self.number)
    }
}

impl Connection {
    /// Connects. `number` distinguishes the connections of one purpose.
    pub(super) async fn open(purpose: Purpose, number: usize, target: Target) -> Result<(Self, Driver)> {
        let (client, driver) = connect::client(&target.config, purpose).await?;
        let connection = Self {
            purpose,
            number,
            target,
            client: RwLock::new(client),
            changes: watch::Sender::new(0),
            opened: Instant::now(),
            owed_since: AtomicU64::new(0),
            answered: AtomicU64::new(1),
            answers: AtomicU64::new(0),
            refusal: RwLock::default(),
        };
        Ok((connection, driver))
    }

    pub(super) const fn purpose(&self) -> Purpose {
        self.purpose
    }

    pub(super) const fn number(&self) -> usize {
        self.number
    }

    /// Returns the client in use.
    pub(crate) fn client(&self) -> Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Builds and connects another client with the same settings.
    pub(super) async fn rebuild(&self) -> Result<(Client, Driver)> {
        let built =
            connect::client(&connect::with_known_servers(&self.target.config, &self.client()), self.purpose).await;
        let refusal = match &built {
            Err(error @ (Error::Unusable(_) | Error::Refused(_))) => Some(error.clone()),
            Ok(_) | Err(_) => None,
        };
        *self.refusal.write().unwrap_or_else(PoisonError::into_inner) = refusal;
        built
    }

    /// Returns the reason for which the server refused to connect anew; `None` once it answers.
    pub(super) fn refusal(&self) -> Option<Error> {
        let refusal = self.refusal.read().unwrap_or_else(PoisonError::into_inner).clone();
        refusal.filter(|_| self.owes_for() > Duration::ZERO || !self.client().is_connected())
    }

    /// Puts another client in place of the current one.
    pub(super) fn replace(&self, client: Client) {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
        self.answered();
        self.changed();
    }

    /// Returns the count of changes, to wait for the next one: events and confirmations may be lost by each.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Returns the identity of the client and its connections; `None` while it is not connected.
    pub(crate) fn identity(&self) -> Option<Identity> {
        let client = self.client();
        let ids = client.connection_ids();
        (!ids.is_empty()).then(|| Identity(client.id().to_owned(), ids))
    }

    /// Waits for the answer to a command of this connection.
    pub(crate) async fn ask<T>(&self, answer: impl Future<Output = Result<T, FredError>>) -> Result<T, FredError> {
        // Fails if an older command has no answer yet: the oldest counts.
        let _older = self.owed_since.compare_exchange(0, self.now(), Ordering::AcqRel, Ordering::Acquire);
        let answer = answer.await;
        if answer.as_ref().map_or_else(is_answer, |_| true) {
            self.answered();
        }
        answer
    }

    /// Asks with a PING that only this connection to the owner of our slot can answer. A connection in subscriber mode
    /// answers with an array, any other with a string.
    pub(crate) async fn ping(&self, timeout: Duration) -> Result<Value, FredError> {
        let options = Options { timeout: Some(timeout), max_attempts: Some(1), ..Options::default() };
        let ping = CustomCommand::new_static("PING", ClusterHash::Custom(self.target.slot), false);
        let client = self.client().with_options(&options);
        Box::pin(self.ask(client.custom(ping, Vec::<String>::new()))).await
    }

    /// Returns for how long the server has owed an answer; zero if it owes none.
    pub(crate) fn owes_for(&self) -> Duration {
        match self.owed_since.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.now().saturating_sub(since)),
        }
    }

    /// Returns the time since the last answer.
    pub(crate) fn unanswered_for(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.answered.load(Ordering::Acquire)))
    }

    /// Starts the wait for an owed answer anew.
    pub(super) fn wait_anew(&self) {
        let _owes_none =
            self.owed_since.fetch_update(Ordering::AcqRel, Ordering::Acquire, |since| (since != 0).then(|| self.now()));
    }

    /// Returns the number of answers so far.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Acquire)
    }

    /// Whether calls should use this connection.
    pub(crate) fn is_well(&self) -> bool {
        self.owes_for() < SLOW && self.client().is_connected()
    }

    fn answered(&self) {
        self.owed_since.store(0, Ordering::Release);
        self.answered.store(self.now(), Ordering::Release);
        self.answers.fetch_add(1, Ordering::AcqRel);
    }

    /// Milliseconds since it was opened, from 1.
    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}
